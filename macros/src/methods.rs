//! `#[actor_methods]`: what of an `impl` block is constructor, method, hook, or the class's own business.
//!
//! | in the block | becomes |
//! | --- | --- |
//! | a visible associated function that returns the actor, or a `Result` of it | a constructor |
//! | a visible method with `&self` or `&mut self` | a method of the handle |
//! | `on_start`, `on_stop` | hooks, visible or not |
//! | any other `pub` associated function | an error, since nothing could call it |
//! | everything else | stays as it is |

mod expansion;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::{
    FnArg, GenericArgument, Ident, ImplItem, ImplItemFn, ItemImpl, Meta, Path, PathArguments,
    QSelf, ReceiverKind, ReturnType, Token, Type, TypePath, Visibility, ext::IdentExt, parse_quote,
    spanned::Spanned, visit_mut, visit_mut::VisitMut,
};

use crate::{
    argument::{self, Root},
    complaints::Complaints,
    options,
    signature::{Kind, Signature},
    travel::{bare, is_result, last_segment},
};

/// What an `impl` block says about its actor.
struct Class {
    root: Root,
    /// The type, as the block names it.
    path: Path,
    /// Its handle, by the same path.
    handle: Path,
    constructors: Vec<Constructor>,
    methods: Vec<Method>,
    on_start: Option<Method>,
    on_stop: Option<Method>,
    /// What the generated `options` and `get` are called.
    options: Ident,
    get: Ident,
    is_stand_in: bool,
}

/// A constructor and the name of its remote form.
struct Constructor {
    signature: Signature,
    remote: Ident,
    /// Whether the class has a function of that name itself, which is an error.
    is_taken: bool,
}

