//! Spans and events for the crate `tracing`, behind the feature of that name; without it, nothing.
//!
//! | span | where | level |
//! | --- | --- | --- |
//! | `task` | the worker that runs a task, a call or a construction; entered whenever its code runs, and followed across the awaits of async code | info |
//! | `submit` | whoever submits one | debug |
//! | `dispatch` | the node, when the scheduler hands one to a worker | debug |
//! | `put`, `get`, `wait` | whoever does it, for as long as it takes | debug |
//!
//! What belongs together is told by the fields: `task.returns`, the first object that a task returns, is known
//! to all of them and the same in all; `task.id` is the scheduler's number of it, known from dispatch on;
//! `actor.id` is the token of the actor that is called or constructed. A process that has no subscriber pays
//! one load for each. A worker's `main` does not run, so a subscriber is installed there by a task or an actor,
//! or in a static initialiser.

#[cfg(feature = "tracing")]
mod on {
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustyray_store::ObjectId;
    use tracing::{Instrument, Level, debug_span, enabled, field, info_span};

    use crate::{
        call::{End, Finished, Rest},
        context::Running,
        runtime::Core,
        spec::{Header, Kind},
        submit::Invocation,
    };

    fn kind_of(kind: Kind) -> &'static str {
        match kind {
            Kind::Construct => "construction",
            Kind::Method => "call",
            _ => "task",
        }
    }

    fn shown(id: Option<ObjectId>) -> Option<field::DisplayValue<ObjectId>> {
        id.map(field::display)
    }

    /// A span, or none where nobody listens.
    #[derive(Clone, Debug)]
    pub(crate) struct Span(tracing::Span);

    impl Span {
        /// The span of what a worker is about to run.
        pub(crate) fn task(core: &Core, running: &Running) -> Span {
            if !enabled!(target: "rustyray::task", Level::INFO) {
                return Span(tracing::Span::none());
            }
            let Running { header, returns, .. } = running;
            let actor = match header.kind {
                Kind::Construct => *returns,
                Kind::Method => core.occupant().map(|actor| actor.token()),
                _ => None,
            };
            Span(info_span!(
                target: "rustyray::task",
                "task",
                otel.name = running.name(),
                kind = kind_of(header.kind),
                task.id = header.task,
                task.attempt = header.attempt,
                task.returns = shown(*returns),
                actor.id = shown(actor),
                job.id = header.job,
            ))
        }

        /// The span of a submission. `name` is the one that its options give it.
        pub(crate) fn submit(call: &Invocation<'_>, name: Option<&str>) -> Span {
            if !enabled!(target: "rustyray::submit", Level::DEBUG) {
                return Span(tracing::Span::none());
            }
            let function = crate::spec::name_of(call.kind, call.function, call.index);
            Span(debug_span!(
                target: "rustyray::submit",
                "submit",
                otel.name = name.filter(|_| call.kind == Kind::Task).unwrap_or(&function),
                kind = kind_of(call.kind),
                task.returns = field::Empty,
                actor.id = shown(call.token.filter(|_| call.kind == Kind::Method)),
            ))
        }

        /// The span of handing a task to the worker with this process id.
        pub(crate) fn dispatch(
            entry: &[u64],
            returns: impl FnOnce() -> Option<ObjectId>,
            worker: &AtomicU32,
        ) -> Span {
            if !enabled!(target: "rustyray::dispatch", Level::DEBUG) {
                return Span(tracing::Span::none());
            }
            let Ok(header) = Header::parse(entry) else { return Span(tracing::Span::none()) };
            Span(debug_span!(
                target: "rustyray::dispatch",
                "dispatch",
                kind = kind_of(header.kind),
                task.id = header.task,
                task.attempt = header.attempt,
                task.returns = shown(returns()),
                worker = worker.load(Ordering::Relaxed),
            ))
        }

        /// The span of a `put` of this type.
        pub(crate) fn put(type_name: impl FnOnce() -> &'static str) -> Span {
            Span(debug_span!(
                target: "rustyray::put",
                "put",
                object.r#type = type_name(),
                object.id = field::Empty,
            ))
        }

        /// The span of a `get` or `view` of this object, the waiting for it included.
        #[inline]
        pub(crate) fn get(id: ObjectId) -> Span {
            Span(debug_span!(target: "rustyray::get", "get", object.id = field::display(id)))
        }

        /// The span of a `wait` for so many of so many objects.
        pub(crate) fn wait(objects: usize, wanted: usize) -> Span {
            Span(debug_span!(target: "rustyray::wait", "wait", objects, wanted))
        }

        /// Says which object the span has to do with, now that it is known.
        pub(crate) fn made(&self, id: ObjectId) {
            self.0.record("object.id", field::display(id));
            self.0.record("task.returns", field::display(id));
        }

        /// Says which actor the span has to do with, now that it is known.
        pub(crate) fn made_actor(&self, token: ObjectId) {
            self.0.record("actor.id", field::display(token));
        }

        /// Runs `code` within the span.
        #[inline]
        pub(crate) fn enter<R>(&self, code: impl FnOnce() -> R) -> R {
            if self.0.is_none() { code() } else { self.0.in_scope(code) }
        }

        /// The same for a future, whenever it is polled.
        pub(crate) fn within<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
            future.instrument(self.0)
        }

        /// What is left of the call runs within the span, too.
        pub(crate) fn follow(self, finished: Finished) -> Finished {
            if self.0.is_none() {
                return finished;
            }
            Finished(match finished.0 {
                End::Later(rest) => End::Later(Rest::new(rest.instrument(self.0))),
                End::ConstructedLater(rest) => {
                    End::ConstructedLater(Rest::new(rest.instrument(self.0)))
                }
                done => done,
            })
        }
    }

    /// Says something of the runtime's own doing.
    macro_rules! say {
        ($level:ident, $($what:tt)*) => { tracing::$level!(target: "rustyray", $($what)*) };
    }
    pub(crate) use say;
}

