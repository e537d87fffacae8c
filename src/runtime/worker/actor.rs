//! The actor that lives in a worker's process: it settles in, runs its hooks, and ends.

use std::{any::Any, cell::Cell, rc::Rc, sync::Arc};

use super::{
    Worker,
    failure::{guarded, guarded_future},
};
use crate::{
    call::{Call, End, Failure, Ids, Returns},
    error::Error,
    registry::{self, ActorClass},
    runtime::{background, executor::Executor},
    spec::{self, Header},
};

thread_local! {
    /// The actor asked to end.
    static EXIT: Cell<bool> = const { Cell::new(false) };
}

/// Asks for the end of the actor that lives here, after the current call; `false` outside an actor.
pub(crate) fn exit_actor() -> bool {
    EXIT.replace(true);
    true
}

/// Whether the actor asked to end since this was last asked.
pub(super) fn take_exit() -> bool {
    EXIT.take()
}

/// The actor that lives in this process.
pub(super) struct Resident {
    pub(super) class: &'static ActorClass,
    pub(super) cell: Rc<dyn Any>,
}

impl Worker {
    /// The actor is constructed: it lives here from now on.
    pub(super) fn settle(&mut self, header: &Header, returns: &Returns, cell: Rc<dyn Any>) {
        let Some(class) = registry::actor_class(header.function) else {
            let failure = Error::FunctionNotFound { name: format!("{:016x}", header.function) };
            return self.complete(header, returns, Err(failure.into()));
        };
        self.actor = Some(Resident { class, cell });
        let sealed = match class.on_start {
            None => Ok(()),
            Some(hook) => self.hook(hook),
        };
        let outcome = sealed.and_then(|()| match returns.ids.as_slice().first() {
            Some(&id) => self.core.seal_value(id, returns.attempt, &()),
            None => Ok(()),
        });
        self.complete(header, returns, outcome);
    }

    /// Runs `on_start` or `on_stop`.
    pub(super) fn hook(&self, hook: registry::Body) -> Result<(), Failure> {
        let returns =
            Returns { core: Arc::clone(&self.core), ids: Ids::Several([].into()), attempt: 0 };
        let cell = self.actor.as_ref().map(|actor| &actor.cell);
        let mut call = Call {
            core: &self.core,
            arguments: spec::Arguments::none(),
            returns: &returns,
            actor: cell,
        };
        match guarded(|| hook(&mut call))?.0 {
            End::Later(future) => {
                let executor = Executor::new();
                let _tokio =
                    background::handle().map(|handle| handle.enter()).map_err(Failure::from)?;
                executor.run(guarded_future(future)).flatten()
            }
            _ => Ok(()),
        }
    }

    /// Ends the process in order.
    pub(super) fn stop(&mut self, _: &Executor) {
        if let Some(hook) = self.actor.as_ref().and_then(|actor| actor.class.on_stop)
            && let Err(failure) = self.hook(hook)
        {
            eprintln!("rustyray: on_stop failed: {failure:?}");
        }
        self.actor = None;
    }
}
