//! The errors found so far. Finding one never ends the search for more.

use std::fmt::Display;

use proc_macro2::TokenStream;
use quote::ToTokens;

/// Errors in the order in which they were found.
#[derive(Default)]
pub(crate) struct Complaints(Option<syn::Error>);

impl Complaints {
    /// Complains about `tokens`.
    pub(crate) fn about(&mut self, tokens: impl ToTokens, message: impl Display) {
        self.add(syn::Error::new_spanned(tokens, message));
    }

    /// Adds an error that already knows its place.
    pub(crate) fn add(&mut self, error: syn::Error) {
        match &mut self.0 {
            None => self.0 = Some(error),
            Some(errors) => errors.combine(error),
        }
    }

    /// Adds all of `others`.
    pub(crate) fn append(&mut self, others: Complaints) {
        if let Some(errors) = others.0 {
            self.add(errors);
        }
    }

    /// The value, or `None` after adding the error.
    pub(crate) fn take<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    /// Whether there is anything to complain about.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The messages, for tests.
    #[cfg(test)]
    pub(crate) fn messages(self) -> Vec<String> {
        self.0.into_iter().flatten().map(|error| error.to_string()).collect()
    }
}

impl ToTokens for Complaints {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        if let Some(errors) = &self.0 {
            tokens.extend(errors.to_compile_error());
        }
    }
}
