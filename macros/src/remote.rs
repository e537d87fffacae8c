//! `#[remote]`: a free function becomes a task.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{
    Attribute, FnArg, Ident, Visibility,
    parse::{Parse, ParseStream},
};

use crate::{
    builder,
    complaints::Complaints,
    options::Task,
    outcome::Shape,
    place,
    signature::{Kind, Signature, documentation},
};

/// A function whose body is left alone.
struct Function {
    attributes: Vec<Attribute>,
    visibility: Visibility,
    signature: syn::Signature,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let function = Function {
            attributes: input.call(Attribute::parse_outer)?,
            visibility: input.parse()?,
            signature: input.parse()?,
        };
        input.parse::<TokenStream>()?;
        Ok(function)
    }
}

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut complaints = Complaints::default();
    let task = Task::parse(arguments, &mut complaints);
    let function = match syn::parse2::<Function>(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            match syn::parse2::<syn::Item>(item.clone()) {
                // Not a function.
                Ok(other) => complaints.about(
                    other,
                    "`#[rustyray::remote]` is for functions; a \
                                                      type becomes an actor by \
                                                      `#[rustyray::actor]`",
                ),
                Err(_) => complaints.add(error),
            }
            return quote!(#item #complaints);
        }
    };
    let mut misfits = Complaints::default();
    let Function { attributes, visibility, signature } = &function;
    let is_method = matches!(signature.inputs.first(), Some(FnArg::Receiver(_)));
    let signature = Signature::parse(
        Kind::Function,
        attributes,
        visibility,
        signature,
        &task.num_returns,
        &mut misfits,
    );
    let remote = Remote { task, signature, is_stand_in: !misfits.is_empty() };
    complaints.append(misfits);
    if is_method {
        // Beside it, in an `impl`, nothing of what is generated could stand.
        return quote!(#item #complaints);
    }
    quote!(#item #remote #complaints)
}

struct Remote {
    task: Task,
    signature: Signature,
    is_stand_in: bool,
}

impl ToTokens for Remote {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let here = Span::mixed_site();
        let Remote { task, signature, .. } = self;
        let (root, name, visibility) = (&task.root, signature.name(), &signature.visibility);
        let at = signature.ident.span().resolved_at(here);
        let namespace = format_ident!("{}_remote", signature.ident, span = at);
        let options = format_ident!("{}_task_options", signature.ident, span = here);
        let (cfgs, setters) = (&signature.attributes.cfgs, &task.setters);
        let checked = setters.checked();
        let allow = signature.attributes.allow_deprecated();

        let doc = signature.attributes.documented(&format!(
            "`{name}` as a task: [`remote`](Self::remote) submits one, [`options`](Self::options) \
             begins one with other options."
        ));
        let delegates = builder::task_delegates(root, signature.outcome.shape());
        let delegates = delegates.iter().map(|delegate| delegate.expand(visibility));
        let prelude = crate::prelude::used(root);
        let registration = (!self.is_stand_in).then(|| self.registration());
        let assertion = if self.is_stand_in { None } else { signature.outcome.assertion(root) };
        let submit = self.submission(None);
        let submit_with = self.submission(Some(&options));

        tokens.extend(quote_spanned! {here=>
            #(#cfgs)*
            #doc
            #[allow(non_camel_case_types)]
            #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
            #visibility struct #namespace;

            #(#cfgs)*
            #allow
            const _: () = {
                #prelude
                #registration
                #assertion

                const __OPTIONS: #root::manual::TaskOptions =
                    #root::manual::TaskOptions::new() #setters #checked;

                impl #namespace {
                    #submit

                    /// Begins a task with other options.
                    #visibility const fn options() -> #options {
                        #options(__OPTIONS)
                    }
                }

                /// Options of one task.
                #[doc(hidden)]
                #[allow(non_camel_case_types)]
                #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
                #visibility struct #options(#root::manual::TaskOptions);

                impl #options {
                    #(#delegates)*

                    #submit_with
                }
            };
        });
    }
}

