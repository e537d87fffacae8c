//! Submitting tasks: what `f_remote::remote(…)` comes down to.

use std::{borrow::Borrow, panic::Location, sync::Arc};

use rustyray_store::ObjectId;

use crate::{
    args::ArgWriter,
    call::{Ids, SeveralReturns},
    context,
    error::{Error, Result},
    object::ObjectRef,
    options::TaskOptions,
    registry::Function,
    runtime::{
        Core, Handed, Link, current,
        lines::{Kept, LineCall, Way, nested_of},
        sites::Site,
        submission::Wanted,
        tag,
        trace::Span,
    },
    spec::{self, Kind, MAX_RETURNS, SpecWriter},
};

/// Submits one run of `function` and gives the reference to its result at once.
///
/// `arguments` pushes one argument for each parameter, in order.
///
/// It is done by the first poll; what is to be cancelled then is the task ([`ObjectRef::cancel`]). Where the store has
/// no room for an argument, that blocks this thread as [`crate::put`] does.
///
/// # Errors
/// [`Error::NotInitialized`] without a runtime, [`Error::InvalidArgument`] for options that cannot be,
/// [`Error::Unschedulable`] when the node will never have what they ask for, [`Error::Serialization`] for an argument
/// that cannot be archived, and what the object store returns when it has no room. Nothing was submitted then.
#[track_caller]
pub fn submit<Out>(
    function: &'static Function,
    options: impl Borrow<TaskOptions>,
    arguments: impl FnOnce(&mut ArgWriter<'_>) -> Result<()>,
) -> impl Future<Output = Result<ObjectRef<Out>>> {
    let site = Location::caller();
    async move {
        current::with(|core| {
            let ids = submit_function(core, function, options.borrow(), 1, site, arguments)?;
            Ok(ObjectRef::adopt(core, ids.as_slice()[0]))
        })?
    }
}

/// The same for a function that returns several objects, as many as the options' `num_returns`.
///
/// # Errors
/// As [`submit`].
#[track_caller]
pub fn submit_several<Out: SeveralReturns>(
    function: &'static Function,
    options: impl Borrow<TaskOptions>,
    arguments: impl FnOnce(&mut ArgWriter<'_>) -> Result<()>,
) -> impl Future<Output = Result<Out::Refs>> {
    let site = Location::caller();
    async move {
        let options = options.borrow();
        let returns = returns_of::<Out>(options.num_returns)?;
        current::with(|core| {
            let ids = submit_function(core, function, options, returns, site, arguments)?;
            Ok(Out::refs(core, ids.as_slice()))
        })?
    }
}

/// How many objects `Out` becomes when `num_returns` was asked for.
pub(crate) fn returns_of<Out: SeveralReturns>(num_returns: u16) -> Result<usize> {
    let asked = usize::from(num_returns);
    match Out::COUNT {
        Some(count) if count != asked && asked != 1 => Err(Error::invalid(format!(
            "num_returns is {asked}, and the function returns {count} values"
        ))),
        Some(count) => Ok(count),
        None => Ok(asked),
    }
}

fn submit_function(
    core: &Arc<Core>,
    function: &'static Function,
    options: &TaskOptions,
    returns: usize,
    site: Site,
    arguments: impl FnOnce(&mut ArgWriter<'_>) -> Result<()>,
) -> Result<Ids> {
    options.demand.check()?;
    let call = Invocation { returns, ..Invocation::new(Kind::Task, function.id(), 0, site) };
    submit_words(core, call, &mut Wanted::task(options), arguments)
}

/// What is to be run.
#[derive(Clone, Copy)]
pub(crate) struct Invocation<'a> {
    pub(crate) kind: Kind,
    /// The function, or the actor's class.
    pub(crate) function: u64,
    /// Which constructor or method.
    pub(crate) index: u16,
    /// How many objects it returns.
    pub(crate) returns: usize,
    /// The actor that is called, or constructed under a token that was reserved before.
    pub(crate) token: Option<ObjectId>,
    /// The way to the actor that is called.
    pub(crate) way: Option<&'a Way>,
    /// Of a stream: the grant with which it begins.
    pub(crate) grant: Option<ObjectId>,
    /// Where it is asked for.
    pub(crate) site: Site,
    /// Whether a call that the actor has no room for is refused here, rather than where its result is asked
    /// for.
    pub(crate) is_tried: bool,
}

impl Invocation<'_> {
    pub(crate) fn new(kind: Kind, function: u64, index: u16, site: Site) -> Self {
        let (token, way, grant, is_tried) = (None, None, None, false);
        Invocation { kind, function, index, returns: 1, token, way, grant, site, is_tried }
    }
}

/// Reserves the returns, writes the words, and hands them to the node.
pub(crate) fn submit_words(
    core: &Arc<Core>,
    call: Invocation<'_>,
    wanted: &mut Wanted,
    arguments: impl FnOnce(&mut ArgWriter<'_>) -> Result<()>,
) -> Result<Ids> {
    let span = Span::submit(&call, wanted.extension.name.as_deref());
    span.enter(|| {
        let ids = submit_call(core, call, wanted, arguments)?;
        if let Some(&first) = ids.as_slice().first() {
            span.made(first);
            if call.kind == Kind::Construct {
                span.made_actor(first);
            }
        }
        Ok(ids)
    })
}

#[inline]
fn submit_call(
    core: &Arc<Core>,
    call: Invocation<'_>,
    wanted: &mut Wanted,
    arguments: impl FnOnce(&mut ArgWriter<'_>) -> Result<()>,
) -> Result<Ids> {
    let Invocation { kind, function, index, returns, token, way, grant, site, is_tried } = call;
    core.check_open()?;
    if returns > MAX_RETURNS {
        return Err(Error::invalid(format!(
            "{returns} returns of one task, at most {MAX_RETURNS} can be"
        )));
    }
    let is_call = kind == Kind::Method;
    let reserved = match token {
        // A named actor's token was reserved before, when the name was claimed.
        Some(token) if kind == Kind::Construct => Reserved::holding(core, Ids::One(token)),
        _ => Reserved::new(core, returns, if is_call { tag::METHOD } else { tag::TASK })?,
    };
    let submitter = core.control().recording().and_then(|_| context::submitter());
    // Room for the header, one return and who submits: the words are kept as long as the task is, a million of them,
    // too.
    let room = if submitter.is_some() { 9 } else { 7 };
    let words = if is_call { spec::spare(room) } else { Vec::with_capacity(room) };
    let mut spec = SpecWriter::new(words, kind, function, index);
    let (parent, job) = context::parent().unwrap_or_else(|| (0, core.job()));
    let extra = match kind {
        Kind::Construct => wanted.max_concurrency(),
        _ => wanted.timeout_ms,
    };
    spec.set_terms(job, extra);
    if let Some(grant) = grant {
        spec.push_grant(grant);
    }
    if let Some(submitter) = submitter {
        spec.push_submitter(submitter);
    }
    reserved.as_slice().iter().for_each(|&id| spec.push_return(id));
    let mut writer = ArgWriter::new(core, spec);
    if let Some(grant) = grant {
        writer.held.hold(grant)?;
    }
    arguments(&mut writer)?;
    let ArgWriter { spec, dependencies, mut held, .. } = writer;
    wanted.parent = parent;
    if let Some(sites) = &core.sites {
        let name = || match &wanted.extension.name {
            Some(name) if kind == Kind::Task => name.clone(),
            _ => spec::name_of(kind, function, index),
        };
        sites.note_result(core, reserved.as_slice(), site, function ^ u64::from(index), name);
    }
    // A call wants nothing.
    let extension = if is_call { Vec::new() } else { wanted.extension.to_bytes() };
    let words = spec.finish(&extension);
    match (&core.link, token.zip(way)) {
        (link, Some((token, way))) => {
            let is_counted = match link {
                Link::Uplink(uplink) if is_tried => {
                    core.lines.keep_place(core, uplink, way, token, function)?
                }
                // Whether it has room is seen at once, or there is no limit.
                _ => false,
            };
            let kept = Kept { parent, returns: reserved.ids(), held: held.take() };
            let call = LineCall { words, kept, dependencies, is_counted };
            match (link, core.lines.call(core, way, token, call)) {
                // As in every other process, which does not wait for the node: it comes where the result is asked for.
                (Link::Node(node), Err(dead @ Error::ActorDied { .. })) if !is_tried => {
                    reserved.as_slice().iter().for_each(|&id| node.settle_failed(id, &dead));
                }
                (_, called) => called?,
            }
        }
        (Link::Node(node), None) if kind == Kind::Task => {
            let handed = Handed::own(words, reserved.ids(), held.take());
            node.submit_after_completions(wanted, handed, &dependencies)?;
        }
        (Link::Node(node), None) => {
            node.take_completions_at_times();
            node.submit(wanted, Handed::own(words, reserved.ids(), held.take()), &dependencies)?;
        }
        (Link::Uplink(uplink), None) => {
            let nested = nested_of(held.ids(), &dependencies);
            let (held, returns) = (held.take(), reserved.as_slice());
            // The results may be dropped before the node has seen the task.
            returns.iter().for_each(|&id| core.retain_held(id));
            uplink.submit(core, wanted, &nested, &words, held, returns)?;
        }
    }
    Ok(reserved.take())
}

/// Objects that were reserved for results, released again unless taken.
struct Reserved<'a> {
    core: &'a Arc<Core>,
    ids: Option<Ids>,
}

impl<'a> Reserved<'a> {
    fn new(core: &'a Arc<Core>, count: usize, tag: u8) -> Result<Self> {
        let failed = |error| core.store_failed::<()>(error);
        let reserve = || core.client.reserve_as(tag).map_err(failed);
        if count == 1 {
            return Ok(Reserved::holding(core, Ids::One(reserve()?)));
        }
        let mut ids = Vec::with_capacity(count);
        for _ in 0..count {
            match reserve() {
                Ok(id) => ids.push(id),
                Err(error) => {
                    ids.into_iter().for_each(|id| core.release(id));
                    return Err(error);
                }
            }
        }
        Ok(Reserved::holding(core, Ids::from_vec(ids)))
    }

    fn holding(core: &'a Arc<Core>, ids: Ids) -> Self {
        Reserved { core, ids: Some(ids) }
    }

    /// Their names, for somebody else who holds them too.
    fn ids(&self) -> Ids {
        self.ids.clone().unwrap_or_else(Ids::none)
    }

    fn as_slice(&self) -> &[ObjectId] {
        self.ids.as_ref().map_or(&[], Ids::as_slice)
    }

    /// The objects, to be released by whoever takes them.
    fn take(mut self) -> Ids {
        self.ids.take().unwrap_or_else(Ids::none)
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.as_slice().iter().for_each(|&id| self.core.release(id));
    }
}
