//! Parameters and outcome of one function, and the code that all expansions share.
//!
//! *Hygiene*: parameters and the expansion's own variables are local to it ([`Span::mixed_site`]), while
//! the user's function is named as the user named it. So a parameter can have the name of its function,
//! and the expansion's variables step aside ([`Signature::fresh`]) for parameters of their names.
//!
//! *Stand-ins*: of a function that cannot be remote, the generated names exist all the same. Their
//! parameters take anything, and their results have the type that was probably meant, so that code which
//! uses them is not reported too.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{
    Attribute, FnArg, GenericArgument, GenericParam, Generics, Ident, Meta, Pat, PatType,
    PathArguments, Safety, Type, Visibility, ext::IdentExt, spanned::Spanned,
};

use crate::{
    argument::Root,
    complaints::Complaints,
    outcome::{Outcome, Shape},
    travel::{self, Role, bare},
    value::NumReturns,
};

/// A function that is to be called from another process.
pub(crate) struct Signature {
    pub(crate) ident: Ident,
    pub(crate) visibility: Visibility,
    pub(crate) is_async: bool,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) outcome: Outcome,
    pub(crate) attributes: Carried,
    /// Always empty but in stand-ins.
    generics: Generics,
}

/// One parameter.
pub(crate) struct Parameter {
    pub(crate) ident: Ident,
    pub(crate) name: String,
    pub(crate) ty: Type,
}

impl Parameter {
    /// What is taken for it: `IntoArg<i64>`; of a view also what it is of, for the compiler's message.
    fn bound(&self, root: &Root) -> TokenStream {
        let ty = &self.ty;
        match viewed(ty) {
            Some(of) => quote_spanned!(Span::mixed_site()=> #root::manual::IntoView<#ty, #of>),
            None => quote_spanned!(Span::mixed_site()=> #root::manual::IntoArg<#ty>),
        }
    }
}

/// `T` of what is written as a `View<T>`.
fn viewed(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "View")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first() {
        Some(GenericArgument::Type(of)) if arguments.args.len() == 1 => Some(of),
        _ => None,
    }
}

/// The attributes of an item that hold for what is generated from it too.
pub(crate) struct Carried {
    /// `#[cfg(…)]`
    pub(crate) cfgs: Vec<Attribute>,
    /// Doc comments and `#[doc(hidden)]`.
    pub(crate) docs: Vec<Attribute>,
    /// `#[deprecated]`
    pub(crate) deprecated: Option<Attribute>,
}

impl Carried {
    pub(crate) fn of(attributes: &[Attribute]) -> Carried {
        let named = |name: &str| {
            attributes.iter().filter(|a| a.path().is_ident(name)).cloned().collect::<Vec<_>>()
        };
        let hidden = |list: &syn::MetaList| list.tokens.to_string() == "hidden";
        let docs = named("doc").into_iter().filter(|doc| match &doc.meta {
            Meta::NameValue(_) => true,
            Meta::List(list) => hidden(list),
            Meta::Path(_) => false,
        });
        Carried { docs: docs.collect(), cfgs: named("cfg"), deprecated: named("deprecated").pop() }
    }

