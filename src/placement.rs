//! Placement groups: resources that are reserved together, before the tasks and actors come that use them.
//!
//! ```
//! use std::time::Duration;
//!
//! use rustyray::{Bundle, PlacementGroup, PlacementStrategy, prelude::*};
//!
//! #[rustyray::remote]
//! fn step(input: u64) -> u64 {
//!     input + 1
//! }
//!
//! # fn main() -> rustyray::Result<()> {
//! # rustyray::block_on(async {
//! rustyray::Builder::new().num_cpus(2.0).start().await?;
//! let bundles = [Bundle::new().num_cpus(1.0), Bundle::new().num_cpus(1.0)];
//! let group = PlacementGroup::create(bundles, PlacementStrategy::Pack).await?;
//! group.ready().await?;
//! let step = step_remote::options().placement_group(&group, 0).remote(1).await?;
//! assert_eq!(step.get().await?, 2);
//! group.remove().await?;
//!
//! // One that other processes find by its name, and that stays when this program ends.
//! let bundle = Bundle::new().num_cpus(0.5).memory(1 << 20);
//! let named = PlacementGroup::options().name("mine").detached();
//! let group = named.create([bundle], PlacementStrategy::StrictPack).await?;
//! assert!(group.wait(Duration::from_secs(60)).await?);
//! assert_eq!(PlacementGroup::get("mine").await?.id(), group.id());
//! rustyray::shutdown().await
//! # })
//! # }
//! ```

use std::{fmt, time::Duration};

use rkyv::{
    Archive, Deserialize, Serialize,
    rancor::{Fallible, Source},
};
use rustyray_store::{ClientId, ObjectId, RefSink};

use crate::{
    amount::{Amount, units},
    context,
    error::{Error, Result},
    object::{ArchivedObjectRef, ObjectRef},
    options::Demand,
    runtime::{
        Link, current,
        submission::{BundleWanted, GroupWanted},
    },
};

/// How the bundles of a group lie. On one machine they all lie together.
///
/// ```
/// # use rustyray::{Bundle, Error, PlacementGroup, PlacementStrategy, prelude::*};
/// # #[rustyray::main(num_cpus = 2.0)]
/// # async fn main() -> rustyray::Result<()> {
/// let two = [Bundle::new().num_cpus(1.0); 2];
/// let spread = PlacementGroup::create(two, PlacementStrategy::Spread).await?;
/// spread.ready().await?; // as far apart as one machine allows
/// spread.remove().await?;
///
/// // What one machine cannot do is refused rather than waited for.
/// let apart = PlacementGroup::create(two, PlacementStrategy::StrictSpread).await;
/// assert!(matches!(apart, Err(Error::Unschedulable { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlacementStrategy {
    /// Close together.
    #[default]
    Pack,
    /// Apart, as far as there are machines.
    Spread,
    /// On one machine.
    StrictPack,
    /// Each on a machine of its own: no more than one bundle can be had.
    StrictSpread,
}

/// Resources that are reserved as one part of a [`PlacementGroup`]; nothing at first.
///
/// ```
/// # use rustyray::{Bundle, Error, PlacementGroup, PlacementStrategy};
/// # fn main() -> rustyray::Result<()> {
/// let builder = rustyray::Builder::new().num_cpus(2.0).num_gpus(1.0).resource("camera", 1.0);
/// # rustyray::block_on(async {
/// builder.start().await?;
/// let eye = Bundle::new().num_cpus(1).num_gpus(0.5).resource("camera", 1);
/// let mind = Bundle::new().num_cpus(1).memory(1 << 20);
/// let group = PlacementGroup::create([eye, mind], PlacementStrategy::Pack).await?;
/// group.ready().await?;
///
/// // More cameras than there are will never be free.
/// let two_eyes = PlacementGroup::create([eye, eye], PlacementStrategy::Pack).await;
/// assert!(matches!(two_eyes, Err(Error::Unschedulable { .. })));
/// rustyray::shutdown().await
/// # })
/// # }
/// ```
#[derive(Clone, Copy, PartialEq)]
pub struct Bundle {
    demand: Demand,
}

/// As `rustyray list placement-groups` shows it: `Bundle{0.5 cpu, 1 camera}`.
impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bundle{:?}", self.demand)
    }
}

impl Bundle {
    /// Nothing.
    pub const fn new() -> Self {
        Bundle { demand: Demand::new(0) }
    }

    /// How many cpus, from 0 to 400,000; fractions count to 1/10000.
    #[must_use]
    pub fn num_cpus(mut self, cpus: impl Amount) -> Self {
        self.demand = self.demand.num_cpus(units(cpus));
        self
    }

    /// How many gpus, from 0 to 400,000; fractions count to 1/10000.
    #[must_use]
    pub fn num_gpus(mut self, gpus: impl Amount) -> Self {
        self.demand = self.demand.num_gpus(units(gpus));
        self
    }

