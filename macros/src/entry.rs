//! `#[main]` and `#[test]`: an async function runs inside a runtime of its own.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{
    Attribute, Ident, ReturnType, Visibility,
    parse::{Parse, ParseStream},
    spanned::Spanned,
};

use crate::{complaints::Complaints, options::Runtime};

/// A function whose body is left alone.
struct Function {
    attributes: Vec<Attribute>,
    visibility: Visibility,
    signature: syn::Signature,
    body: TokenStream,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Ok(Function {
            attributes: input.call(Attribute::parse_outer)?,
            visibility: input.parse()?,
            signature: input.parse()?,
            body: input.parse()?,
        })
    }
}

pub(crate) fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand("main", arguments, item)
}

pub(crate) fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand("test", arguments, item)
}

fn expand(macro_name: &str, arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut complaints = Complaints::default();
    let runtime = Runtime::parse(macro_name, arguments, &mut complaints);
    let function = match syn::parse2::<Function>(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            complaints.add(error);
            return quote!(#item #complaints);
        }
    };
    check(macro_name, &function.signature, &mut complaints);
    let expanded = match function.signature.asyncness {
        Some(_) => {
            let run = if macro_name == "main" { "run_main" } else { "run_test" };
            expand_function(&runtime, run, &function)
        }
        None => item,
    };
    quote!(#expanded #complaints)
}

fn check(macro_name: &str, signature: &syn::Signature, complaints: &mut Complaints) {
    if signature.asyncness.is_none() {
        complaints.about(
            signature.fn_token,
            format!("`#[rustyray::{macro_name}]` runs an async function; write `async fn`"),
        );
    }
    if let Some(first) = signature.inputs.first() {
        let message = match macro_name {
            "main" => "`main` takes no parameters; read `std::env::args()`",
            _ => "a test takes no parameters",
        };
        complaints.about(first, message);
    }
    if !signature.generics.params.is_empty() {
        complaints.about(&signature.generics, format!("`{}` cannot be generic", signature.ident));
    }
}

fn expand_function(runtime: &Runtime, run: &str, function: &Function) -> TokenStream {
    let here = Span::mixed_site();
    let Function { attributes, visibility, signature, body } = function;
    let (root, setters, ident) = (&runtime.root, &runtime.setters, &signature.ident);
    let run = Ident::new(run, here);
    // What is wrong with the result's type is shown at the type.
    let at = match &signature.output {
        ReturnType::Default => here,
        ReturnType::Type(_, ty) => here.located_at(ty.span()),
    };
    let call = quote_spanned!(at=> #ident());
    let (marker, output) = match run == "run_main" {
        true => (None, quote_spanned!(here=> -> ::std::process::ExitCode)),
        false => (Some(quote!(#[::core::prelude::v1::test])), signature.output.to_token_stream()),
    };
    let mut inner = signature.clone();
    inner.inputs.clear();
    quote_spanned! {here=>
        #marker
        #(#attributes)*
        #visibility fn #ident() #output {
            #inner #body
            #root::manual::#run(#root::Builder::new() #setters, #call)
        }
    }
}