#[cfg(not(feature = "tracing"))]
mod off {
    use std::sync::atomic::AtomicU32;

    use rustyray_store::ObjectId;

    use crate::{call::Finished, context::Running, runtime::Core, submit::Invocation};

    /// Stands for a span.
    #[derive(Clone, Debug)]
    pub(crate) struct Span;

    impl Span {
        #[inline]
        pub(crate) fn task(_: &Core, _: &Running) -> Span {
            Span
        }

        #[inline]
        pub(crate) fn submit(_: &Invocation<'_>, _: Option<&str>) -> Span {
            Span
        }

        #[inline]
        pub(crate) fn dispatch(
            _: &[u64],
            _: impl FnOnce() -> Option<ObjectId>,
            _: &AtomicU32,
        ) -> Span {
            Span
        }

        #[inline]
        pub(crate) fn put(_: impl FnOnce() -> &'static str) -> Span {
            Span
        }

        #[inline]
        pub(crate) fn get(_: ObjectId) -> Span {
            Span
        }

        #[inline]
        pub(crate) fn wait(_: usize, _: usize) -> Span {
            Span
        }

        #[inline]
        pub(crate) fn made(&self, _: ObjectId) {}

        #[inline]
        pub(crate) fn made_actor(&self, _: ObjectId) {}

        #[inline]
        pub(crate) fn enter<R>(&self, code: impl FnOnce() -> R) -> R {
            code()
        }

        #[inline]
        pub(crate) fn within<F: Future>(self, future: F) -> F {
            future
        }

        #[inline]
        pub(crate) fn follow(self, finished: Finished) -> Finished {
            finished
        }
    }

    /// Says nothing.
    macro_rules! say {
        ($level:ident, $($what:tt)*) => {};
    }
    pub(crate) use say;
}

#[cfg(not(feature = "tracing"))]
pub(crate) use off::*;
#[cfg(feature = "tracing")]
pub(crate) use on::*;