    /// How much of a custom resource, from 0 to 400,000; of at most
    /// [`MAX_CUSTOM_RESOURCES`](crate::manual::MAX_CUSTOM_RESOURCES).
    #[must_use]
    pub fn resource(mut self, name: &'static str, amount: impl Amount) -> Self {
        self.demand = self.demand.resource(name, units(amount));
        self
    }

    /// How much memory, in bytes.
    #[must_use]
    pub const fn memory(mut self, bytes: u64) -> Self {
        self.demand = self.demand.memory(bytes);
        self
    }
}

impl Default for Bundle {
    fn default() -> Self {
        Bundle::new()
    }
}

/// How a group is made, where the defaults do not do.
///
/// ```
/// # use rustyray::{Bundle, PlacementGroup, PlacementGroupOptions, PlacementStrategy, prelude::*};
/// # #[rustyray::main(num_cpus = 1.0)]
/// # async fn main() -> rustyray::Result<()> {
/// let options: PlacementGroupOptions = PlacementGroup::options().name("night shift").detached();
/// let group = options.clone().create([Bundle::new().num_cpus(1.0)], PlacementStrategy::Pack).await?;
///
/// // Another program finds it by its name, also when this one has ended.
/// assert_eq!(PlacementGroup::get("night shift").await?, group);
/// let taken = options.create([Bundle::new()], PlacementStrategy::Pack).await;
/// assert!(matches!(taken, Err(rustyray::Error::InvalidArgument { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlacementGroupOptions {
    name: Option<String>,
    detached: bool,
}

impl PlacementGroupOptions {
    /// The name under which any process finds the group, by [`PlacementGroup::get`].
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The group outlives the driver that made it: it lives until it is removed, or the node ends.
    #[must_use]
    pub const fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// Reserves the bundles, as [`PlacementGroup::create`] does.
    ///
    /// # Errors
    /// As [`PlacementGroup::create`], and [`Error::InvalidArgument`] when another group has the name.
    pub async fn create(
        self,
        bundles: impl IntoIterator<Item = Bundle>,
        strategy: PlacementStrategy,
    ) -> Result<PlacementGroup> {
        let core = current::get()?;
        core.check_open()?;
        let bundles: Vec<Bundle> = bundles.into_iter().collect();
        if bundles.is_empty() {
            return Err(Error::invalid("a placement group has at least one bundle"));
        }
        bundles.iter().try_for_each(|bundle| bundle.demand.check())?;
        if strategy == PlacementStrategy::StrictSpread && bundles.len() > 1 {
            return Err(Error::Unschedulable {
                task: "placement group".into(),
                demand: format!("{} machines", bundles.len()),
                available: "1 machine".into(),
            });
        }
        let wanted = GroupWanted {
            bundles: bundles.iter().map(|bundle| BundleWanted::of(&bundle.demand)).collect(),
            spread: matches!(strategy, PlacementStrategy::Spread | PlacementStrategy::StrictSpread),
            name: self.name,
            detached: self.detached,
            job: context::running().map_or_else(|| core.job(), |(_, job)| job),
        };
        let token = core.client.reserve().map_err(|error| core.store_failed::<()>(error))?;
        let group = PlacementGroup { token: ObjectRef::adopt(&core, token) };
        match &core.link {
            Link::Node(node) => node.create_group(&wanted, token, ClientId::NODE)?,
            Link::Uplink(uplink) => {
                if !uplink.create_group(wanted, token)? {
                    // The node left there why it refused.
                    let gone = || core.ended("a placement group was asked for".into());
                    return Err(core.error_of(token).unwrap_or_else(gone));
                }
            }
        }
        Ok(group)
    }
}

/// Resources that are reserved together, as bundles, for tasks and actors that ask for them by
/// `placement_group(&group, bundle)`.
///
/// The group lives until it is removed, or its driver ends, whoever has a `PlacementGroup`. It is cheap to
/// clone and can be an argument.
///
/// ```
/// # use rustyray::{Bundle, Error, PlacementGroup, PlacementStrategy, prelude::*};
/// # use std::time::Duration;
/// # #[rustyray::main(num_cpus = 1.0)]
/// # async fn main() -> rustyray::Result<()> {
/// let all = [Bundle::new().num_cpus(1.0)];
/// let first = PlacementGroup::create(all, PlacementStrategy::Pack).await?;
/// first.ready().await?;
///
/// // The second has to wait until the first is gone.
/// let second = PlacementGroup::create(all, PlacementStrategy::Pack).await?;
/// assert_ne!(second.id(), first.id());
/// assert!(!second.wait(Duration::from_millis(1)).await?);
/// first.remove().await?;
/// second.ready().await?;
///
/// // Whoever still waits for a group that is removed is told.
/// let third = PlacementGroup::create(all, PlacementStrategy::Pack).await?;
/// third.remove().await?;
/// assert!(matches!(third.ready().await, Err(Error::PlacementGroupRemoved { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PlacementGroup {
    /// Settled when the bundles are reserved; names the group.
    token: ObjectRef<()>,
}

