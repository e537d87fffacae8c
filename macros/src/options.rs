//! Which arguments each macro knows, and what they come to: calls on an options builder.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Ident, LitStr};

use crate::{
    argument::{self, Argument, Root, Value},
    complaints::Complaints,
    spelling::{listed, nearest},
    value::{self, NumReturns},
};

const TASK: [&str; 12] = [
    "num_cpus",
    "num_gpus",
    "resources",
    "memory",
    "max_retries",
    "retry_exceptions",
    "timeout_ms",
    "num_returns",
    "backpressure",
    "name",
    "priority",
    "crate",
];
const ACTOR: [&str; 11] = [
    "num_cpus",
    "num_gpus",
    "resources",
    "memory",
    "max_restarts",
    "max_task_retries",
    "max_concurrency",
    "max_pending_calls",
    "out_of_order",
    "concurrency_groups",
    "crate",
];
const METHOD: [&str; 3] = ["concurrency_group", "num_returns", "out_of_order"];
const RUNTIME: [&str; 7] =
    ["num_cpus", "num_gpus", "resources", "object_store_memory", "spill_dir", "socket", "crate"];

/// As in the options that are set.
const MAX_CONCURRENCY: i128 = 1024;

const RETRIES: std::ops::RangeInclusive<i128> = -1..=i32::MAX as i128;
/// As many as `rustyray` accepts.
const BACKPRESSURE: std::ops::RangeInclusive<i128> = 1..=1 << 16;

/// Calls on an options builder, in the order of the arguments.
#[derive(Default)]
pub(crate) struct Setters(Vec<TokenStream>);

impl Setters {
    /// Adds `.name(value)`, whose type errors are shown at the argument.
    fn push(&mut self, name: &Ident, arguments: TokenStream) {
        let span = Span::mixed_site().located_at(name.span());
        let name = Ident::new(&name.to_string(), span);
        self.0.push(quote_spanned!(span=> .#name(#arguments)));
    }

    /// What makes values that cannot be errors of the compiler, where the calls end in a constant.
    pub(crate) fn checked(&self) -> Option<TokenStream> {
        (!self.0.is_empty()).then(|| quote_spanned!(Span::mixed_site()=> .checked()))
    }
}

impl quote::ToTokens for Setters {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.extend(self.0.iter().cloned());
    }
}

/// The arguments of `#[remote]`.
pub(crate) struct Task {
    pub(crate) root: Root,
    pub(crate) setters: Setters,
    pub(crate) num_returns: NumReturns,
}

impl Task {
    pub(crate) fn parse(tokens: TokenStream, complaints: &mut Complaints) -> Task {
        let mut arguments = argument::parse(tokens, complaints);
        let root = Root::take(&mut arguments, complaints);
        let mut task = Task { root, setters: Setters::default(), num_returns: NumReturns::One };
        for argument in &arguments {
            let outcome = task.read(argument);
            complaints.take(outcome);
        }
        task
    }