impl Remote {
    /// The static by which other processes find the function.
    fn registration(&self) -> TokenStream {
        let here = Span::mixed_site();
        let Remote { task: Task { root, .. }, signature, .. } = self;
        let (name, within) = (signature.name(), place::within(signature.ident.span()));
        let call = signature.fresh("call");
        let (read, run) = (signature.read(&call), self.run(&call));
        quote_spanned! {here=>
            #[#root::manual::linkme::distributed_slice(#root::manual::FUNCTIONS)]
            #[linkme(crate = #root::manual::linkme)]
            static __FUNCTION: #root::manual::Function = #root::manual::Function::new(
                ::core::concat!(::core::module_path!(), "::", #name),
                ::core::concat!(::core::file!(), ":", ::core::line!(), ":", ::core::column!(), #within),
                |#call| {
                    #read
                    #run
                },
            );
        }
    }

    /// How the function is run and its result taken.
    fn run(&self, call: &Ident) -> TokenStream {
        let here = Span::mixed_site();
        let Remote { task: Task { root, .. }, signature, .. } = self;
        let (ident, passed, wrapper) =
            (&signature.ident, signature.passed(), signature.outcome.wrapper(root));
        let done = signature.is_async.then(|| quote_spanned!(here=> .await));
        let called = signature.outcome.called(TokenStream::new(), ident, passed);
        let result = quote_spanned!(here=> #called #done);
        let wrapped = signature.outcome.wrapped(root, result.clone());
        let blamed = |name| signature.outcome.blamed(name);
        match (signature.outcome.shape(), signature.is_async) {
            (Shape::One | Shape::Several(_), false) => {
                let finish = blamed("finish");
                quote_spanned!(here=> #call.#finish(#wrapped))
            }
            (Shape::One | Shape::Several(_), true) => {
                let finish = blamed("finish_async");
                quote_spanned!(here=> #call.#finish(async move { #wrapped }))
            }
            (Shape::Iterator, _) => {
                let finish = blamed("finish_stream");
                let items = signature.outcome.opened(root, result);
                quote_spanned!(here=> #call.#finish(::core::iter::Iterator::map(#items, #wrapper)))
            }
            (Shape::Stream, _) if signature.outcome.is_in_result() => {
                let finish = blamed("finish_opened_async");
                let items = signature.outcome.opened(root, result);
                quote_spanned! {here=>
                    #call.#finish(async move {
                        ::core::result::Result::Ok(#root::manual::outcomes(#items, #wrapper))
                    })
                }
            }
            (Shape::Stream, _) => {
                let finish = blamed("finish_stream_async");
                quote_spanned! {here=>
                    #call.#finish(async move { #root::manual::outcomes(#result, #wrapper) })
                }
            }
        }
    }

    /// `remote`, on the namespace or on its options.
    fn submission(&self, options: Option<&Ident>) -> TokenStream {
        let here = Span::mixed_site();
        let Remote { task: Task { root, .. }, signature, .. } = self;
        let (visibility, name) = (&signature.visibility, signature.name());
        let reference = signature.outcome.reference(root);
        let (receiver, given) = match options {
            None => (None, quote_spanned!(here=> &__OPTIONS)),
            Some(_) => (Some(quote_spanned!(here=> self,)), quote_spanned!(here=> self.0)),
        };
        let doc = match options {
            None => signature.attributes.documented(&format!(
                "Submits a task that runs `{name}` in a worker process.\n\n# Errors\nWhen the \
                runtime is not \
                 running, or an argument cannot be stored. Errors of the task itself arrive where \
                 its result is read."
            )),
            Some(_) => {
                let doc = format!("Submits a task that runs `{name}` with these options.");
                documentation(&doc)
            }
        };
        if self.is_stand_in {
            let taken = signature.taken_by_stand_in();
            let (generics, clause) = signature.generics_of_stand_in();
            return quote_spanned! {here=>
                #doc
                #visibility async fn remote #generics(
                    #receiver #taken
                ) -> #root::Result<#reference> #clause {
                    ::core::unreachable!()
                }
            };
        }
        let (taken, pushed) = (signature.taken(root), signature.pushed());
        let stored = signature.outcome.stored(root);
        let submit = match signature.outcome.shape() {
            Shape::One => quote_spanned!(here=> submit),
            Shape::Several(_) => quote_spanned!(here=> submit_several),
            Shape::Iterator | Shape::Stream => quote_spanned!(here=> submit_stream),
        };
        quote_spanned! {here=>
            #doc
            #[track_caller]
            #visibility fn remote(
                #receiver #taken
            ) -> impl ::core::future::Future<Output = #root::Result<#reference>> {
                #root::manual::#submit::<#stored>(&__FUNCTION, #given, #pushed)
            }
        }
    }
}
