//! The code that an actor's class becomes.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Ident, Visibility};

use super::{Class, Constructor, Method, mixed};
use crate::{builder::actor_delegates, outcome::Shape, place, signature::documentation};

impl Class {
    /// Everything that is generated beside the user's block.
    pub(super) fn expand(&self) -> TokenStream {
        let here = Span::mixed_site();
        let Class { root, path, handle, .. } = self;
        let registration = (!self.is_stand_in).then(|| self.registration());
        let constructors = self.constructors.iter().filter(|constructor| !constructor.is_taken);
        let constructors = constructors.map(|constructor| self.construction(constructor, None));
        let methods = self.methods.iter().map(|method| {
            let (call, tried) = (self.call(method), self.tried_call(method));
            quote!(#call #tried)
        });
        let (begin, builder) = self.begin();
        let checks = (!self.is_stand_in).then(|| self.checks());
        quote_spanned! {here=>
            const _: () = {
                #[allow(unused_imports)]
                use #root::manual::ResidenceHere as _;
                #registration
                #checks
                #builder

                impl #path {
                    #(#constructors)*
                    #begin
                }

                impl #handle {
                    #(#methods)*
                }
            };
        }
    }

    /// The static by which other processes find the class.
    fn registration(&self) -> TokenStream {
        let here = Span::mixed_site();
        let Class { root, path, .. } = self;
        let last = path.segments.last().map(|last| &last.ident);
        let name = last.map(Ident::to_string).unwrap_or_default();
        let within = place::within(last.map_or(here, Ident::span));
        let constructors = self.constructors.iter().map(|c| self.constructor_entry(c));
        let methods = self.methods.iter().map(|method| self.method_entry(method));
        let hook = |name: &str, hook: &Option<Method>| {
            hook.as_ref().map(|hook| {
                let call = mixed("call");
                let (setter, run) = (mixed(name), self.run(hook, &call));
                quote_spanned!(here=> .#setter(|#call| #run))
            })
        };
        let (on_start, on_stop) =
            (hook("on_start", &self.on_start), hook("on_stop", &self.on_stop));
        quote_spanned! {here=>
            #[#root::manual::linkme::distributed_slice(#root::manual::ACTORS)]
            #[linkme(crate = #root::manual::linkme)]
            static __CLASS: #root::manual::ActorClass = #root::manual::ActorClass::new(
                ::core::concat!(::core::module_path!(), "::", #name),
                ::core::concat!(::core::file!(), ":", ::core::line!(), ":", ::core::column!(), #within),
                &[#(#constructors),*],
                &[#(#methods),*],
            )
            .options(__OPTIONS) #on_start #on_stop;

            const __OPTIONS: &#root::manual::ActorOptions = &<#path as #root::manual::Actor>::OPTIONS;
        }
    }

    fn constructor_entry(&self, constructor: &Constructor) -> TokenStream {
        let here = Span::mixed_site();
        let Class { root, path, .. } = self;
        let signature = &constructor.signature;
        let (ident, name, cfgs) = (&signature.ident, signature.name(), &signature.attributes.cfgs);
        let call = signature.fresh("call");
        let (read, passed) = (signature.read(&call), signature.passed());
        let done = signature.is_async.then(|| quote_spanned!(here=> .await));
        let called = signature.outcome.called(quote_spanned!(here=> #path::), ident, passed);
        let wrapped = signature.outcome.wrapped(root, quote_spanned!(here=> #called #done));
        let run = match signature.is_async {
            false => quote_spanned! {here=>
                #root::manual::Residence::<#path>::construct(#call, #wrapped)
            },
            true => quote_spanned! {here=>
                #root::manual::Residence::<#path>::construct_async(#call, async move { #wrapped })
            },
        };
        quote_spanned! {here=>
            #(#cfgs)*
            #root::manual::Constructor::new(#name, |#call| {
                #read
                #run
            })
        }
    }

    fn method_entry(&self, method: &Method) -> TokenStream {
        let here = Span::mixed_site();
        let root = &self.root;
        let signature = &method.signature;
        let (name, cfgs) = (signature.name(), &signature.attributes.cfgs);
        let call = signature.fresh("call");
        let (read, run) = (signature.read(&call), self.run(method, &call));
        let out_of_order =
            method.options.out_of_order.then(|| quote_spanned!(here=> .out_of_order()));
        let group = method.options.concurrency_group.as_ref();
        let group = group.map(|group| quote_spanned!(here=> .concurrency_group(#group)));
        let access = match (method.is_exclusive, signature.is_async, signature.outcome.shape()) {
            (true, ..) => Some(quote_spanned!(here=> .exclusive())),
            (false, false, Shape::One | Shape::Several(_)) => {
                Some(quote_spanned!(here=> .threaded()))
            }
            _ => None,
        };
        quote_spanned! {here=>
            #(#cfgs)*
            #root::manual::Method::new(#name, |#call| {
                #read
                #run
            }) #access #group #out_of_order
        }
    }

    /// How a method is run and its result taken.
    fn run(&self, method: &Method, call: &Ident) -> TokenStream {
        let here = Span::mixed_site();
        let Class { root, path, .. } = self;
        let signature = &method.signature;
        let (ident, passed) = (&signature.ident, signature.passed());
        let wrapper = signature.outcome.wrapper(root);
        let (actor, items) = (signature.fresh("actor"), signature.fresh("items"));
        let mutability = method.is_exclusive.then(|| quote_spanned!(here=> mut));
        let done = signature.is_async.then(|| quote_spanned!(here=> .await));
        let result = quote_spanned!(here=> #actor.#ident(#passed) #done);
        let wrapped = signature.outcome.wrapped(root, result.clone());
        let access = if method.is_exclusive { "exclusive" } else { "shared" };
        let of = |suffix: &str| signature.outcome.blamed(&format!("{access}{suffix}"));
        match (signature.outcome.shape(), signature.is_async) {
            (Shape::One | Shape::Several(_), false) => {
                let run = of("");
                quote_spanned!(here=> #call.#run(move |#actor: &#mutability #path| #wrapped))
            }
            (Shape::One | Shape::Several(_), true) => {
                let run = of("_async");
                quote_spanned!(here=> #call.#run(async move |#actor: &#mutability #path| #wrapped))
            }
            (Shape::Iterator, _) => {
                let (run, send) = (of("_stream"), signature.outcome.blamed("send_all"));
                let result = signature.outcome.opened(root, result);
                quote_spanned! {here=>
                    #call.#run(move |#actor: &#mutability #path, #items| {
                        #items.#send(::core::iter::Iterator::map(#result, #wrapper))
                    })
                }
            }
            (Shape::Stream, _) => {
                let (run, send) = (of("_stream_async"), signature.outcome.blamed("send_stream"));
                let result = signature.outcome.opened(root, result);
                quote_spanned! {here=>
                    #call.#run(async move |
                        #actor: &#mutability #path,
                        #items: &mut #root::manual::Items<'_>,
                    | {
                        #items.#send(#root::manual::outcomes(#result, #wrapper)).await
                    })
                }
            }
        }
    }

    /// `remote` or `remote_…`, on the type or on its options.
    fn construction(&self, constructor: &Constructor, options: Option<&Visibility>) -> TokenStream {
        let here = Span::mixed_site();
        let Class { root, path, handle, .. } = self;
        let Constructor { signature, remote, .. } = constructor;
        let (name, visibility, cfgs) =
            (signature.name(), &signature.visibility, &signature.attributes.cfgs);
        let class = path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
        let visibility = options.unwrap_or(visibility);
        let (receiver, given, doc) = match options {
            None => (
                None,
                quote_spanned!(here=> __OPTIONS),
                signature.attributes.documented(&format!(
                    "Creates an actor by `{class}::{name}` in a process of its own.\n\n# \
                    Errors\nWhen the runtime is not \
                     running, or an argument cannot be stored. An error of the constructor \
                     arrives with the first call."
                )),
            ),
            Some(_) => {
                let doc = format!("Creates an actor by `{class}::{name}` with these options.");
                let options = quote_spanned!(here=> self.0);
                (Some(quote_spanned!(here=> self,)), options, documentation(&doc))
            }
        };
        if self.is_stand_in {
            let taken = signature.taken_by_stand_in();
            let (generics, clause) = signature.generics_of_stand_in();
            return quote_spanned! {here=>
                #(#cfgs)*
                #doc
                #visibility async fn #remote #generics(
                    #receiver #taken
                ) -> #root::Result<#handle> #clause {
                    ::core::unreachable!()
                }
            };
        }
        let (taken, pushed) = (signature.taken(root), signature.pushed());
        quote_spanned! {here=>
            #(#cfgs)*
            #doc
            #[track_caller]
            #visibility fn #remote(
                #receiver #taken
            ) -> impl ::core::future::Future<Output = #root::Result<#handle>> {
                let inner = #root::manual::create::<#path>(
                    &__CLASS,
                    const { __CLASS.constructor(#name) },
                    #given,
                    #pushed,
                );
                async move {
                    ::core::result::Result::Ok(#root::manual::Handle::from_inner(inner.await?))
                }
            }
        }
    }

    /// `options` and `get`, and the type of the options.
    fn begin(&self) -> (TokenStream, TokenStream) {
        let here = Span::mixed_site();
        let Class { root, path, handle, options, get, .. } = self;
        let Some(first) = self.constructors.first() else { return Default::default() };
        // As visible as the most visible constructor.
        let is_public = |c: &&Constructor| matches!(c.signature.visibility, Visibility::Public(_));
        let visibility =
            &self.constructors.iter().find(is_public).unwrap_or(first).signature.visibility;
        let class = path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
        let builder = format_ident!("{class}ActorOptions", span = here);
        let delegates = actor_delegates(&self.root);
        let delegates = delegates.iter().map(|delegate| delegate.expand(visibility));
        let constructors = self.constructors.iter().map(|constructor| {
            self.construction(constructor, Some(&constructor.signature.visibility))
        });
        let doc = documentation(&format!(
            "Begins a `{class}` actor with other options than its class's."
        ));
        let found = documentation(&format!(
            "The `{class}` actor that was created under this name.\n\n# Errors\nWhen no actor has \
            the name, or one of another \
             class has it."
        ));
        let (defaults, find) = match self.is_stand_in {
            true => (
                quote_spanned!(here=> #root::manual::ActorOptions::new()),
                quote_spanned!(here=> let _ = name; ::core::unreachable!()),
            ),
            false => (
                quote_spanned!(here=> ::core::clone::Clone::clone(__OPTIONS)),
                quote_spanned! {here=>
                    let inner = #root::manual::get::<#path>(&__CLASS, name).await?;
                    ::core::result::Result::Ok(#root::manual::Handle::from_inner(inner))
                },
            ),
        };
        let item = quote_spanned! {here=>
            /// Options of one actor.
            #[doc(hidden)]
            #[derive(::core::clone::Clone, ::core::fmt::Debug)]
            #visibility struct #builder(#root::manual::ActorOptions);

            impl #builder {
                #(#delegates)*
                #(#constructors)*
            }
        };
        let begin = quote_spanned! {here=>
            #doc
            #visibility fn #options() -> #builder {
                #builder(#defaults)
            }

            #found
            #visibility async fn #get(name: &str) -> #root::Result<#handle> {
                #find
            }
        };
        (begin, item)
    }

    /// A method of the handle.
    fn call(&self, method: &Method) -> TokenStream {
        let here = Span::mixed_site();
        let Class { root, path, .. } = self;
        let signature = &method.signature;
        let (ident, name) = (&signature.ident, signature.name());
        let (visibility, cfgs) = (&signature.visibility, &signature.attributes.cfgs);
        let class = path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
        let doc = signature.attributes.documented(&format!(
            "Calls `{class}::{name}` in the actor's process.\n\n# Errors\nWhen the runtime is not \
            running, an argument \
             cannot be stored, or the actor takes no more calls. Errors of the call itself arrive \
             where its result is read."
        ));
        let reference = signature.outcome.reference(root);
        if self.is_stand_in {
            let taken = signature.taken_by_stand_in();
            let (generics, clause) = signature.generics_of_stand_in();
            return quote_spanned! {here=>
                #(#cfgs)*
                #doc
                #visibility async fn #ident #generics(
                    &self, #taken
                ) -> #root::Result<#reference> #clause {
                    ::core::unreachable!()
                }
            };
        }
        let (taken, pushed) = (signature.taken(root), signature.pushed());
        let stored = signature.outcome.stored(root);
        let index = quote_spanned!(here=> const { __CLASS.method(#name) });
        let call = match signature.outcome.shape() {
            Shape::One => quote_spanned!(here=> call::<#stored>(#index, #pushed)),
            Shape::Several(count) => {
                quote_spanned!(here=> call_several::<#stored>(#index, #count, #pushed))
            }
            Shape::Iterator | Shape::Stream => {
                quote_spanned!(here=> call_stream::<#stored>(#index, #pushed))
            }
        };
        quote_spanned! {here=>
            #(#cfgs)*
            #doc
            #[track_caller]
            #visibility fn #ident(
                &self, #taken
            ) -> impl ::core::future::Future<Output = #root::Result<#reference>> {
                #root::manual::Handle::inner(self).#call
            }
        }
    }

    /// The same method, giving its arguments back when the call is not made; not where the class has a method
    /// of that name itself, nor in a stand-in.
    fn tried_call(&self, method: &Method) -> Option<TokenStream> {
        let here = Span::mixed_site();
        let Class { root, path, .. } = self;
        let tried = method.tried.as_ref().filter(|_| !self.is_stand_in)?;
        let signature = &method.signature;
        let name = signature.name();
        let (visibility, cfgs) = (&signature.visibility, &signature.attributes.cfgs);
        let class = path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
        let doc = documentation(&format!(
            "Calls `{class}::{name}`, and gives the arguments back when the call is not made.\n\n# \
            Errors\nAs `{name}`; that the actor has too many unfinished calls is told here, \
            whichever process calls."
        ));
        let deprecated = signature.attributes.deprecated.as_ref();
        let reference = signature.outcome.reference(root);
        let (types, taken) = signature.taken_by_name(root);
        let (arguments, given) = signature.given_back();
        let lent = signature.lent();
        let stored = signature.outcome.stored(root);
        let index = quote_spanned!(here=> const { __CLASS.method(#name) });
        let call = match signature.outcome.shape() {
            Shape::One => quote_spanned!(here=> try_call::<#stored, _>(#index, #arguments, #lent)),
            Shape::Several(count) => quote_spanned! {here=>
                try_call_several::<#stored, _>(#index, #count, #arguments, #lent)
            },
            Shape::Iterator | Shape::Stream => {
                quote_spanned!(here=> try_call_stream::<#stored, _>(#index, #arguments, #lent))
            }
        };
        Some(quote_spanned! {here=>
            #(#cfgs)*
            #doc
            #deprecated
            #[allow(dead_code)]
            #[track_caller]
            #visibility fn #tried<#types>(
                &self, #taken
            ) -> impl ::core::future::Future<
                Output = ::core::result::Result<#reference, #root::Refused<#given>>
            > {
                #root::manual::Handle::inner(self).#call
            }
        })
    }

    /// That tuples have as many members as was said, and that concurrency groups exist.
    fn checks(&self) -> TokenStream {
        let root = &self.root;
        let mut checks = TokenStream::new();
        for method in &self.methods {
            let cfgs = &method.signature.attributes.cfgs;
            if let Some(assertion) = method.signature.outcome.assertion(root) {
                checks.extend(quote!(#(#cfgs)* #assertion));
            }
            if let Some(group) = &method.options.concurrency_group {
                let there = Span::mixed_site().located_at(group.span());
                let message = format!(
                    "the actor has no concurrency group `{0}`; declare it: \
                     `#[actor(concurrency_groups({0} = 2))]`",
                    group.value()
                );
                checks.extend(quote_spanned! {there=>
                    #(#cfgs)*
                    const _: () = ::core::assert!(__OPTIONS.has_concurrency_group(#group), #message);
                });
            }
        }
        checks
    }
}
