//! The syntax inside the parentheses of an attribute: `name`, `name = value`, `name(key = value, …)`.
//!
//! What a name means, and whether it exists, is decided in [`options`](crate::options).

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::{
    Expr, Ident, LitStr, Path, Token,
    ext::IdentExt,
    parenthesized,
    parse::{Parse, ParseStream, Parser},
    spanned::Spanned,
    token,
};

use crate::complaints::Complaints;

/// One argument.
pub(crate) struct Argument {
    pub(crate) name: Ident,
    pub(crate) value: Value,
}

/// What follows an argument's name.
pub(crate) enum Value {
    /// Nothing.
    Absent,
    /// `= value`
    Is(Expr),
    /// `(key = value, …)`
    Entries(Vec<Entry>),
}

/// One `key = value` of an argument in parentheses.
pub(crate) struct Entry {
    pub(crate) key: LitStr,
    pub(crate) value: Expr,
}

impl Argument {
    /// The argument's value, where it was written `name = value`.
    pub(crate) fn is(&self, example: &str) -> syn::Result<&Expr> {
        match &self.value {
            Value::Is(value) => Ok(value),
            _ => Err(syn::Error::new(self.name.span(), format!("write `{example}`"))),
        }
    }

    /// The argument's entries, where it was written `name(key = value, …)`.
    pub(crate) fn entries(&self, example: &str) -> syn::Result<&[Entry]> {
        match &self.value {
            Value::Entries(entries) => Ok(entries),
            _ => Err(syn::Error::new(self.name.span(), format!("write `{example}`"))),
        }
    }
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if !input.peek(Ident::peek_any) {
            return Err(input.error("expected the name of an argument, as in `num_cpus = 2`"));
        }
        let name = input.call(Ident::parse_any)?;
        let value = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            if input.is_empty() || input.peek(Token![,]) {
                return Err(syn::Error::new(name.span(), format!("`{name} =` lacks its value")));
            }
            Value::Is(input.parse()?)
        } else if input.peek(token::Paren) {
            let content;
            parenthesized!(content in input);
            Value::Entries(content.parse_terminated(Entry::parse, Token![,])?.into_iter().collect())
        } else {
            Value::Absent
        };
        if !input.is_empty() && !input.peek(Token![,]) {
            return Err(input.error("expected `,` before the next argument"));
        }
        Ok(Argument { name, value })
    }
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let key = if input.peek(LitStr) {
            input.parse()?
        } else {
            let name = input.call(Ident::parse_any)?;
            LitStr::new(&name.unraw().to_string(), name.span())
        };
        if !input.peek(Token![=]) {
            let message = format!("write an amount: `{} = 1`", key.value());
            return Err(syn::Error::new(key.span(), message));
        }
        input.parse::<Token![=]>()?;
        Ok(Entry { key, value: input.parse()? })
    }
}

/// All arguments that can be read. After one that cannot, reading goes on at the next comma.
pub(crate) fn parse(tokens: TokenStream, complaints: &mut Complaints) -> Vec<Argument> {
    let parser = |input: ParseStream<'_>| {
        let mut arguments: Vec<Argument> = Vec::new();
        while !input.is_empty() {
            if let Some(argument) = complaints.take(input.parse::<Argument>()) {
                match arguments.iter().any(|earlier| earlier.name == argument.name) {
                    true => complaints
                        .about(&argument.name, format!("`{}` is given twice", argument.name)),
                    false => arguments.push(argument),
                }
            } else {
                while !input.is_empty() && !input.peek(Token![,]) {
                    input.parse::<TokenTree>()?;
                }
            }
            input.parse::<Option<Token![,]>>()?;
        }
        Ok(arguments)
    };
    let parsed = Parser::parse2(parser, tokens);
    complaints.take(parsed).unwrap_or_default()
}

/// The path of the `rustyray` crate: `::rustyray`, or what `crate = path` says.
pub(crate) struct Root(Option<Path>);

impl Root {
    /// Takes `crate = path` out of `arguments`.
    pub(crate) fn take(arguments: &mut Vec<Argument>, complaints: &mut Complaints) -> Root {
        let Some(at) = arguments.iter().position(|argument| argument.name == "crate") else {
            return Root(None);
        };
        let argument = arguments.remove(at);
        match argument.is("crate = some::path") {
            Ok(Expr::Path(path)) if path.qself.is_none() => Root(Some(path.path.clone())),
            Ok(other) => {
                complaints.about(
                    other,
                    "expected the path of the `rustyray` crate, as in `crate = some::path`",
                );
                Root(None)
            }
            Err(error) => {
                complaints.add(error);
                Root(None)
            }
        }
    }

    /// The path, whose errors are shown at `span`.
    pub(crate) fn at(&self, span: Span) -> TokenStream {
        match &self.0 {
            Some(path) => path.to_token_stream(),
            None => {
                let span = Span::mixed_site().located_at(span);
                quote_spanned!(span=> ::rustyray)
            }
        }
    }

    /// `rustyray::manual` for errors at `tokens`.
    pub(crate) fn manual_at(&self, tokens: &impl Spanned) -> TokenStream {
        let span = Span::mixed_site().located_at(tokens.span());
        let root = self.at(span);
        quote_spanned!(span=> #root::manual)
    }
}

impl ToTokens for Root {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match &self.0 {
            Some(path) => path.to_tokens(tokens),
            None => tokens.extend(quote!(::rustyray)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(tokens: TokenStream) -> (Vec<String>, Vec<String>) {
        let mut complaints = Complaints::default();
        let arguments = parse(tokens, &mut complaints);
        (
            arguments.iter().map(|argument| argument.name.to_string()).collect(),
            complaints.messages(),
        )
    }

    #[test]
    fn every_form_is_read() {
        let (names, errors) = parsed(quote!(
            num_cpus = 2,
            resources(tpu = 1.0, "x y" = 2,),
            retry_exceptions,
            crate = a::b
        ));
        assert_eq!(names, ["num_cpus", "resources", "retry_exceptions", "crate"]);
        assert_eq!(errors, [""; 0]);
    }

    #[test]
    fn reading_goes_on_after_an_error() {
        let (names, errors) =
            parsed(quote!(3, num_cpus =, max_retries = 1 2, resources(tpu), name = "x"));
        assert_eq!(names, ["name"]);
        assert_eq!(
            errors,
            [
                "expected the name of an argument, as in `num_cpus = 2`",
                "`num_cpus =` lacks its value",
                "expected `,` before the next argument",
                "write an amount: `tpu = 1`",
            ]
        );
    }

    #[test]
    fn an_argument_given_twice_counts_once() {
        let (names, errors) = parsed(quote!(num_cpus = 1, num_cpus = 2));
        assert_eq!(names, ["num_cpus"]);
        assert_eq!(errors, ["`num_cpus` is given twice"]);
    }
}
