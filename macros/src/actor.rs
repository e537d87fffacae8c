//! `#[actor]`: a type becomes the state of an actor and gets its handle.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Generics, Ident, Item, Visibility};

use crate::{
    argument::Root,
    complaints::Complaints,
    options::{Actor, Setters},
    signature::{Carried, documentation},
};

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut complaints = Complaints::default();
    let Actor { root, setters } = Actor::parse(arguments, &mut complaints);
    let parsed = match syn::parse2::<Item>(item.clone()) {
        Ok(parsed) => parsed,
        Err(error) => {
            complaints.add(error);
            return quote!(#item #complaints);
        }
    };
    let (attributes, visibility, ident, generics) = match &parsed {
        Item::Struct(item) => (&item.attrs, &item.vis, &item.ident, &item.generics),
        Item::Enum(item) => (&item.attrs, &item.vis, &item.ident, &item.generics),
        other => {
            let message = match other {
                Item::Impl(_) => {
                    "`#[rustyray::actor]` is for the type; its `impl` takes \
                     `#[rustyray::actor_methods]`"
                }
                Item::Fn(_) => {
                    "`#[rustyray::actor]` is for types; a function takes `#[rustyray::remote]`"
                }
                _ => "`#[rustyray::actor]` is for structs and enums",
            };
            complaints.about(other, message);
            return quote!(#item #complaints);
        }
    };
    let handle = Handle { root, setters, visibility, ident, carried: Carried::of(attributes) };
    let generated = match check_generics(generics, ident, &mut complaints) {
        true => handle.expand(),
        false => handle.stand_in(),
    };
    quote!(#item #generated #complaints)
}

fn check_generics(generics: &Generics, ident: &Ident, complaints: &mut Complaints) -> bool {
    if generics.params.is_empty() {
        return true;
    }
    complaints.about(
        generics,
        format!(
            "an actor cannot be generic, since other processes find its class by name; put \
             `#[rustyray::actor]` on a type that holds the `{ident}` with the types that are needed"
        ),
    );
    false
}

/// The handle of an actor type that is to be generated.
struct Handle<'a> {
    root: Root,
    setters: Setters,
    visibility: &'a Visibility,
    ident: &'a Ident,
    carried: Carried,
}

impl Handle<'_> {
    fn name(&self) -> Ident {
        format_ident!(
            "{}Handle",
            self.ident,
            span = self.ident.span().resolved_at(Span::mixed_site())
        )
    }

    fn expand(&self) -> TokenStream {
        let here = Span::mixed_site();
        let Handle { root, setters, visibility, ident, carried } = self;
        let (handle, cfgs, allow) = (self.name(), &carried.cfgs, carried.allow_deprecated());
        let doc = documentation(&format!(
            "A handle of a `{ident}` actor.\n\nIts clones name the same actor. It can be an \
            argument and part of stored values. \
             The actor ends with its last handle, unless it is detached."
        ));
        let label = handle.to_string();
        let checked = setters.checked();
        let prelude = crate::prelude::used(root);
        quote_spanned! {here=>
            #(#cfgs)*
            #doc
            #allow
            #[derive(::core::clone::Clone)]
            #visibility struct #handle {
                inner: #root::manual::ActorHandle<#ident>,
            }

            #(#cfgs)*
            #allow
            const _: () = {
                #prelude
                impl #root::manual::Actor for #ident {
                    type Handle = #handle;
                    const OPTIONS: #root::manual::ActorOptions =
                        #root::manual::ActorOptions::new() #setters #checked;
                }

                impl #root::manual::Handle for #handle {
                    type Actor = #ident;

                    fn from_inner(inner: #root::manual::ActorHandle<#ident>) -> Self {
                        Self { inner }
                    }

                    fn inner(&self) -> &#root::manual::ActorHandle<#ident> {
                        &self.inner
                    }
                }

                impl ::core::ops::Deref for #handle {
                    type Target = #root::manual::ActorHandle<#ident>;

                    fn deref(&self) -> &Self::Target {
                        &self.inner
                    }
                }

                impl ::core::fmt::Debug for #handle {
                    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                        ::core::write!(f, ::core::concat!(#label, "({})"), self.inner)
                    }
                }

                impl ::core::fmt::Display for #handle {
                    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                        ::core::fmt::Display::fmt(&self.inner, f)
                    }
                }

                // Stored exactly as the handle inside.
                impl #root::rkyv::Archive for #handle {
                    type Archived = #root::manual::ArchivedActorHandle<#ident>;
                    type Resolver =
                        <#root::manual::ActorHandle<#ident> as #root::rkyv::Archive>::Resolver;

                    fn resolve(
                        &self,
                        resolver: Self::Resolver,
                        out: #root::rkyv::Place<Self::Archived>,
                    ) {
                        #root::rkyv::Archive::resolve(&self.inner, resolver, out);
                    }
                }

                impl<S> #root::rkyv::Serialize<S> for #handle
                where
                    S: #root::rkyv::rancor::Fallible + ?::core::marker::Sized,
                    #root::manual::ActorHandle<#ident>: #root::rkyv::Serialize<S>,
                {
                    fn serialize(
                        &self,
                        serializer: &mut S,
                    ) -> ::core::result::Result<Self::Resolver, S::Error> {
                        #root::rkyv::Serialize::serialize(&self.inner, serializer)
                    }
                }

                impl<D> #root::rkyv::Deserialize<#handle, D>
                    for #root::manual::ArchivedActorHandle<#ident>
                where
                    D: #root::rkyv::rancor::Fallible + ?::core::marker::Sized,
                    Self: #root::rkyv::Deserialize<#root::manual::ActorHandle<#ident>, D>,
                {
                    fn deserialize(
                        &self,
                        deserializer: &mut D,
                    ) -> ::core::result::Result<#handle, D::Error> {
                        let inner = #root::rkyv::Deserialize::<
                            #root::manual::ActorHandle<#ident>,
                            D,
                        >::deserialize(self, deserializer)?;
                        ::core::result::Result::Ok(#handle { inner })
                    }
                }
            };
        }
    }

    /// A handle of a type that cannot be an actor.
    fn stand_in(&self) -> TokenStream {
        let (handle, visibility, cfgs) = (self.name(), self.visibility, &self.carried.cfgs);
        let doc = documentation(&format!("Stands for the handle of `{}`.", self.ident));
        quote_spanned! {Span::mixed_site()=>
            #(#cfgs)*
            #doc
            #[derive(::core::clone::Clone, ::core::fmt::Debug)]
            #visibility struct #handle {}
        }
    }
}