    fn read(&mut self, argument: &Argument) -> syn::Result<()> {
        let name = &argument.name;
        let tokens = match name.to_string().as_str() {
            "resources" => return resources(argument, &mut self.setters),
            "num_returns" => {
                self.num_returns = value::num_returns(argument.is("num_returns = 2")?)?;
                if let NumReturns::Several(count) = &self.num_returns {
                    self.setters.push(name, quote!(#count));
                }
                return Ok(());
            }
            "max_retries" => {
                value::integer("max_retries", argument.is("max_retries = 3")?, RETRIES)?
            }
            "retry_exceptions" => flag(argument)?,
            "timeout_ms" => {
                let most = i128::from(u64::MAX);
                value::integer("timeout_ms", argument.is("timeout_ms = 1000")?, 1..=most)?
            }
            "backpressure" => {
                value::integer("backpressure", argument.is("backpressure = 16")?, BACKPRESSURE)?
            }
            "name" => value::text("name", argument.is("name = \"…\"")?)?,
            "priority" => {
                let range = i128::from(i16::MIN)..=i128::from(i16::MAX);
                value::integer("priority", argument.is("priority = 1")?, range)?
            }
            _ => demand(argument)?.ok_or_else(|| unknown("remote", &TASK, name))?,
        };
        self.setters.push(name, tokens);
        Ok(())
    }
}

/// The arguments of `#[actor]`.
pub(crate) struct Actor {
    pub(crate) root: Root,
    pub(crate) setters: Setters,
}

impl Actor {
    pub(crate) fn parse(tokens: TokenStream, complaints: &mut Complaints) -> Actor {
        let mut arguments = argument::parse(tokens, complaints);
        let root = Root::take(&mut arguments, complaints);
        let mut actor = Actor { root, setters: Setters::default() };
        for argument in &arguments {
            let outcome = actor.read(argument);
            complaints.take(outcome);
        }
        actor
    }

    fn read(&mut self, argument: &Argument) -> syn::Result<()> {
        let name = &argument.name;
        let tokens = match name.to_string().as_str() {
            "resources" => return resources(argument, &mut self.setters),
            "concurrency_groups" => return self.read_groups(argument),
            "out_of_order" => flag(argument)?,
            "max_restarts" | "max_task_retries" => {
                let what = name.to_string();
                value::integer(&what, argument.is(&format!("{what} = 3"))?, RETRIES)?
            }
            "max_concurrency" => {
                let limit = argument.is("max_concurrency = 16")?;
                value::integer("max_concurrency", limit, 1..=MAX_CONCURRENCY)?
            }
            "max_pending_calls" => {
                let most = i128::from(u64::MAX);
                value::integer(
                    "max_pending_calls",
                    argument.is("max_pending_calls = 1000")?,
                    1..=most,
                )?
            }
            "name" | "detached" | "get_if_exists" => {
                let message = format!(
                    "`{name}` belongs to one actor, not to its class; give it where the actor is \
                    made: \
                     `options().name(\"…\")`, `.get_if_exists(true)`, `.detached()`"
                );
                return Err(syn::Error::new(name.span(), message));
            }
            "max_retries" | "retry_exceptions" | "timeout_ms" | "num_returns" | "priority" => {
                let message = format!(
                    "`{name}` is an argument of `#[remote]`; an actor has `max_restarts` and \
                     `max_task_retries`, its methods have `#[method(num_returns = …)]`"
                );
                return Err(syn::Error::new(name.span(), message));
            }
            _ => demand(argument)?.ok_or_else(|| unknown("actor", &ACTOR, name))?,
        };
        self.setters.push(name, tokens);
        Ok(())
    }

    fn read_groups(&mut self, argument: &Argument) -> syn::Result<()> {
        for group in argument.entries("concurrency_groups(io = 2, compute = 4)")? {
            let key = &group.key;
            let what = key.value();
            let limit = value::integer(&what, &group.value, 1..=MAX_CONCURRENCY)?;
            let setter = Ident::new("concurrency_group", argument.name.span());
            self.setters.push(&setter, quote!(#key, #limit));
        }
        Ok(())
    }
}

/// The arguments of `#[method]`.
pub(crate) struct Method {
    pub(crate) num_returns: NumReturns,
    pub(crate) concurrency_group: Option<LitStr>,
    pub(crate) out_of_order: bool,
}

impl Default for Method {
    fn default() -> Self {
        Method { num_returns: NumReturns::One, concurrency_group: None, out_of_order: false }
    }
}

impl Method {
    /// Adds what one `#[method(…)]` says.
    pub(crate) fn extend(&mut self, tokens: TokenStream, complaints: &mut Complaints) {
        for argument in &argument::parse(tokens, complaints) {
            let outcome = self.read(argument);
            complaints.take(outcome);
        }
    }

    fn read(&mut self, argument: &Argument) -> syn::Result<()> {
        let name = &argument.name;
        match name.to_string().as_str() {
            "num_returns" => {
                self.num_returns = value::num_returns(argument.is("num_returns = 2")?)?;
            }
            "concurrency_group" => {
                let group = argument.is("concurrency_group = \"io\"")?;
                self.concurrency_group = Some(value::literal_text("concurrency_group", group)?);
            }
            "out_of_order" => match flag(argument)?.to_string().as_str() {
                "true" => self.out_of_order = true,
                "false" => self.out_of_order = false,
                _ => {
                    let message = "`out_of_order` takes a literal `true` or `false`";
                    return Err(syn::Error::new(name.span(), message));
                }
            },
            _ => return Err(unknown("method", &METHOD, name)),
        }
        Ok(())
    }
}

/// The arguments of `#[main]` and `#[test]`.
pub(crate) struct Runtime {
    pub(crate) root: Root,
    pub(crate) setters: Setters,
}

impl Runtime {
    pub(crate) fn parse(
        macro_name: &str,
        tokens: TokenStream,
        complaints: &mut Complaints,
    ) -> Runtime {
        let mut arguments = argument::parse(tokens, complaints);
        let root = Root::take(&mut arguments, complaints);
        let mut runtime = Runtime { root, setters: Setters::default() };
        for argument in &arguments {
            let outcome = runtime.read(macro_name, argument);
            complaints.take(outcome);
        }
        runtime
    }

    fn read(&mut self, macro_name: &str, argument: &Argument) -> syn::Result<()> {
        let name = &argument.name;
        let tokens = match name.to_string().as_str() {
            "resources" => return resources(argument, &mut self.setters),
            "object_store_memory" => {
                let bytes = argument.is("object_store_memory = \"2GiB\"")?;
                value::bytes("object_store_memory", bytes)?
            }
            "spill_dir" | "socket" => {
                let what = name.to_string();
                value::text(&what, argument.is(&format!("{what} = \"…\""))?)?
            }
            "memory" => {
                let message = "the size of the object store is `object_store_memory`";
                return Err(syn::Error::new(name.span(), message));
            }
            _ => demand(argument)?.ok_or_else(|| unknown(macro_name, &RUNTIME, name))?,
        };
        self.setters.push(name, tokens);
        Ok(())
    }
}

/// What all three kinds of demand have in common; `None` for a name that is none of them.
fn demand(argument: &Argument) -> syn::Result<Option<TokenStream>> {
    let name = argument.name.to_string();
    match name.as_str() {
        "num_cpus" | "num_gpus" => {
            let amount = argument.is(&format!("{name} = 0.5"))?;
            value::amount(&name, amount).map(Some)
        }
        "memory" => value::bytes("memory", argument.is("memory = \"512MiB\"")?).map(Some),
        _ => Ok(None),
    }
}

fn resources(argument: &Argument, setters: &mut Setters) -> syn::Result<()> {
    let example = "resources(tpu = 1, \"another one\" = 0.5)";
    let setter = Ident::new("resource", argument.name.span());
    let mut seen: Vec<String> = Vec::new();
    for entry in argument.entries(example)? {
        let (key, name) = (&entry.key, entry.key.value());
        let own = match name.to_ascii_lowercase().as_str() {
            "cpu" | "cpus" | "num_cpus" => Some("num_cpus"),
            "gpu" | "gpus" | "num_gpus" => Some("num_gpus"),
            "memory" => Some("memory"),
            _ => None,
        };
        if let Some(own) = own {
            let message =
                format!("`{name}` is no custom resource; it has the argument `{own}` of its own");
            return Err(syn::Error::new(key.span(), message));
        }
        if seen.contains(&name) {
            return Err(syn::Error::new(key.span(), format!("`{name}` is given twice")));
        }
        let amount = value::amount(&name, &entry.value)?;
        setters.push(&setter, quote!(#key, #amount));
        seen.push(name);
    }
    Ok(())
}

fn flag(argument: &Argument) -> syn::Result<TokenStream> {
    let name = argument.name.to_string();
    match &argument.value {
        Value::Absent => value::flag(&name, None),
        _ => value::flag(&name, Some(argument.is(&format!("{name} = true"))?)),
    }
}

fn unknown(macro_name: &str, known: &[&str], name: &Ident) -> syn::Error {
    let meant = match nearest(&name.to_string(), known) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => String::new(),
    };
    let message =
        format!("`#[{macro_name}]` has no argument `{name}`{meant}\nit has {}", listed(known));
    syn::Error::new(name.span(), message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::ToTokens;

    fn task(tokens: TokenStream) -> (String, Vec<String>) {
        let mut complaints = Complaints::default();
        let task = Task::parse(tokens, &mut complaints);
        (task.setters.to_token_stream().to_string(), complaints.messages())
    }

    #[test]
    fn arguments_become_calls_in_their_order() {
        let (setters, errors) = task(quote!(
            num_cpus = 1,
            resources(tpu = 1.0, "x y" = 2),
            memory = "1KiB",
            max_retries = -1,
            retry_exceptions,
            num_returns = 2
        ));
        assert_eq!(errors, [""; 0]);
        assert_eq!(
            setters,
            ". num_cpus (1.0) . resource (\"tpu\" , 1.0) . resource (\"x y\" , 2.0) . memory \
            (1024) . max_retries \
             (- 1) . retry_exceptions (true) . num_returns (2)"
        );
    }

    #[test]
    fn an_unknown_argument_is_answered_with_the_nearest_and_all() {
        let (_, errors) = task(quote!(num_cpu = 1, colour = "red"));
        assert_eq!(errors.len(), 2);
        assert!(errors[0].starts_with(
            "`#[remote]` has no argument `num_cpu`; did you mean `num_cpus`?\nit has `num_cpus`, "
        ));
        assert!(errors[1].starts_with("`#[remote]` has no argument `colour`\nit has "));
        assert!(errors[1].ends_with("`priority` and `crate`"));
    }

    #[test]
    fn every_error_is_found() {
        let (setters, errors) = task(quote!(
            num_cpus = -1,
            memory = "lots",
            resources(gpu = 1),
            timeout_ms = 0,
            num_gpus = 1,
            priority = "high",
            name = 3
        ));
        assert_eq!(errors.len(), 6, "{errors:#?}");
        assert_eq!(setters, ". num_gpus (1.0)");
    }

    #[test]
    fn arguments_of_one_actor_or_of_tasks_are_refused_on_a_class() {
        let mut complaints = Complaints::default();
        let _ = Actor::parse(quote!(name = "x", max_retries = 3, max_restart = 1), &mut complaints);
        let errors = complaints.messages();
        assert!(errors[0].contains("options().name"), "{errors:?}");
        assert!(errors[1].contains("`max_restarts` and `max_task_retries`"), "{errors:?}");
        assert!(errors[2].contains("did you mean `max_restarts`?"), "{errors:?}");
    }

    #[test]
    fn an_actor_may_be_out_of_order_as_a_whole() {
        let mut complaints = Complaints::default();
        let actor = Actor::parse(quote!(out_of_order, max_pending_calls = 3), &mut complaints);
        assert_eq!(complaints.messages(), [""; 0]);
        let setters = actor.setters.to_token_stream().to_string();
        assert_eq!(setters, ". out_of_order (true) . max_pending_calls (3)");
    }

    #[test]
    fn a_method_takes_its_group_and_order() {
        let mut complaints = Complaints::default();
        let mut method = Method::default();
        method.extend(quote!(concurrency_group = "io", out_of_order), &mut complaints);
        method.extend(quote!(num_returns = "streaming", groups = 1), &mut complaints);
        assert_eq!(method.concurrency_group.map(|group| group.value()).as_deref(), Some("io"));
        assert!(method.out_of_order);
        assert!(matches!(method.num_returns, NumReturns::Streaming));
        let errors = complaints.messages();
        assert_eq!(errors.len(), 1);
        assert!(errors[0].contains("`#[method]` has no argument `groups`"), "{errors:?}");
    }
}
