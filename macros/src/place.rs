//! Where in its source something is written.
//!
//! `line!` and `column!` give the place of the outermost macro that is expanded: two functions of the same name that one
//! `macro_rules!` writes into two scopes would be at the same. So a registration also says where the attribute and the
//! name themselves are written, which is within that macro.

use proc_macro2::Span;

/// The places of the attribute that is expanded and of what has this span, to be added to that of the outermost macro.
pub(crate) fn within(named: Span) -> String {
    format!("/{}/{}", written_at(Span::call_site()), written_at(named))
}

/// `line:column`, where a compiler is there to say so.
fn written_at(span: Span) -> String {
    if !proc_macro::is_available() {
        return "0:0".into();
    }
    let span = span.unwrap();
    format!("{}:{}", span.line(), span.column())
}
