//! Types that can be seen not to travel between processes, and what to write instead.
//!
//! Whether a type can be archived is for the compiler to say, by the traits of `rustyray::manual`. What is
//! found here is what would give a less helpful error there: borrowed types, opaque types, pointers.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::{
    GenericArgument, Lifetime, Type, parse_quote_spanned,
    spanned::Spanned,
    visit::{self, Visit},
};

use crate::{complaints::Complaints, spelling::spelled};

/// Where a type stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Parameter,
    Result,
    Item,
}

/// The type behind invisible groups and parentheses.
pub(crate) fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(inner) => bare(&inner.elem),
        Type::Paren(inner) => bare(&inner.elem),
        other => other,
    }
}

/// Complains when values of `ty` cannot travel, and gives the type that was probably meant.
pub(crate) fn check(ty: &Type, role: Role, complaints: &mut Complaints) -> Type {
    let (message, instead) = match bare(ty) {
        Type::Reference(reference) => return borrowed(ty, reference, role, complaints),
        Type::ImplTrait(_) if role == Role::Parameter => (
            "a parameter of a remote function has one type, since it is decoded in another \
             process; name it instead of `impl …`",
            None,
        ),
        Type::ImplTrait(opaque) => {
            return returned_opaque(opaque, complaints).unwrap_or_else(unit);
        }
        Type::TraitObject(_) => {
            ("a trait object cannot travel between processes; name the type", None)
        }
        Type::Ptr(_) => ("a pointer means nothing in another process; pass the value", None),
        Type::FnPtr(_) => (
            "a function pointer means nothing in another process; pass data, and choose the \
             function there",
            None,
        ),
        Type::Slice(slice) => {
            let elem = &slice.elem;
            (
                "a slice has no size of its own; write `Vec<…>`",
                Some(parse_quote_spanned!(ty.span()=> ::std::vec::Vec<#elem>)),
            )
        }
        Type::Never(_) => (
            "a remote function that never returns has no result to wait for; return `()`",
            Some(unit()),
        ),
        Type::Infer(_) => {
            ("a remote function names the types of its parameters and its result", None)
        }
        _ => {
            let mut search = Borrows::default();
            search.visit_type(ty);
            match search.found {
                Some(found) => {
                    complaints.about(
                        found,
                        "borrowed data cannot travel between processes; use the owned type here, \
                        such as \
                         `String` for `&str` and `Vec<T>` for `&[T]`",
                    );
                    return unit();
                }
                None => return ty.clone(),
            }
        }
    };
    complaints.about(ty, message);
    instead.unwrap_or_else(unit)
}

fn unit() -> Type {
    Type::Tuple(syn::TypeTuple {
        attrs: Vec::new(),
        paren_token: syn::token::Paren(Span::call_site()),
        elems: syn::punctuated::Punctuated::new(),
    })
}

fn borrowed(
    ty: &Type,
    reference: &syn::TypeReference,
    role: Role,
    complaints: &mut Complaints,
) -> Type {
    let inner = bare(&reference.elem);
    let owned: Type = match inner {
        Type::Path(path) if path.path.is_ident("str") => {
            parse_quote_spanned!(ty.span()=> ::std::string::String)
        }
        Type::Slice(slice) => {
            let elem = &slice.elem;
            parse_quote_spanned!(ty.span()=> ::std::vec::Vec<#elem>)
        }
        other => other.clone(),
    };
    let written = match inner {
        Type::Path(path) if path.path.is_ident("str") => "String".to_owned(),
        Type::Slice(slice) => format!("Vec<{}>", spelled(&slice.elem)),
        other => spelled(other),
    };
    let name = spelled(ty);
    let message = match role {
        Role::Parameter if reference.mutability.is_some() => format!(
            "`{name}` would change a copy in another process; take `{written}` and return what it \
             becomes"
        ),
        Role::Parameter => format!(
            "a remote function cannot borrow from its caller, which is another process; instead \
            of `{name}` \
             take `{written}`, or `View<{written}>` to read the stored value in place"
        ),
        Role::Result | Role::Item => {
            format!(
                "a borrowed result cannot leave its process; instead of `{name}` return `{written}`"
            )
        }
    };
    complaints.about(ty, message);
    match &owned {
        Type::TraitObject(_) | Type::ImplTrait(_) => unit(),
        _ => owned,
    }
}

fn returned_opaque(opaque: &syn::TypeImplTrait, complaints: &mut Complaints) -> Option<Type> {
    let last = opaque.bounds.iter().find_map(|bound| match bound {
        syn::TypeParamBound::Trait(bound) => bound.path.segments.last(),
        _ => None,
    });
    let message = match last.map(|segment| segment.ident.to_string()).as_deref() {
        Some("Iterator" | "Stream") => {
            "to send the items one by one write `num_returns = \"streaming\"` in the attribute; \
            to send them \
             all at once return a `Vec`"
        }
        Some("Future") => "write `async fn` and return the future's output",
        _ => {
            "the caller decodes the result in another process and needs its type; name it instead \
             of `impl …`"
        }
    };
    complaints.about(opaque, message);
    last.and_then(|segment| match &segment.arguments {
        syn::PathArguments::AngleBracketed(arguments) => {
            arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::AssocType(assoc) if assoc.ident == "Output" => {
                    Some(assoc.ty.clone())
                }
                _ => None,
            })
        }
        _ => None,
    })
}

/// Finds the first thing inside a type that is borrowed.
#[derive(Default)]
struct Borrows {
    found: Option<TokenStream>,
}

impl<'ast> Visit<'ast> for Borrows {
    fn visit_type_reference(&mut self, reference: &'ast syn::TypeReference) {
        self.found.get_or_insert(reference.to_token_stream());
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if lifetime.ident != "static" {
            self.found.get_or_insert(lifetime.to_token_stream());
        }
    }

    fn visit_type_fn_ptr(&mut self, _: &'ast syn::TypeFnPtr) {
        // Lifetimes inside are bound there; that a function pointer cannot travel is a matter of traits.
    }

    fn visit_type(&mut self, ty: &'ast Type) {
        if self.found.is_none() {
            visit::visit_type(self, ty);
        }
    }

    fn visit_expr(&mut self, _: &'ast syn::Expr) {
        // An array's length.
    }
}

/// The last identifier of a path type.
pub(crate) fn last_segment(ty: &Type) -> Option<String> {
    match bare(ty) {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        _ => None,
    }
}

/// Whether the type is called `Result`, whatever stands before it.
pub(crate) fn is_result(ty: &Type) -> bool {
    last_segment(ty).as_deref() == Some("Result")
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    fn checked(ty: Type, role: Role) -> (String, Vec<String>) {
        let mut complaints = Complaints::default();
        let meant = check(&ty, role, &mut complaints);
        (spelled(&meant), complaints.messages())
    }

    #[test]
    fn owned_types_pass() {
        for ty in [
            parse_quote!(i64),
            parse_quote!(Vec<(String, Option<u8>)>),
            parse_quote!([f64; 4]),
            parse_quote!(rustyray::View<Vec<f64>>),
            parse_quote!(PhantomData<fn(&str) -> &str>),
        ] {
            let before = spelled(&ty);
            assert_eq!(checked(ty, Role::Parameter), (before, vec![]));
        }
    }

    #[test]
    fn a_borrowed_parameter_is_told_its_owned_type() {
        let (meant, errors) = checked(parse_quote!(&str), Role::Parameter);
        assert_eq!(meant, "::std::string::String");
        assert!(
            errors[0].contains("instead of `&str` take `String`, or `View<String>`"),
            "{errors:?}"
        );
        let (meant, errors) = checked(parse_quote!(&'a [Vec<u8>]), Role::Parameter);
        assert_eq!(meant, "::std::vec::Vec<Vec<u8>>");
        assert!(errors[0].contains("take `Vec<Vec<u8>>`, or `View<Vec<Vec<u8>>>`"), "{errors:?}");
        let (_, errors) = checked(parse_quote!(&mut State), Role::Parameter);
        assert!(errors[0].contains("take `State` and return"), "{errors:?}");
        let (meant, errors) = checked(parse_quote!(&'static str), Role::Result);
        assert_eq!(meant, "::std::string::String");
        assert!(errors[0].contains("return `String`"), "{errors:?}");
    }

    #[test]
    fn borrowing_inside_a_type_is_found_once() {
        for ty in [
            parse_quote!(Vec<&str>),
            parse_quote!(Cow<'_, str>),
            parse_quote!(HashMap<&'a str, &'a str>),
            parse_quote!((u8, Option<&'static [u8]>)),
        ] {
            let (_, errors) = checked(ty, Role::Parameter);
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].contains("the owned type"), "{errors:?}");
        }
    }

    #[test]
    fn opaque_results_are_told_what_to_do() {
        let said = |ty| checked(ty, Role::Result).1.join("");
        assert!(
            said(parse_quote!(impl Iterator<Item = u8>)).contains("num_returns = \"streaming\"")
        );
        assert!(said(parse_quote!(impl Future<Output = u8>)).contains("async fn"));
        assert!(said(parse_quote!(impl Debug)).contains("name it instead"));
        assert!(said(parse_quote!(!)).contains("return `()`"));
        assert!(said(parse_quote!(dyn Debug)).contains("trait object"));
    }
}
