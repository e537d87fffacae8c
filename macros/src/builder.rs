//! The methods of the generated option types: each passes on to the method of its name.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};

use crate::{argument::Root, outcome::Shape, signature::documentation};

/// One method of a generated options type: its name, its parameters, what they are passed on as, its documentation.
pub(crate) struct Delegate {
    name: &'static str,
    parameters: TokenStream,
    passed: TokenStream,
    doc: &'static str,
}

fn delegate(name: &'static str, parameter: TokenStream, doc: &'static str) -> Delegate {
    let argument = format_ident!("{name}");
    Delegate { name, parameters: quote!(#argument: #parameter), passed: quote!(#argument), doc }
}

fn demand_delegates(root: &Root) -> Vec<Delegate> {
    vec![
        Delegate {
            name: "num_cpus",
            parameters: quote!(cpus: impl #root::Amount),
            passed: quote!(#root::manual::units(cpus)),
            doc: "How many cpus it occupies; fractions count to 1/10000.",
        },
        Delegate {
            name: "num_gpus",
            parameters: quote!(gpus: impl #root::Amount),
            passed: quote!(#root::manual::units(gpus)),
            doc: "How many gpus it occupies; fractions count to 1/10000.",
        },
        Delegate {
            name: "resource",
            parameters: quote!(name: &'static str, amount: impl #root::Amount),
            passed: quote!(name, #root::manual::units(amount)),
            doc: "How much of a custom resource it occupies.",
        },
        delegate("memory", quote!(u64), "How much memory it needs, in bytes."),
        Delegate {
            name: "placement_group",
            parameters: quote!(group: &#root::PlacementGroup, bundle: i32),
            passed: quote!(group, bundle),
            doc: "Out of a placement group's resources: this bundle's, or with -1 any's.",
        },
        delegate(
            "capture_child_tasks",
            quote!(bool),
            "Whether what it submits runs in the group as well.",
        ),
    ]
}

/// The methods of a task's options; some only where its result has the shape for them.
pub(crate) fn task_delegates(root: &Root, shape: &Shape) -> Vec<Delegate> {
    let mut delegates = demand_delegates(root);
    delegates.extend([
        delegate("name", quote!(&'static str), "Its name in errors and listings."),
        delegate(
            "max_retries",
            quote!(i32),
            "How often it runs again after its worker died, -1 for as often as it takes.",
        ),
        delegate(
            "retry_exceptions",
            quote!(bool),
            "Whether it runs again after an `Err` or a panic too.",
        ),
        delegate("timeout_ms", quote!(u64), "How long one attempt may run, in milliseconds."),
        delegate("priority", quote!(i16), "Tasks of higher priority are dispatched first."),
    ]);
    match shape {
        Shape::One => {}
        Shape::Several(_) => delegates.push(delegate(
            "num_returns",
            quote!(u16),
            "How many objects its result becomes.",
        )),
        Shape::Iterator | Shape::Stream => delegates.push(delegate(
            "backpressure",
            quote!(u32),
            "How many of its items may be made and not yet consumed.",
        )),
    }
    delegates
}

/// The methods of an actor's options.
pub(crate) fn actor_delegates(root: &Root) -> Vec<Delegate> {
    let mut delegates = demand_delegates(root);
    delegates.extend([
        delegate(
            "name",
            quote!(impl ::core::convert::Into<::std::string::String>),
            "The name under which any process finds the actor.",
        ),
        delegate(
            "get_if_exists",
            quote!(bool),
            "Takes the actor that has the name already, where \
                                                 there is one.",
        ),
        Delegate {
            name: "detached",
            parameters: quote!(),
            passed: quote!(),
            doc: "The actor lives until it is killed, exits, or the node ends, whoever holds a \
                  handle.",
        },
        delegate(
            "max_restarts",
            quote!(i32),
            "How often it is constructed again after its \
                                               process died, -1 for as often as it takes.",
        ),
        delegate(
            "max_task_retries",
            quote!(i32),
            "How often a call that was under way when the \
                                                   process died runs again.",
        ),
        delegate(
            "max_concurrency",
            quote!(u32),
            "How many `&self` calls and async calls may \
                                                  overlap.",
        ),
        delegate("max_pending_calls", quote!(u64), "How many unfinished calls it accepts."),
        delegate(
            "out_of_order",
            quote!(bool),
            "Whether calls that wait for their arguments let later ones pass.",
        ),
    ]);
    delegates
}

impl Delegate {
    /// The method, passing on to the same method of `self.0`.
    pub(crate) fn expand(&self, visibility: &syn::Visibility) -> TokenStream {
        let Delegate { parameters, passed, doc, .. } = self;
        let doc = documentation(doc);
        let name = format_ident!("{}", self.name, span = Span::mixed_site());
        quote! {
            #doc
            #[must_use]
            #visibility fn #name(self, #parameters) -> Self {
                Self(self.0.#name(#passed))
            }
        }
    }
}
