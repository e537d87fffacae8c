//! Spans and events for the crate `tracing`, behind the feature of that name; without it, nothing.
//!
//! Every task, call and construction has a span in the worker that runs it, which is entered whenever its code
//! runs, and followed across the awaits of async code. A process that has no subscriber pays one load for each.

#[cfg(feature = "tracing")]
mod on {
    use rustyray_store::ObjectId;
    use tracing::Instrument;

    use crate::{
        call::{End, Finished},
        spec::{Header, Kind},
    };

    /// The span of a task.
    #[derive(Debug)]
    pub(crate) struct Span(tracing::Span);

    impl Span {
        /// The span of the task that an entry names.
        pub(crate) fn of(header: &Header, returns: Option<ObjectId>) -> Span {
            if !tracing::enabled!(target: "rustyray::task", tracing::Level::INFO) {
                return Span(tracing::Span::none());
            }
            let kind = match header.kind {
                Kind::Construct => "construction",
                Kind::Method => "call",
                _ => "task",
            };
            let returns = returns.map(tracing::field::display);
            Span(tracing::info_span!(
                target: "rustyray::task",
                "task",
                otel.name = header.name(),
                kind,
                task.id = header.task,
                task.attempt = header.attempt,
                task.returns = returns,
                job.id = header.job,
            ))
        }

        /// Runs `code` within the span.
        pub(crate) fn enter<R>(&self, code: impl FnOnce() -> R) -> R {
            self.0.in_scope(code)
        }

        /// What is left of the call runs within the span, too.
        pub(crate) fn follow(self, finished: Finished) -> Finished {
            if self.0.is_none() {
                return finished;
            }
            Finished(match finished.0 {
                End::Later(future) => End::Later(Box::pin(future.instrument(self.0))),
                End::ConstructedLater(future) => {
                    End::ConstructedLater(Box::pin(future.instrument(self.0)))
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
    use rustyray_store::ObjectId;

    use crate::{call::Finished, spec::Header};

    /// Stands for the span of a task.
    #[derive(Debug)]
    pub(crate) struct Span;

    impl Span {
        #[inline]
        pub(crate) fn of(_: &Header, _: Option<ObjectId>) -> Span {
            Span
        }

        #[inline]
        pub(crate) fn enter<R>(&self, code: impl FnOnce() -> R) -> R {
            code()
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
