//! `use rustyray::prelude::*` in a program whose macros are all that it uses of it is not an unused import.
//!
//! What the macros expand to names everything by its full path, so the compiler would say that nothing comes from the
//! prelude. One expression does: a method that the prelude's trait has, if it is in scope, and another trait
//! otherwise. It finds them in that order, since the prelude's takes the receiver as it is and the other by reference.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;

use crate::argument::Root;

/// An item that makes use of the prelude where it is imported.
pub(crate) fn used(root: &Root) -> TokenStream {
    quote_spanned! {Span::call_site()=>
        const _: fn() = || {
            #[allow(unused_imports)]
            use #root::manual::WithoutPrelude as _;
            #root::manual::Prelude.use_it();
        };
    }
}
