//! How an actor's life ended, as those who watch it are told.
//!
//! Every actor has an *obituary*: an object that is settled when it dies for good. It is reserved when
//! somebody first asks for it, and is an object as any other: it can be waited for together with others, passed
//! to other processes, and given to a method as its argument, which then runs when the actor has died:
//!
//! ```
//! use rustyray::{Death, prelude::*};
//!
//! #[rustyray::actor]
//! #[derive(Default)]
//! struct Supervisor {
//!     deaths: Vec<String>,
//! }
//!
//! #[rustyray::actor_methods]
//! impl Supervisor {
//!     pub fn new() -> Self {
//!         Supervisor::default()
//!     }
//!
//!     // Out of order: later calls do not wait for somebody's death.
//!     #[method(out_of_order)]
//!     pub fn child_died(&mut self, death: Death) {
//!         self.deaths.push(death.to_string());
//!     }
//!
//!     pub fn deaths(&self) -> Vec<String> {
//!         self.deaths.clone()
//!     }
//! }
//!
//! #[rustyray::main]
//! async fn main() -> rustyray::Result<()> {
//!     let (supervisor, child) = (Supervisor::remote().await?, Supervisor::remote().await?);
//!     let told = supervisor.child_died(child.death().await?).await?;
//!     assert_eq!(supervisor.deaths().await?.get().await?.len(), 0);
//!     child.kill().await?;
//!     told.get().await?;
//!     assert_eq!(supervisor.deaths().await?.get().await?.len(), 1);
//!     Ok(())
//! }
//! ```

#![expect(missing_docs, reason = "of what rkyv derives one field has no documentation")]

use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};

use crate::error::Error;

/// How an actor's life ended.
///
/// ```
/// use rustyray::{Death, Error, prelude::*};
///
/// #[rustyray::actor]
/// struct Reader;
///
/// #[rustyray::actor_methods]
/// impl Reader {
///     pub fn open(path: String) -> std::io::Result<Self> {
///         std::fs::File::open(path).map(|_| Reader)
///     }
/// }
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let reader = Reader::remote_open("/no/such/file").await?;
/// let death: Death = reader.died().await?;
/// assert!(death.to_string().ends_with("is dead: its constructor failed"), "{death}");
/// // What the constructor returned.
/// assert!(death.cause.as_ref().expect("an error").to_string().contains("No such file"));
/// // As those get it who call the actor.
/// assert!(matches!(Error::from(death), Error::ActorDied { .. }));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Death {
    /// The class of the actor, with its name where it has one.
    pub actor: String,
    /// Why it is dead for good.
    pub reason: ActorEnd,
    /// The error that its constructor returned, or that an argument of it failed with, if that is the reason.
    pub cause: Option<Error>,
}

/// Why an actor is dead for good.
///
/// ```
/// use rustyray::{ActorEnd, prelude::*};
///
/// #[rustyray::actor]
/// struct Acrobat;
///
/// #[rustyray::actor_methods]
/// impl Acrobat {
///     pub fn new() -> Self {
///         Acrobat
///     }
///
///     pub fn fall(&mut self) {
///         std::process::abort();
///     }
/// }
///
/// /// Whether to hire another one.
/// fn is_missed(end: &ActorEnd) -> bool {
///     match end {
///         ActorEnd::Exited | ActorEnd::Killed | ActorEnd::Unreachable => false,
///         ActorEnd::Crashed { restarts, .. } => *restarts < 3,
///         _ => true,
///     }
/// }
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// let (first, second) = (Acrobat::remote().await?, Acrobat::remote().await?);
/// first.fall().await?;
/// let end = first.died().await?.reason;
/// assert!(matches!(end, ActorEnd::Crashed { restarts: 0, .. }), "{end}");
/// assert!(is_missed(&end));
///
/// second.kill().await?;
/// assert!(!is_missed(&second.died().await?.reason));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ActorEnd {
    /// Its constructor, its `on_start` or an argument of the constructor failed.
    NotConstructed,
    /// Its creation was cancelled.
    Cancelled,
    /// It called [`exit_actor`](crate::exit_actor).
    Exited,
    /// Somebody called [`ActorHandle::kill`](crate::ActorHandle::kill).
    Killed,
    /// Its last handle was dropped.
    Unreachable,
    /// The runtime was shut down.
    ShutDown,
    /// Its process ended, and no restarts are left.
    Crashed {
        /// How the process ended.
        how: String,
        /// How often it was restarted.
        restarts: u32,
    },
    /// The driver that made it is gone, and it was not detached.
    JobEnded,
    /// The placement group that it lived in was removed.
    GroupRemoved,
    /// Something else.
    Other {
        /// What it was.
        what: String,
    },
}

impl fmt::Display for ActorEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ActorEnd::NotConstructed => f.write_str("its constructor failed"),
            ActorEnd::Cancelled => f.write_str("its creation was cancelled"),
            ActorEnd::Exited => f.write_str("it exited on its own"),
            ActorEnd::Killed => f.write_str("it was killed by `kill`"),
            ActorEnd::Unreachable => f.write_str("its last handle was dropped"),
            ActorEnd::ShutDown => f.write_str("the runtime was shut down"),
            ActorEnd::Crashed { how, restarts: 0 } => write!(f, "its process ended ({how})"),
            ActorEnd::Crashed { how, restarts } => {
                write!(f, "its process ended ({how}) after {restarts} restarts")
            }
            ActorEnd::JobEnded => f.write_str("the driver that made it is gone"),
            ActorEnd::GroupRemoved => f.write_str("its placement group was removed"),
            ActorEnd::Other { what } => f.write_str(what),
        }
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "actor `{}` is dead: {}", self.actor, self.reason)
    }
}

impl From<Death> for Error {
    fn from(Death { actor, reason, cause }: Death) -> Error {
        Error::ActorDied { actor, reason: reason.to_string(), cause: cause.map(Box::new) }
    }
}