impl PlacementGroup {
    /// Reserves the bundles, all of them as soon as all are free; [`PlacementGroup::ready`] waits for that. It is done by
    /// the first poll; in another process than the node's it blocks this thread for a round trip to the node.
    ///
    /// # Errors
    /// [`Error::Unschedulable`] when the node will never have as much, [`Error::InvalidArgument`] without
    /// bundles, or with more than 10,000.
    pub async fn create(
        bundles: impl IntoIterator<Item = Bundle>,
        strategy: PlacementStrategy,
    ) -> Result<PlacementGroup> {
        PlacementGroup::options().create(bundles, strategy).await
    }

    /// Begins a group with a name, or one that outlives its driver.
    ///
    /// ```
    /// # use rustyray::{Bundle, PlacementGroup, PlacementStrategy, prelude::*};
    /// # #[rustyray::main(num_cpus = 1.0)]
    /// # async fn main() -> rustyray::Result<()> {
    /// let named = PlacementGroup::options().name("trainers");
    /// let group = named.create([Bundle::new().num_cpus(1.0)], PlacementStrategy::Pack).await?;
    /// assert_eq!(PlacementGroup::get("trainers").await?, group);
    /// # Ok(())
    /// # }
    /// ```
    pub fn options() -> PlacementGroupOptions {
        PlacementGroupOptions::default()
    }

    /// The group of this name. In another process than the node's it blocks this thread for a round trip to the node. It
    /// is done by the first poll, and nothing is left to cancel.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when there is none.
    pub async fn get(name: &str) -> Result<PlacementGroup> {
        let core = current::get()?;
        let token = match &core.link {
            Link::Node(node) => node.group_named(name),
            Link::Uplink(uplink) => uplink.group_named(name)?,
        };
        let found = token.filter(|&token| core.retain(token).is_ok());
        let token =
            found.ok_or_else(|| Error::invalid(format!("no placement group is named `{name}`")))?;
        Ok(PlacementGroup { token: ObjectRef::adopt(&core, token) })
    }

    /// Waits until the bundles are reserved. Dropping the future gives up waiting and has no other effect.
    ///
    /// # Errors
    /// [`Error::PlacementGroupRemoved`] when the group is removed before.
    pub async fn ready(&self) -> Result<()> {
        self.token.get().await
    }

    /// The same, at most for `timeout`; whether they are reserved.
    ///
    /// # Errors
    /// As [`PlacementGroup::ready`].
    pub async fn wait(&self, timeout: Duration) -> Result<bool> {
        match self.token.get_timeout(timeout).await {
            Ok(()) => Ok(true),
            Err(Error::GetTimeout { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the group: what waits for it fails with [`Error::PlacementGroupRemoved`], what runs in it is
    /// ended, and its resources are free then. Removing it again is nothing. It is done by the first poll.
    ///
    /// # Errors
    /// When the runtime is gone.
    pub async fn remove(&self) -> Result<()> {
        let core = self.token.core()?;
        core.check_open()?;
        match &core.link {
            Link::Node(node) => {
                node.remove_group(self.id());
                Ok(())
            }
            Link::Uplink(uplink) => uplink.remove_group(self.id()),
        }
    }

    /// What names the group within its session.
    pub fn id(&self) -> ObjectId {
        self.token.id()
    }
}

impl fmt::Debug for PlacementGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlacementGroup({})", self.id())
    }
}

/// Where among the bundles of a group a task or an actor is to run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Within {
    pub(crate) group: ObjectId,
    /// -1 for any that has room.
    pub(crate) bundle: i32,
    pub(crate) capture: bool,
}

impl Archive for PlacementGroup {
    type Archived = ArchivedObjectRef;
    type Resolver = ();

    fn resolve(&self, (): (), out: rkyv::Place<ArchivedObjectRef>) {
        self.token.resolve((), out);
    }
}

impl<S: Fallible + RefSink + ?Sized> Serialize<S> for PlacementGroup {
    fn serialize(&self, serializer: &mut S) -> Result<(), S::Error> {
        self.token.serialize(serializer)
    }
}

impl<D: Fallible<Error: Source> + ?Sized> Deserialize<PlacementGroup, D> for ArchivedObjectRef {
    fn deserialize(&self, deserializer: &mut D) -> Result<PlacementGroup, D::Error> {
        let token: ObjectRef<()> = self.deserialize(deserializer)?;
        Ok(PlacementGroup { token })
    }
}