    /// The user's documentation, where there is one, then a paragraph of ours.
    pub(crate) fn documented(&self, own: &str) -> TokenStream {
        let (docs, deprecated) = (&self.docs, &self.deprecated);
        let gap = docs.iter().any(|doc| matches!(doc.meta, Meta::NameValue(_)));
        let gap = gap.then(|| quote!(#[doc = ""]));
        let lines = documentation(own);
        quote!(#(#docs)* #gap #lines #deprecated)
    }

    /// Calls of a deprecated function from its own expansion are no news.
    pub(crate) fn allow_deprecated(&self) -> Option<TokenStream> {
        self.deprecated.as_ref().map(|_| quote!(#[allow(deprecated)]))
    }
}

/// `text` as doc comments.
pub(crate) fn documentation(text: &str) -> TokenStream {
    let lines =
        text.lines().map(|line| if line.is_empty() { String::new() } else { format!(" {line}") });
    let lines = lines.map(|line| quote!(#[doc = #line]));
    quote!(#(#lines)*)
}

/// What kind of function it is, for messages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Function,
    Constructor,
    Method,
}

impl Kind {
    fn noun(self) -> &'static str {
        match self {
            Kind::Function => "a remote function",
            Kind::Constructor => "an actor's constructor",
            Kind::Method => "an actor's method",
        }
    }
}

impl Signature {
    /// Reads and checks a signature. Whether it is usable is in `complaints`.
    pub(crate) fn parse(
        kind: Kind,
        attributes: &[Attribute],
        visibility: &Visibility,
        signature: &syn::Signature,
        returns: &NumReturns,
        complaints: &mut Complaints,
    ) -> Signature {
        check_qualifiers(kind, signature, complaints);
        let mut parameters = Vec::new();
        for input in &signature.inputs {
            match input {
                FnArg::Receiver(receiver) => {
                    if kind == Kind::Function {
                        complaints.about(
                            receiver,
                            "`#[rustyray::remote]` is for free functions; to call methods from \
                            other processes put \
                             `#[rustyray::actor]` on the type and `#[rustyray::actor_methods]` on \
                             its `impl`",
                        );
                    }
                }
                FnArg::Typed(input) => {
                    parameters.push(Parameter::parse(input, parameters.len(), complaints))
                }
            }
        }
        // A generic function is one mistake; what its types mean is not looked into.
        let outcome = match kind {
            Kind::Constructor => Outcome::of_constructor(&signature.output),
            _ => Outcome::parse(&signature.output, returns, complaints),
        };
        let streams = matches!(returns, NumReturns::Streaming) && complaints.is_empty();
        if streams && signature.asyncness.is_some() && matches!(outcome.shape(), Shape::Iterator) {
            complaints.about(
                &signature.output,
                "an async function streams as `impl Stream<Item = …>`; return that, or make the \
                 function sync",
            );
        }
        Signature {
            ident: signature.ident.clone(),
            visibility: visibility.clone(),
            is_async: signature.asyncness.is_some(),
            parameters,
            outcome,
            attributes: Carried::of(attributes),
            generics: signature.generics.clone(),
        }
    }

    /// The function's name without `r#`.
    pub(crate) fn name(&self) -> String {
        self.ident.unraw().to_string()
    }

    /// A name for a variable of the expansion that no parameter has.
    pub(crate) fn fresh(&self, name: &str) -> Ident {
        let mut name = name.to_owned();
        while self.parameters.iter().any(|parameter| parameter.name == name) {
            name.push('_');
        }
        Ident::new(&name, Span::mixed_site())
    }

    /// `a: impl IntoArg<i64>, …`: what the generated function takes.
    pub(crate) fn taken(&self, root: &Root) -> TokenStream {
        let here = Span::mixed_site();
        let taken = self.parameters.iter().map(|parameter| {
            let (ident, bound) = (&parameter.ident, parameter.bound(root));
            quote_spanned!(here=> #ident: impl #bound)
        });
        quote!(#(#taken),*)
    }

    /// `__Arg0: IntoArg<i64>, …` and `a: __Arg0, …`: the same with types that can be named.
    pub(crate) fn taken_by_name(&self, root: &Root) -> (TokenStream, TokenStream) {
        let here = Span::mixed_site();
        let (mut types, mut taken) = (TokenStream::new(), TokenStream::new());
        for (given, parameter) in self.given().iter().zip(&self.parameters) {
            let (ident, bound) = (&parameter.ident, parameter.bound(root));
            types.extend(quote_spanned!(here=> #given: #bound,));
            taken.extend(quote_spanned!(here=> #ident: #given,));
        }
        (types, taken)
    }

    /// The types of what is given for the parameters, where they are named.
    fn given(&self) -> Vec<Ident> {
        let name = |at: usize| format_ident!("__Arg{at}", span = Span::mixed_site());
        (0..self.parameters.len()).map(name).collect()
    }

    /// What was given for the parameters, and its type: one argument as it is, several as a tuple.
    pub(crate) fn given_back(&self) -> (TokenStream, TokenStream) {
        let given = self.given();
        let idents: Vec<_> = self.parameters.iter().map(|parameter| &parameter.ident).collect();
        match (idents.as_slice(), given.as_slice()) {
            ([ident], [given]) => (quote!(#ident), quote!(#given)),
            _ => (quote!((#(#idents),*)), quote!((#(#given),*))),
        }
    }

    /// `move |args| { args.push::<i64, _>("a", a)?; … }`: how it writes its arguments.
    pub(crate) fn pushed(&self) -> TokenStream {
        let here = Span::mixed_site();
        let args = self.fresh("args");
        let pushes = self.parameters.iter().map(|Parameter { ident, name, ty }| {
            quote_spanned!(here=> #args.push::<#ty, _>(#name, #ident))
        });
        let pushes: Vec<_> = pushes.collect();
        match pushes.split_last() {
            None => quote_spanned!(here=> |_| ::core::result::Result::Ok(())),
            Some((last, [])) => quote_spanned!(here=> move |#args| #last),
            Some((last, rest)) => quote_spanned!(here=> move |#args| { #(#rest?;)* #last }),
        }
    }

    /// `|(a, b), args| { args.lend::<i64, _>("a", a)?; … }`: the same for what it may have to give back.
    pub(crate) fn lent(&self) -> TokenStream {
        let here = Span::mixed_site();
        let args = self.fresh("args");
        let (given, _) = self.given_back();
        let lends = self.parameters.iter().map(|Parameter { ident, name, ty }| {
            quote_spanned!(here=> #args.lend::<#ty, _>(#name, #ident))
        });
        let lends: Vec<_> = lends.collect();
        match lends.split_last() {
            None => quote_spanned!(here=> |_, _| ::core::result::Result::Ok(())),
            Some((last, [])) => quote_spanned!(here=> |#given, #args| #last),
            Some((last, rest)) => {
                quote_spanned!(here=> |#given, #args| { #(#rest?;)* #last })
            }
        }
    }

    /// `let a = call.arg::<i64, _>("a")?; …`: how the other process reads them.
    pub(crate) fn read(&self, call: &Ident) -> TokenStream {
        let here = Span::mixed_site();
        let reads = self.parameters.iter().map(|Parameter { ident, name, ty }| {
            // A type that cannot travel is reported at the parameter's type, and nowhere else.
            let at = here.located_at(ty.span());
            let read = quote_spanned!(at=> #call.arg::<#ty, _>(#name));
            quote_spanned!(here=> let #ident = #read?;)
        });
        quote!(#(#reads)*)
    }

    /// `a, b`: what the user's function is called with.
    pub(crate) fn passed(&self) -> TokenStream {
        let idents = self.parameters.iter().map(|parameter| &parameter.ident);
        quote!(#(#idents),*)
    }

    /// What the generated function of a stand-in takes: anything, and a generic parameter's own type.
    pub(crate) fn taken_by_stand_in(&self) -> TokenStream {
        let generic = |ty: &Type| match bare(ty) {
            Type::Path(path) => self.generics.type_params().any(|p| path.path.is_ident(&p.ident)),
            _ => false,
        };
        let taken = self.parameters.iter().enumerate().map(|(at, parameter)| {
            let (ident, ty) = (format_ident!("_{at}"), &parameter.ty);
            match generic(ty) {
                true => quote!(#ident: #ty),
                false => quote!(#ident: impl ::core::marker::Sized),
            }
        });
        quote!(#(#taken),*)
    }

    /// The generic parameters that a stand-in repeats.
    pub(crate) fn generics_of_stand_in(&self) -> (TokenStream, TokenStream) {
        let parameters = self.generics.params.iter().map(|parameter| match parameter {
            GenericParam::Type(parameter) => {
                let mut parameter = parameter.clone();
                parameter.default = None;
                parameter.into_token_stream()
            }
            other => other.to_token_stream(),
        });
        let parameters: Vec<_> = parameters.collect();
        let brackets = (!parameters.is_empty()).then(|| quote!(<#(#parameters),*>));
        (brackets.into_token_stream(), self.generics.where_clause.to_token_stream())
    }
}

impl Parameter {
    fn parse(input: &PatType, at: usize, complaints: &mut Complaints) -> Parameter {
        for attribute in &input.attrs {
            if attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr") {
                complaints.about(
                    attribute,
                    "a parameter cannot depend on `cfg`, since both sides of a call must agree on \
                    it; put `cfg` on the \
                     function",
                );
            }
        }
        let ty = travel::check(&input.ty, Role::Parameter, complaints);
        let mixed = |ident: &Ident| {
            let mut ident = ident.clone();
            ident.set_span(ident.span().resolved_at(Span::mixed_site()));
            ident
        };
        let ident = match &*input.pat {
            Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => mixed(&pat.ident),
            pat => {
                let message = match pat {
                    Pat::Wild(_) => "a remote function's parameter needs a name; write `_unused`",
                    _ => {
                        "a remote function's parameter is a plain name; take it whole and \
                         destructure it in the body"
                    }
                };
                complaints.about(pat, message);
                format_ident!("argument_{at}")
            }
        };
        Parameter { name: ident.unraw().to_string(), ident, ty }
    }
}

fn check_qualifiers(kind: Kind, signature: &syn::Signature, complaints: &mut Complaints) {
    let noun = kind.noun();
    if let (Some(token), Kind::Function) = (&signature.constness, kind) {
        let message =
            "a remote function runs in another process, never in a constant; remove `const`";
        complaints.about(token, message);
    }
    if let Safety::Unsafe(token) = &signature.safety {
        complaints.about(
            token,
            format!(
                "{noun} cannot be unsafe, since its caller in another process cannot promise \
                anything; make it safe, \
                 and call the unsafe code inside"
            ),
        );
    }
    if let Some(abi) = &signature.abi {
        complaints.about(abi, format!("{noun} has Rust's own calling convention; remove `extern`"));
    }
    if let Some(variadic) = &signature.variadic {
        complaints
            .about(variadic, format!("{noun} has a fixed number of parameters; take a `Vec`"));
    }
    let generics = &signature.generics;
    if !generics.params.is_empty() {
        let lifetimes_only = generics.params.iter().all(|p| matches!(p, GenericParam::Lifetime(_)));
        let advice = match (lifetimes_only, kind) {
            (true, _) => "take and return owned values, then no lifetime is needed".to_owned(),
            (false, Kind::Function) => format!(
                "write one function for each type that is needed, such as `fn {}_i64(…)`, which \
                 calls the generic one",
                signature.ident.unraw()
            ),
            (false, _) => "name the types, or make it private".to_owned(),
        };
        complaints.about(
            generics,
            format!("{noun} cannot be generic, since another process finds it by name; {advice}"),
        );
    } else if let Some(clause) = &generics.where_clause {
        complaints
            .about(clause, format!("{noun} is not generic and needs no `where` clause; remove it"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::{ItemFn, parse_quote};

    fn complaints_of(item: ItemFn) -> Vec<String> {
        let mut complaints = Complaints::default();
        let ItemFn { attrs, vis, sig, .. } = &item;
        let _ =
            Signature::parse(Kind::Function, attrs, vis, sig, &NumReturns::One, &mut complaints);
        complaints.messages()
    }

    #[test]
    fn plain_functions_pass() {
        assert_eq!(
            complaints_of(parse_quote!(
                fn f() {}
            )),
            [""; 0]
        );
        assert_eq!(
            complaints_of(parse_quote!(
                pub(crate) async fn f(mut a: i64, r#type: View<[u8; 4]>) -> Result<(), E> {}
            )),
            [""; 0]
        );
    }

    #[test]
    fn every_mistake_is_found() {
        let errors = complaints_of(parse_quote!(
            const unsafe extern "C" fn f<T: Clone>(
                self,
                _: T,
                (a, b): (i64, i64),
                #[cfg(x)] c: &str,
            ) -> &'static str {
            }
        ));
        assert_eq!(errors.len(), 10, "{errors:#?}");
    }

    #[test]
    fn advice_follows_from_the_mistake() {
        let said = |item| complaints_of(item).join("\n");
        assert!(
            said(parse_quote!(
                fn f<T>(a: T) {}
            ))
            .contains("`fn f_i64(…)`")
        );
        assert!(
            said(parse_quote!(
                fn f<'a>(a: u8) {}
            ))
            .contains("owned values")
        );
        assert!(
            said(parse_quote!(
                fn f(_: u8) {}
            ))
            .contains("write `_unused`")
        );
        assert!(
            said(parse_quote!(
                fn f(P { x }: P) {}
            ))
            .contains("destructure it in the body")
        );
        assert!(
            said(parse_quote!(
                fn f(&self) {}
            ))
            .contains("actor_methods")
        );
        assert!(
            said(parse_quote!(
                fn f()
                where
                    u8: Copy,
                {
                }
            ))
            .contains("`where` clause")
        );
    }

    #[test]
    fn variables_step_aside_for_parameters() {
        let item: ItemFn = parse_quote!(
            fn f(call: u8, call_: u8) {}
        );
        let mut complaints = Complaints::default();
        let (vis, sig) = (&item.vis, &item.sig);
        let signature =
            Signature::parse(Kind::Function, &[], vis, sig, &NumReturns::One, &mut complaints);
        assert_eq!(signature.fresh("call"), "call__");
        assert_eq!(signature.fresh("args"), "args");
    }
}
