//! What a function gives back, and in how many objects.

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::{
    GenericArgument, Ident, LitInt, PathArguments, ReturnType, Type, TypeParamBound,
    punctuated::Punctuated, spanned::Spanned,
};

use crate::{
    argument::Root,
    complaints::Complaints,
    spelling::spelled,
    travel::{self, Role, bare, is_result},
    value::NumReturns,
};

/// A function's result.
pub(crate) struct Outcome {
    /// The type as written, or that of one item of an iterator or stream.
    ty: Type,
    /// Whether that type is called `Result`, so that an `Err` fails the task.
    fallible: bool,
    /// Whether the iterator or stream is in a `Result`, so that there may be none.
    in_result: bool,
    /// How it is stored.
    shape: Shape,
}

/// How a result is stored.
pub(crate) enum Shape {
    /// As one object.
    One,
    /// Each member of the tuple, array or vector as one object.
    Several(LitInt),
    /// Each item as one object, as an iterator yields it.
    Iterator,
    /// Each item as one object, as a stream yields it.
    Stream,
}

impl Outcome {
    /// Reads a return type.
    pub(crate) fn parse(
        output: &ReturnType,
        returns: &NumReturns,
        complaints: &mut Complaints,
    ) -> Outcome {
        let ty = match output {
            ReturnType::Default => Type::Tuple(syn::TypeTuple {
                attrs: Vec::new(),
                paren_token: syn::token::Paren(Span::mixed_site()),
                elems: Punctuated::new(),
            }),
            ReturnType::Type(_, ty) => (**ty).clone(),
        };
        match returns {
            NumReturns::One => {
                let ty = travel::check(&ty, Role::Result, complaints);
                Outcome { fallible: is_result(&ty), in_result: false, ty, shape: Shape::One }
            }
            NumReturns::Several(count) => {
                let ty = travel::check(&ty, Role::Result, complaints);
                let shape = match check_members(&ty, count, complaints) {
                    true => Shape::Several(count.clone()),
                    false => Shape::One,
                };
                Outcome { fallible: is_result(&ty), in_result: false, ty, shape }
            }
            NumReturns::Streaming => match members(&ty).and_then(streamed) {
                Some((item, shape)) => {
                    let item = travel::check(&item, Role::Item, complaints);
                    let in_result = is_result(&ty);
                    Outcome { fallible: is_result(&item), in_result, ty: item, shape }
                }
                None => {
                    let advice = "`num_returns = \"streaming\"` is for functions that return \
                                  `impl Iterator<Item = T>` or `impl Stream<Item = T>`, or a \
                                  `Result` of it";
                    match output {
                        ReturnType::Default => complaints.about(quote!(#ty), advice),
                        ReturnType::Type(..) => complaints.about(&ty, advice),
                    }
                    Outcome { ty, fallible: false, in_result: false, shape: Shape::Iterator }
                }
            },
        }
    }

    /// Reads a constructor's return type, which is known to be the actor or a `Result` of it.
    pub(crate) fn of_constructor(output: &ReturnType) -> Outcome {
        let ty = match output {
            ReturnType::Default => syn::parse_quote!(()),
            ReturnType::Type(_, ty) => (**ty).clone(),
        };
        Outcome { fallible: is_result(&ty), in_result: false, ty, shape: Shape::One }
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The type that is stored.
    pub(crate) fn stored(&self, root: &Root) -> TokenStream {
        let ty = &self.ty;
        match self.fallible {
            true => {
                let manual = root.manual_at(ty);
                let span = Span::mixed_site().located_at(ty.span());
                quote_spanned!(span=> <#ty as #manual::FallibleReturn>::Ok)
            }
            false => ty.to_token_stream(),
        }
    }

    /// What the caller gets: one reference, several, or a stream of them.
    pub(crate) fn reference(&self, root: &Root) -> TokenStream {
        let stored = self.stored(root);
        match self.shape {
            Shape::One => quote!(#root::ObjectRef<#stored>),
            Shape::Several(_) => {
                let manual = root.manual_at(&self.ty);
                let there = Span::mixed_site().located_at(self.ty.span());
                quote_spanned!(there=> <#stored as #manual::SeveralReturns>::Refs)
            }
            Shape::Iterator | Shape::Stream => quote!(#root::ObjectRefStream<#stored>),
        }
    }

    /// The wrapper that says how the result is to be taken.
    pub(crate) fn wrapper(&self, root: &Root) -> TokenStream {
        let manual = root.manual_at(&self.ty);
        let name = match (self.fallible, &self.shape) {
            (false, Shape::Several(_)) => "Several",
            (true, Shape::Several(_)) => "FallibleSeveral",
            (false, _) => "Plain",
            (true, _) => "Fallible",
        };
        let name = self.blamed(name);
        quote!(#manual::#name)
    }

    /// `result` in its wrapper. The whole has the place of the type, from its first token to its last, so
    /// that what is wrong with the type is shown there.
    pub(crate) fn wrapped(&self, root: &Root, result: TokenStream) -> TokenStream {
        let wrapper = self.wrapper(root);
        let (_, last) = self.ends();
        let mut wrapped = Group::new(Delimiter::Parenthesis, result);
        wrapped.set_span(Span::mixed_site().located_at(last));
        quote!(#wrapper #wrapped)
    }

    /// The iterator or stream that `result` is, or has: an `Err` in its place ends what this stands in.
    pub(crate) fn opened(&self, root: &Root, result: TokenStream) -> TokenStream {
        match self.in_result {
            true => quote!(#root::manual::opened(#result)?),
            false => result,
        }
    }

    /// Whether there may be an error in the place of the iterator or stream.
    pub(crate) fn is_in_result(&self) -> bool {
        self.in_result
    }

    /// A name whose type errors are about this outcome, and are shown at the type.
    pub(crate) fn blamed(&self, name: &str) -> Ident {
        Ident::new(name, Span::mixed_site().located_at(self.ty.span()))
    }

    /// The call `function(arguments)`, placed as [`wrapped`](Self::wrapped) is, where the compiler blames the
    /// part that has the type.
    pub(crate) fn called(
        &self,
        path: TokenStream,
        function: &Ident,
        arguments: TokenStream,
    ) -> TokenStream {
        let (first, last) = self.ends();
        // Still the user's names for it.
        let placed =
            path.into_iter().chain([function.clone().into()]).map(|mut token: TokenTree| {
                token.set_span(function.span().located_at(first));
                token
            });
        let placed: TokenStream = placed.collect();
        let mut group = Group::new(Delimiter::Parenthesis, arguments);
        group.set_span(function.span().located_at(last));
        quote!(#placed #group)
    }

    /// The places of the type's first token and of its last.
    fn ends(&self) -> (Span, Span) {
        let mut spans = self.ty.to_token_stream().into_iter().map(|token| token.span());
        let first = spans.next().unwrap_or_else(Span::mixed_site);
        (first, spans.last().unwrap_or(first))
    }

    /// A check that a type of several members has as many as the attribute says.
    pub(crate) fn assertion(&self, root: &Root) -> Option<TokenStream> {
        let Shape::Several(count) = &self.shape else { return None };
        if let Some(Type::Tuple(_)) = members(&self.ty) {
            return None; // Counted already.
        }
        let stored = self.stored(root);
        let span = Span::mixed_site().located_at(count.span());
        let message =
            format!("`num_returns = {count}`, but the function returns another number of values");
        Some(quote_spanned! {span=>
            const _: () = ::core::assert!(#root::manual::returns_match::<#stored>(#count), #message);
        })
    }
}

/// The type that is taken apart: what is written, or what a `Result` holds.
fn members(ty: &Type) -> Option<&Type> {
    match bare(ty) {
        Type::Path(path) if is_result(ty) => match &path.path.segments.last()?.arguments {
            PathArguments::AngleBracketed(arguments) => match arguments.args.first()? {
                GenericArgument::Type(ok) => Some(bare(ok)),
                _ => None,
            },
            _ => None,
        },
        other => Some(other),
    }
}

/// Complains about a type that can be seen to have another number of members; false when it has none.
fn check_members(ty: &Type, count: &LitInt, complaints: &mut Complaints) -> bool {
    const SINGLE: [&str; 17] = [
        "bool", "char", "f32", "f64", "i128", "i16", "i32", "i64", "i8", "isize", "u128", "u16",
        "u32", "u64", "u8", "usize", "String",
    ];
    let says = format!("`num_returns = {count}`, but");
    match members(ty) {
        Some(Type::Tuple(tuple)) if tuple.elems.len() != count.base10_parse().unwrap_or(0) => {
            let members = match tuple.elems.len() {
                1 => "1 member".to_owned(),
                n => format!("{n} members"),
            };
            complaints.about(tuple, format!("{says} `{}` has {members}", spelled(tuple)));
            tuple.elems.len() > 1
        }
        Some(Type::Path(path)) if SINGLE.iter().any(|single| path.path.is_ident(single)) => {
            let name = spelled(path);
            let message =
                format!("{says} `{name}` is one value; return a tuple, an array or a `Vec`");
            complaints.about(path, message);
            false
        }
        _ => true,
    }
}

/// The item type of an iterator or stream: opaque, or a boxed trait object.
fn streamed(ty: &Type) -> Option<(Type, Shape)> {
    let bounds: &Punctuated<TypeParamBound, _> = match bare(ty) {
        Type::ImplTrait(opaque) => &opaque.bounds,
        Type::TraitObject(object) => &object.bounds,
        Type::Path(path) => {
            let last = path.path.segments.last()?;
            let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
            return match (last.ident.to_string().as_str(), arguments.args.first()) {
                ("Box" | "Pin", Some(GenericArgument::Type(inner))) => match bare(inner) {
                    Type::TraitObject(_) | Type::Path(_) => streamed(inner),
                    _ => None,
                },
                _ => None,
            };
        }
        _ => return None,
    };
    bounds.iter().find_map(|bound| {
        let TypeParamBound::Trait(bound) = bound else { return None };
        let last = bound.path.segments.last()?;
        let shape = match last.ident.to_string().as_str() {
            "Iterator" | "DoubleEndedIterator" | "ExactSizeIterator" => Shape::Iterator,
            "Stream" => Shape::Stream,
            _ => return None,
        };
        let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
        arguments
            .args
            .iter()
            .find_map(|argument| match argument {
                GenericArgument::AssocType(assoc) if assoc.ident == "Item" => {
                    Some(assoc.ty.clone())
                }
                _ => None,
            })
            .map(|item| (item, shape))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    fn parsed(output: ReturnType, returns: NumReturns) -> (String, Vec<String>) {
        let mut complaints = Complaints::default();
        let outcome = Outcome::parse(&output, &returns, &mut complaints);
        let root = Root::take(&mut Vec::new(), &mut complaints);
        let shown = format!(
            "{} {}",
            spelled(&outcome.wrapper(&root)).replace("::rustyray::manual::", ""),
            spelled(&outcome.reference(&root)).replace("::rustyray::", "")
        );
        (shown, complaints.messages())
    }

    #[test]
    fn results_are_recognised_by_name() {
        let one = |output| parsed(output, NumReturns::One).0;
        assert_eq!(one(parse_quote!()), "Plain ObjectRef<()>");
        assert_eq!(one(parse_quote!(-> i64)), "Plain ObjectRef<i64>");
        assert_eq!(
            one(parse_quote!(-> anyhow::Result<i64>)),
            "Fallible ObjectRef<<anyhow::Result<i64> as manual::FallibleReturn>::Ok>"
        );
        assert_eq!(one(parse_quote!(-> MyResult<i64>)), "Plain ObjectRef<MyResult<i64>>");
    }

    #[test]
    fn several_returns_have_as_many_members() {
        let two = || NumReturns::Several(parse_quote!(2));
        let (shown, errors) = parsed(parse_quote!(-> (i64, String)), two());
        assert_eq!(shown, "Several <(i64, String) as manual::SeveralReturns>::Refs");
        assert_eq!(errors, [""; 0]);
        let (_, errors) = parsed(parse_quote!(-> (i64, String, u8)), two());
        assert_eq!(errors, ["`num_returns = 2`, but `(i64, String, u8)` has 3 members"]);
        let (shown, errors) = parsed(parse_quote!(-> Result<(i64,), E>), two());
        assert!(shown.starts_with("Fallible "), "{shown}");
        assert_eq!(errors, ["`num_returns = 2`, but `(i64,)` has 1 member"]);
        let (_, errors) = parsed(parse_quote!(-> Vec<u8>), two());
        assert_eq!(errors, [""; 0]);
    }

    #[test]
    fn streams_are_recognised_by_their_bound() {
        for output in [
            parse_quote!(-> impl Iterator<Item = u8> + 'static),
            parse_quote!(-> impl std::iter::Iterator<Item = u8>),
            parse_quote!(-> Box<dyn Iterator<Item = u8> + Send>),
            parse_quote!(-> impl futures::Stream<Item = u8>),
            parse_quote!(-> Pin<Box<dyn Stream<Item = u8>>>),
        ] {
            let (shown, errors) = parsed(output, NumReturns::Streaming);
            assert_eq!(shown, "Plain ObjectRefStream<u8>");
            assert_eq!(errors, [""; 0]);
        }
        let (shown, _) =
            parsed(parse_quote!(-> impl Stream<Item = io::Result<u8>>), NumReturns::Streaming);
        assert!(shown.starts_with("Fallible "), "{shown}");
        let result = parse_quote!(-> io::Result<impl Iterator<Item = u8>>);
        assert_eq!(parsed(result, NumReturns::Streaming).0, "Plain ObjectRefStream<u8>");
        let (_, errors) = parsed(parse_quote!(-> Result<u8, E>), NumReturns::Streaming);
        assert!(errors[0].contains("or a `Result` of it"), "{errors:?}");
        let (_, errors) = parsed(parse_quote!(-> Vec<u8>), NumReturns::Streaming);
        assert!(errors[0].contains("impl Iterator<Item = T>"), "{errors:?}");
    }
}