/// A method of the handle, or a hook.
struct Method {
    signature: Signature,
    is_exclusive: bool,
    options: options::Method,
    /// What its form is called that gives the arguments back.
    tried: Option<Ident>,
}

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut complaints = Complaints::default();
    let mut arguments = argument::parse(arguments, &mut complaints);
    let root = Root::take(&mut arguments, &mut complaints);
    for argument in &arguments {
        complaints.about(
            &argument.name,
            format!(
                "`#[actor_methods]` has no argument `{}`; what an actor asks for is said by \
                `#[actor(…)]` on its type, \
                 what a method does by `#[method(…)]` on the method",
                argument.name
            ),
        );
    }
    let mut block = match syn::parse2::<ItemImpl>(item.clone()) {
        Ok(block) => block,
        Err(error) => {
            match syn::parse2::<syn::Item>(item.clone()) {
                Ok(other) => complaints.about(
                    other,
                    "`#[rustyray::actor_methods]` is for the `impl` block of an actor; its type \
                    takes \
                     `#[rustyray::actor]`",
                ),
                Err(_) => complaints.add(error),
            }
            return quote!(#item #complaints);
        }
    };
    let class = Class::parse(root, &mut block, &mut complaints);
    quote!(#block #class #complaints)
}

impl Class {
    /// Reads a block, and takes the attributes that are ours out of it.
    fn parse(root: Root, block: &mut ItemImpl, complaints: &mut Complaints) -> Option<Class> {
        if let Some((of, _)) = &block.trait_ {
            complaints.about(
                of,
                "other processes call an actor by the methods of its own `impl`, not by those of \
                a trait; \
                 write them in `impl` without `for`, they can call the trait's",
            );
            return None;
        }
        let Type::Path(TypePath { qself: None, path, .. }) = bare(&block.self_ty) else {
            complaints.about(&block.self_ty, "an actor is a struct or an enum with a name");
            return None;
        };
        let path = path.clone();
        let last = path.segments.last()?;
        let ident = last.ident.clone();
        let mut misfits = Complaints::default();
        if !last.arguments.is_none() || !block.generics.params.is_empty() {
            misfits.about(
                &block.self_ty,
                "an actor cannot be generic, since other processes find its class by name; put \
                the macros on a \
                 type that holds this one with the types that are needed",
            );
            complaints.append(misfits);
            return None;
        }
        let mut handle = path.clone();
        if let Some(last) = handle.segments.last_mut() {
            last.ident = format_ident!("{}Handle", ident, span = at(&ident));
        }
        let own = |name: &str| block.items.iter().any(|item| is_named(item, name));
        let or = |name: &str, other: &str| if own(name) { mixed(other) } else { mixed(name) };
        let mut class = Class {
            root,
            handle,
            constructors: Vec::new(),
            methods: Vec::new(),
            on_start: None,
            on_stop: None,
            options: or("options", "actor_options"),
            get: or("get", "get_actor"),
            is_stand_in: false,
            path,
        };
        for item in &mut block.items {
            if let ImplItem::Fn(function) = item {
                class.read(function, complaints, &mut misfits);
            }
        }
        for method in &mut class.methods {
            let is_taken =
                |tried: &Ident| block.items.iter().any(|item| is_named(item, &tried.to_string()));
            method.tried.take_if(|tried| is_taken(tried));
        }
        for constructor in &mut class.constructors {
            let taken =
                block.items.iter().find(|item| is_named(item, &constructor.remote.to_string()));
            if let Some(ImplItem::Fn(taken)) = taken {
                constructor.is_taken = true;
                misfits.about(
                    &taken.sig.ident,
                    format!(
                        "`{}` is what the constructor `{}` is called from other processes; choose \
                         another name",
                        constructor.remote, constructor.signature.ident
                    ),
                );
            }
        }
        if class.constructors.is_empty() && misfits.is_empty() {
            misfits.about(
                &block.self_ty,
                format!(
                    "an actor needs a constructor that other processes can call: `pub fn new(…) \
                    -> Self`; `{ident}` has \
                     none that is visible"
                ),
            );
        }
        class.is_stand_in = !misfits.is_empty();
        complaints.append(std::mem::take(&mut misfits));
        Some(class)
    }

    fn read(
        &mut self,
        function: &mut ImplItemFn,
        complaints: &mut Complaints,
        misfits: &mut Complaints,
    ) {
        let mut options = options::Method::default();
        let mut marked = None;
        function.attrs.retain(|attribute| {
            if !attribute.path().is_ident("method") {
                return true;
            }
            marked = Some(attribute.clone());
            match &attribute.meta {
                Meta::List(list) => options.extend(list.tokens.clone(), complaints),
                _ => complaints.about(attribute, "write `#[method(concurrency_group = \"io\")]`"),
            }
            false
        });

        let role = self.role(function, misfits);
        if let (Some(attribute), false) = (&marked, matches!(role, Role::Method { .. })) {
            complaints.about(
                attribute,
                "`#[method(…)]` is for methods that other processes call: `pub`, with `&self` or \
                 `&mut self`",
            );
        }
        let mut signature = function.sig.clone();
        // Outside the block `Self` would be something else.
        Unselfed(&self.path).visit_signature_mut(&mut signature);
        let parse = |kind, misfits: &mut Complaints| {
            let (attributes, visibility) = (&function.attrs, &function.vis);
            Signature::parse(
                kind,
                attributes,
                visibility,
                &signature,
                &options.num_returns,
                misfits,
            )
        };
        match role {
            Role::Own => {}
            Role::Constructor => {
                let signature = parse(Kind::Constructor, misfits);
                let remote = match signature.name().as_str() {
                    "new" => mixed("remote"),
                    name => format_ident!("remote_{}", name, span = at(&signature.ident)),
                };
                self.constructors.push(Constructor { signature, remote, is_taken: false });
            }
            Role::Method { is_exclusive } => {
                let signature = parse(Kind::Method, misfits);
                let name = signature.name();
                let tried = Some(format_ident!("try_{name}", span = at(&signature.ident)));
                self.methods.push(Method { signature, is_exclusive, options, tried });
            }
            Role::Hook { is_exclusive, is_start } => {
                let signature = parse(Kind::Method, misfits);
                if let Some(parameter) = function.sig.inputs.iter().nth(1) {
                    let name = &function.sig.ident;
                    let message =
                        format!("`{name}` is called by the runtime, with nothing but `self`");
                    misfits.about(parameter, message);
                }
                let hook = Some(Method { signature, is_exclusive, options, tried: None });
                match is_start {
                    true => self.on_start = hook,
                    false => self.on_stop = hook,
                }
            }
        }
    }

    /// What a function of the block is.
    fn role(&self, function: &ImplItemFn, misfits: &mut Complaints) -> Role {
        let name = function.sig.ident.unraw().to_string();
        let is_hook = name == "on_start" || name == "on_stop";
        let is_visible = !matches!(function.vis, Visibility::Inherited);
        let Some(FnArg::Receiver(receiver)) = function.sig.inputs.first() else {
            if is_hook {
                misfits.about(
                    &function.sig.ident,
                    format!("`{name}` is called by the runtime; it takes `&mut self`"),
                );
                return Role::Own;
            }
            if is_visible && self.is_constructed_by(&function.sig.output) {
                return Role::Constructor;
            }
            if matches!(function.vis, Visibility::Public(_)) {
                misfits.about(
                    &function.sig.ident,
                    format!(
                        "`{name}` has no receiver and is no constructor, which would return \
                         `Self` or `Result<Self, …>`; add `&self` or `&mut self` to make it a \
                         method, or remove `pub`"
                    ),
                );
            }
            return Role::Own;
        };
        if !is_visible && !is_hook {
            return Role::Own;
        }
        let is_exclusive = match &receiver.kind {
            ReceiverKind::Reference(_, _, mutability) => mutability.is_some(),
            ReceiverKind::Typed(_, ty) => match bare(ty) {
                Type::Reference(reference) => reference.mutability.is_some(),
                _ => {
                    misfits.about(receiver, by_value(&name));
                    true
                }
            },
            _ => {
                misfits.about(receiver, by_value(&name));
                true
            }
        };
        match is_hook {
            true => Role::Hook { is_exclusive, is_start: name == "on_start" },
            false => Role::Method { is_exclusive },
        }
    }

    /// Whether a return type is the actor itself or a `Result` of it.
    fn is_constructed_by(&self, output: &ReturnType) -> bool {
        let ReturnType::Type(_, ty) = output else { return false };
        let own = self.path.segments.last().map(|last| last.ident.to_string());
        let is_self = |ty: &Type| {
            let last = last_segment(ty);
            last.as_deref() == Some("Self") || last == own
        };
        if is_self(ty) {
            return true;
        }
        let Type::Path(path) = bare(ty) else { return false };
        is_result(ty)
            && path.path.segments.last().is_some_and(|last| match &last.arguments {
                PathArguments::AngleBracketed(arguments) => {
                    matches!(arguments.args.first(), Some(GenericArgument::Type(ok)) if is_self(ok))
                }
                _ => false,
            })
    }
}

enum Role {
    Own,
    Constructor,
    Method { is_exclusive: bool },
    Hook { is_exclusive: bool, is_start: bool },
}

fn by_value(name: &str) -> String {
    format!(
        "`{name}` would take the actor away from its process; take `&mut self`, and end the actor \
        with \
         `rustyray::exit_actor()` if it is to end"
    )
}

fn is_named(item: &ImplItem, name: &str) -> bool {
    matches!(item, ImplItem::Fn(function) if function.sig.ident == name)
}

fn mixed(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

fn at(ident: &Ident) -> Span {
    ident.span().resolved_at(Span::mixed_site())
}

/// Writes the actor's path for `Self`.
struct Unselfed<'a>(&'a Path);

impl VisitMut for Unselfed<'_> {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        visit_mut::visit_type_mut(self, ty);
        let Type::Path(TypePath { qself: None, path, .. }) = ty else { return };
        if path.segments.first().is_none_or(|first| first.ident != "Self") {
            return;
        }
        let mut own = self.0.clone();
        if path.segments.len() == 1 {
            // An error about the type is shown where `Self` is.
            let span = path.span();
            for segment in &mut own.segments {
                segment.ident.set_span(segment.ident.span().located_at(span));
            }
            *path = own;
            return;
        }
        let rest = path.segments.iter().skip(1).cloned();
        let path =
            Path { leading_colon: Some(Token![::](Span::call_site())), segments: rest.collect() };
        *ty = Type::Path(TypePath {
            attrs: Vec::new(),
            qself: Some(QSelf {
                lt_token: Token![<](Span::call_site()),
                ty: Box::new(parse_quote!(#own)),
                position: 0,
                as_token: None,
                gt_token: Token![>](Span::call_site()),
            }),
            path,
        });
    }
}

impl ToTokens for Class {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.extend(self.expand());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(mut block: ItemImpl) -> (Option<Class>, Vec<String>) {
        let mut complaints = Complaints::default();
        let root = Root::take(&mut Vec::new(), &mut complaints);
        let class = Class::parse(root, &mut block, &mut complaints);
        (class, complaints.messages())
    }

    #[test]
    fn functions_find_their_roles() {
        let (class, errors) = parsed(parse_quote! {
            impl super::Counter {
                pub fn new() -> Self {}
                pub const fn named() -> Counter {}
                pub async fn open(path: String) -> std::io::Result<Self> {}
                fn hidden() -> Self {}
                pub(crate) fn helper() -> i64 {}
                pub fn get(&self) -> i64 {}
                pub async fn set(&mut self, value: i64) {}
                fn private(self) {}
                async fn on_start(&mut self) -> Result<(), E> {}
                const LIMIT: i64 = 3;
            }
        });
        assert_eq!(errors, [""; 0]);
        let class = class.expect("a class");
        let names: Vec<_> = class.constructors.iter().map(|c| c.remote.to_string()).collect();
        assert_eq!(names, ["remote", "remote_named", "remote_open"]);
        let methods: Vec<_> =
            class.methods.iter().map(|m| (m.signature.name(), m.is_exclusive)).collect();
        assert_eq!(methods, [("get".to_owned(), false), ("set".to_owned(), true)]);
        assert!(class.on_start.is_some() && class.on_stop.is_none());
        assert_eq!(class.get, "get_actor");
        assert_eq!(class.options, "options");
        assert_eq!(class.handle.to_token_stream().to_string(), "super :: CounterHandle");
    }

    #[test]
    fn every_mistake_is_found() {
        let (class, errors) = parsed(parse_quote! {
            impl Counter {
                pub fn new() -> Self {}
                pub fn remote(&self) {}
                pub fn lost(x: i64) -> i64 {}
                pub fn eaten(self) {}
                pub fn boxed(self: Box<Self>) {}
                pub fn generic<T>(&self) {}
                pub fn borrowed(&self, text: &str) {}
                fn on_stop(&mut self, why: String) {}
                #[method(out_of_order)]
                fn private(&self) {}
            }
        });
        assert!(class.expect("a class").is_stand_in);
        assert_eq!(errors.len(), 8, "{errors:#?}");
        assert!(errors.iter().any(|e| e.contains("add `&self` or `&mut self`")), "{errors:#?}");
        assert!(errors.iter().any(|e| e.contains("exit_actor")), "{errors:#?}");
        assert!(
            errors.iter().any(|e| e.contains("`remote` is what the constructor `new`")),
            "{errors:#?}"
        );
    }

    #[test]
    fn a_class_without_a_constructor_is_told_so() {
        let (_, errors) = parsed(parse_quote!(impl Counter { pub fn get(&self) -> i64 {} }));
        assert_eq!(errors.len(), 1);
        assert!(errors[0].contains("pub fn new(…) -> Self"), "{errors:?}");
        let (class, errors) = parsed(parse_quote!(impl Clone for Counter {}));
        assert!(class.is_none() && errors[0].contains("without `for`"), "{errors:?}");
    }

    #[test]
    fn self_is_spelled_out() {
        let path = parse_quote!(a::Counter);
        let mut ty: Type = parse_quote!(Vec<(Self, Option<Self::Item>)>);
        Unselfed(&path).visit_type_mut(&mut ty);
        let expected: Type = parse_quote!(Vec<(a::Counter, Option<<a::Counter>::Item>)>);
        assert_eq!(ty.to_token_stream().to_string(), expected.to_token_stream().to_string());
    }
}
