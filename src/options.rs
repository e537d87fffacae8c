//! What a task or an actor asks for: resources, retries, limits, names.
//!
//! Both option types are built by value with `const` methods, so that the defaults given in an attribute
//! are constants of the program and an override at the call costs a copy.

use std::fmt;

use crate::{
    error::{Error, Result},
    placement::{PlacementGroup, Within},
    registry::same,
};

/// How many custom resources one task or actor may ask for.
///
/// ```
/// use rustyray::{Bundle, Error, PlacementGroup, PlacementStrategy, manual::MAX_CUSTOM_RESOURCES};
///
/// # fn main() -> rustyray::Result<()> {
/// let names = ["camera", "robot", "scanner", "licence", "desk"];
/// let asked_for = |count: usize| {
///     names[..count].iter().fold(Bundle::new(), |asked, name| asked.resource(name, 1))
/// };
/// let builder = names.iter().fold(rustyray::Builder::new(), |node, &name| node.resource(name, 1));
/// # rustyray::block_on(async {
/// builder.start().await?;
/// let most = [asked_for(MAX_CUSTOM_RESOURCES)];
/// PlacementGroup::create(most, PlacementStrategy::Pack).await?.ready().await?;
/// let beyond = [asked_for(MAX_CUSTOM_RESOURCES + 1)];
/// let refused = PlacementGroup::create(beyond, PlacementStrategy::Pack).await;
/// assert!(matches!(refused, Err(Error::InvalidArgument { .. })));
/// rustyray::shutdown().await
/// # })
/// # }
/// ```
pub const MAX_CUSTOM_RESOURCES: usize = 4;

/// How many concurrency groups one actor class may have.
///
/// ```
/// use rustyray::manual::{ActorOptions, MAX_CONCURRENCY_GROUPS};
///
/// let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
/// let grouped = |count: usize| {
///     names[..count].iter().fold(ActorOptions::new(), |options, name| {
///         options.concurrency_group(name, 2)
///     })
/// };
/// assert!(grouped(MAX_CONCURRENCY_GROUPS).has_concurrency_group("h"));
/// assert!(std::panic::catch_unwind(|| grouped(MAX_CONCURRENCY_GROUPS + 1)).is_err());
/// ```
pub const MAX_CONCURRENCY_GROUPS: usize = 8;

/// The most calls of one actor that can be under way at one time, all its concurrency groups together.
///
/// ```
/// use rustyray::manual::{ActorOptions, MAX_CONCURRENCY};
///
/// const BUSIEST: ActorOptions = ActorOptions::new().max_concurrency(MAX_CONCURRENCY);
/// assert_ne!(BUSIEST, ActorOptions::new());
/// // In a constant it would be an error of the compiler.
/// let beyond = || ActorOptions::new().max_concurrency(MAX_CONCURRENCY + 1).checked();
/// assert!(std::panic::catch_unwind(beyond).is_err());
/// ```
pub const MAX_CONCURRENCY: u32 = 1024;

/// Amounts of resources, in ten-thousandths.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Demand {
    pub(crate) cpus: u32,
    pub(crate) gpus: u32,
    pub(crate) memory_bytes: u64,
    pub(crate) custom: [Option<(&'static str, u32)>; MAX_CUSTOM_RESOURCES],
    unfit: Option<Unfit>,
}

/// A setting that cannot be. It is kept until the task or actor is asked for, which then fails with it: setters have
/// nowhere to return an error.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Unfit {
    option: &'static str,
    value: f64,
    why: &'static str,
}

impl Unfit {
    fn error(self) -> Error {
        let Unfit { option, value, why } = self;
        Error::invalid(format!("`{option}` is {value}: {why}"))
    }
}

/// How many parts one unit of a resource is divided into.
pub(crate) const UNIT: u32 = 10_000;

impl Demand {
    pub(crate) const fn new(cpus: u32) -> Self {
        let custom = [None; MAX_CUSTOM_RESOURCES];
        Demand { cpus, gpus: 0, memory_bytes: 0, custom, unfit: None }
    }

    pub(crate) const fn num_cpus(mut self, cpus: f64) -> Self {
        self.cpus = self.parts("num_cpus", cpus);
        self
    }

    pub(crate) const fn num_gpus(mut self, gpus: f64) -> Self {
        self.gpus = self.parts("num_gpus", gpus);
        self
    }

    pub(crate) const fn resource(mut self, name: &'static str, amount: f64) -> Self {
        let parts = self.parts(name, amount);
        let mut at = 0;
        while at < MAX_CUSTOM_RESOURCES {
            let free = match self.custom[at] {
                None => true,
                Some((taken, _)) => same(taken, name),
            };
            if free {
                self.custom[at] = Some((name, parts));
                return self;
            }
            at += 1;
        }
        let why = "it is one custom resource more than can be asked for together";
        self.unfit = Some(Unfit { option: name, value: amount, why });
        self
    }

    pub(crate) const fn memory(mut self, bytes: u64) -> Self {
        self.memory_bytes = bytes;
        self
    }

    /// `amount` in ten-thousandths, rounded to the nearest.
    const fn parts(&mut self, option: &'static str, amount: f64) -> u32 {
        if amount >= 0.0 && amount <= 400_000.0 {
            return (amount * UNIT as f64 + 0.5) as u32;
        }
        let why = "an amount of a resource lies between 0 and 400000";
        self.unfit = Some(Unfit { option, value: amount, why });
        0
    }

    /// That every amount can be.
    pub(crate) fn check(&self) -> Result<()> {
        match self.unfit {
            None => Ok(()),
            Some(unfit) => Err(unfit.error()),
        }
    }

    /// The same in a constant, where it is an error of the compiler.
    const fn checked(&self) {
        if let Some(unfit) = self.unfit {
            panic!("{}", unfit.why)
        }
    }
}

/// As listings show the bundles of a placement group: `{0.5 cpu, 1 camera}`.
impl fmt::Debug for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = "{";
        let mut amount = |name: &str, parts: u32| {
            let separator = std::mem::replace(&mut before, ", ");
            write!(f, "{separator}{} {name}", f64::from(parts) / f64::from(UNIT))
        };
        if self.cpus > 0 || *self == Demand::new(0) {
            amount("cpu", self.cpus)?;
        }
        if self.gpus > 0 {
            amount("gpu", self.gpus)?;
        }
        for (name, parts) in self.custom.iter().flatten() {
            amount(name, *parts)?;
        }
        if self.memory_bytes > 0 {
            write!(f, "{before}{} bytes of memory", self.memory_bytes)?;
        }
        f.write_str("}")
    }
}

/// The setters that options have which ask for resources.
macro_rules! demand_options {
    () => {
        /// How many cpus it occupies while it runs, from 0 to 400,000; fractions count to 1/10000.
        #[must_use]
        pub const fn num_cpus(mut self, cpus: f64) -> Self {
            self.demand = self.demand.num_cpus(cpus);
            self
        }

        /// How many gpus it occupies while it runs, from 0 to 400,000; fractions count to 1/10000.
        #[must_use]
        pub const fn num_gpus(mut self, gpus: f64) -> Self {
            self.demand = self.demand.num_gpus(gpus);
            self
        }

        /// How much of a custom resource it occupies while it runs, from 0 to 400,000; of at most
        /// [`MAX_CUSTOM_RESOURCES`].
        #[must_use]
        pub const fn resource(mut self, name: &'static str, amount: f64) -> Self {
            self.demand = self.demand.resource(name, amount);
            self
        }

        /// How much memory it needs, in bytes; a promise to the scheduler, not a limit that is enforced.
        #[must_use]
        pub const fn memory(mut self, bytes: u64) -> Self {
            self.demand = self.demand.memory(bytes);
            self
        }
    };
}

/// Where tasks and actors run among the bundles of a placement group.
macro_rules! placement_options {
    () => {
        /// Out of a placement group's resources: those of this bundle, counted from 0, or with -1 of any that
        /// has room.
        ///
        /// ```
        /// use rustyray::{Bundle, PlacementGroup, PlacementStrategy, prelude::*};
        ///
        /// #[rustyray::remote]
        /// fn square(number: u64) -> u64 {
        ///     number * number
        /// }
        ///
        /// #[rustyray::actor(num_cpus = 1.0)]
        /// struct Adder;
        ///
        /// #[rustyray::actor_methods]
        /// impl Adder {
        ///     pub fn new() -> Self {
        ///         Adder
        ///     }
        ///
        ///     pub fn add(&self, a: u64, b: u64) -> u64 {
        ///         a + b
        ///     }
        /// }
        ///
        /// # #[rustyray::main(num_cpus = 2.0)]
        /// # async fn main() -> rustyray::Result<()> {
        /// let group =
        ///     PlacementGroup::create([Bundle::new().num_cpus(1.0); 2], PlacementStrategy::Pack).await?;
        /// // The actor has the first bundle to itself; the task takes what it finds.
        /// let adder = Adder::options().placement_group(&group, 0).remote().await?;
        /// let nine = square_remote::options().placement_group(&group, -1).remote(3).await?;
        /// assert_eq!(adder.add(&nine, 1).await?.get().await?, 10);
        ///
        /// // What lives in the group ends with it.
        /// group.remove().await?;
        /// assert_eq!(adder.died().await?.reason, rustyray::ActorEnd::GroupRemoved);
        /// # Ok(())
        /// # }
        /// ```
        #[must_use]
        pub fn placement_group(mut self, group: &PlacementGroup, bundle: i32) -> Self {
            self.within = Some(Within { group: group.id(), bundle, capture: false });
            self
        }

        /// Whether what it submits, tasks and actors, runs in the group as well, where that says nothing of a group; and
        /// what that submits, and so on.
        ///
        /// ```
        /// use rustyray::{Bundle, PlacementGroup, PlacementStrategy, prelude::*};
        ///
        /// #[rustyray::remote(num_cpus = 0.5)]
        /// fn part(number: u64) -> u64 {
        ///     number + 1
        /// }
        ///
        /// #[rustyray::remote(num_cpus = 0.5)]
        /// async fn whole(number: u64) -> rustyray::Result<u64> {
        ///     // Runs in the group of `whole`, though nothing here names it.
        ///     part_remote::remote(number).await?.get().await
        /// }
        ///
        /// # #[rustyray::main(num_cpus = 1.0)]
        /// # async fn main() -> rustyray::Result<()> {
        /// // All there is: outside the group nothing could run.
        /// let group =
        ///     PlacementGroup::create([Bundle::new().num_cpus(1.0)], PlacementStrategy::Pack).await?;
        /// let options = whole_remote::options().placement_group(&group, 0).capture_child_tasks(true);
        /// assert_eq!(options.remote(1).await?.get().await?, 2);
        /// # Ok(())
        /// # }
        /// ```
        #[must_use]
        pub fn capture_child_tasks(mut self, capture: bool) -> Self {
            self.capture = capture;
            self
        }
    };
}

/// How a task is run. `TaskOptions::new()` is one cpu, three retries after a worker's death, no timeout.
///
/// ```
/// use rustyray::manual::TaskOptions;
///
/// const OPTIONS: TaskOptions = TaskOptions::new()
///     .num_cpus(0.5)
///     .num_gpus(0.0)
///     .memory(1 << 20)
///     .resource("camera", 1.0)
///     .name("look")
///     .max_retries(5)
///     .retry_exceptions(true)
///     .timeout_ms(60_000)
///     .num_returns(1)
///     .backpressure(64)
///     .priority(1);
///
/// // The same at a function, and with some of it changed at a call.
/// #[rustyray::remote(num_cpus = 0.5, name = "look", max_retries = 5, timeout_ms = 60_000)]
/// fn look(at: String) -> usize {
///     at.len()
/// }
///
/// # fn main() -> rustyray::Result<()> {
/// # rustyray::block_on(async {
/// rustyray::init().await?;
/// let seen = look_remote::options().priority(1).name("look closely").remote("moon".to_owned());
/// assert_eq!(seen.await?.get().await?, 4);
/// rustyray::shutdown().await
/// # })
/// # }
/// # const _: TaskOptions = OPTIONS;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TaskOptions {
    pub(crate) demand: Demand,
    pub(crate) max_retries: i32,
    pub(crate) retry_exceptions: bool,
    pub(crate) timeout_ms: u64,
    pub(crate) num_returns: u16,
    pub(crate) backpressure: u32,
    pub(crate) name: Option<&'static str>,
    pub(crate) priority: i16,
    pub(crate) within: Option<Within>,
    pub(crate) capture: bool,
}

impl TaskOptions {
    /// The defaults.
    pub const fn new() -> Self {
        TaskOptions {
            demand: Demand::new(UNIT),
            max_retries: 3,
            retry_exceptions: false,
            timeout_ms: 0,
            num_returns: 1,
            backpressure: crate::stream::BACKPRESSURE,
            name: None,
            priority: 0,
            within: None,
            capture: false,
        }
    }

    demand_options!();
    placement_options!();

    /// The same options, in a constant: what cannot be is an error of the compiler there. Elsewhere it is
    /// [`Error::InvalidArgument`] when the task is submitted.
    ///
    /// ```
    /// use rustyray::manual::TaskOptions;
    ///
    /// const HALF: TaskOptions = TaskOptions::new().num_cpus(0.5).checked();
    /// assert_eq!(HALF, TaskOptions::new().num_cpus(0.5));
    /// assert!(std::panic::catch_unwind(|| TaskOptions::new().num_cpus(-0.5).checked()).is_err());
    /// ```
    ///
    /// # Panics
    /// When an amount of a resource cannot be.
    #[must_use]
    pub const fn checked(self) -> Self {
        self.demand.checked();
        self
    }

    /// The name under which the task appears in errors and listings, instead of its function's.
    #[must_use]
    pub const fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// How often the task is run again after its worker died; -1 for as often as it takes.
    #[must_use]
    pub const fn max_retries(mut self, retries: i32) -> Self {
        self.max_retries = retries;
        self
    }

    /// Whether the task is run again, within `max_retries`, after it returned an `Err` or panicked.
    #[must_use]
    pub const fn retry_exceptions(mut self, retry: bool) -> Self {
        self.retry_exceptions = retry;
        self
    }

    /// How long one attempt may run, in milliseconds; 0 for as long as it takes.
    #[must_use]
    pub const fn timeout_ms(mut self, timeout_ms: u64) -> Self {
        self.timeout_ms = timeout_ms;
        self
    }

    /// How many objects the task returns: the members of its tuple.
    #[must_use]
    pub const fn num_returns(mut self, returns: u16) -> Self {
        self.num_returns = returns;
        self
    }

    /// How many items of a streaming task may be made and not yet consumed, at least 1 and at most 65,536; 64 by
    /// default. For each an object is reserved when the task is submitted.
    #[must_use]
    pub const fn backpressure(mut self, items: u32) -> Self {
        self.backpressure = items;
        self
    }

    /// Tasks of higher priority are dispatched first; FIFO within one.
    #[must_use]
    pub const fn priority(mut self, priority: i16) -> Self {
        self.priority = priority;
        self
    }
}

impl Default for TaskOptions {
    fn default() -> Self {
        TaskOptions::new()
    }
}

/// How an actor is run. `ActorOptions::new()` asks for no cpu while it waits for calls, is never restarted
/// and runs one call at a time.
///
/// ```
/// use rustyray::manual::ActorOptions;
///
/// const OPTIONS: ActorOptions = ActorOptions::new()
///     .num_cpus(0.5)
///     .num_gpus(0.0)
///     .memory(1 << 20)
///     .resource("camera", 1.0)
///     .max_restarts(3)
///     .max_task_retries(1)
///     .max_concurrency(4)
///     .concurrency_group("io", 2)
///     .max_pending_calls(1000)
///     .get_if_exists(true)
///     .detached();
///
/// // The same at a class, and with some of it changed where an actor is made.
/// #[rustyray::actor(max_restarts = 3, max_concurrency = 4)]
/// struct Eye;
///
/// #[rustyray::actor_methods]
/// impl Eye {
///     pub fn new() -> Self {
///         Eye
///     }
///
///     pub fn blink(&self) -> u64 {
///         1
///     }
/// }
///
/// # fn main() -> rustyray::Result<()> {
/// # rustyray::block_on(async {
/// rustyray::init().await?;
/// assert!(OPTIONS.has_concurrency_group("io"));
/// assert_ne!(OPTIONS, OPTIONS.name("other"));
/// let eye = Eye::options().name("eye").get_if_exists(true).remote().await?;
/// assert_eq!(eye.blink().await?.get().await?, 1);
/// assert_eq!(Eye::get("eye").await?.id(), eye.id());
/// rustyray::shutdown().await
/// # })
/// # }
/// ```
#[derive(Clone, PartialEq)]
pub struct ActorOptions {
    pub(crate) demand: Demand,
    pub(crate) name: Option<String>,
    pub(crate) get_if_exists: bool,
    pub(crate) detached: bool,
    pub(crate) max_restarts: i32,
    pub(crate) max_task_retries: i32,
    pub(crate) max_concurrency: u32,
    pub(crate) max_pending_calls: u64,
    pub(crate) out_of_order: bool,
    pub(crate) within: Option<Within>,
    pub(crate) capture: bool,
    pub(crate) groups: [Option<(&'static str, u32)>; MAX_CONCURRENCY_GROUPS],
}

impl fmt::Debug for ActorOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<_> = self.groups.iter().flatten().collect();
        f.debug_struct("ActorOptions")
            .field("demand", &self.demand)
            .field("name", &self.name)
            .field("get_if_exists", &self.get_if_exists)
            .field("detached", &self.detached)
            .field("max_restarts", &self.max_restarts)
            .field("max_task_retries", &self.max_task_retries)
            .field("max_concurrency", &self.max_concurrency)
            .field("max_pending_calls", &self.max_pending_calls)
            .field("out_of_order", &self.out_of_order)
            .field("within", &self.within)
            .field("capture", &self.capture)
            .field("groups", &groups)
            .finish()
    }
}

impl ActorOptions {
    /// The defaults.
    pub const fn new() -> Self {
        ActorOptions {
            demand: Demand::new(0),
            name: None,
            get_if_exists: false,
            detached: false,
            max_restarts: 0,
            max_task_retries: 0,
            max_concurrency: 1,
            max_pending_calls: 0,
            out_of_order: false,
            within: None,
            capture: false,
            groups: [None; MAX_CONCURRENCY_GROUPS],
        }
    }

    demand_options!();
    placement_options!();

    /// The same options, in a constant: what cannot be is an error of the compiler there. Elsewhere it is
    /// [`Error::InvalidArgument`] when the actor is made.
    ///
    /// ```
    /// use rustyray::manual::ActorOptions;
    ///
    /// const TWO: ActorOptions = ActorOptions::new().max_concurrency(2).checked();
    /// assert_eq!(TWO, ActorOptions::new().max_concurrency(2));
    /// assert!(std::panic::catch_unwind(|| ActorOptions::new().max_concurrency(0).checked()).is_err());
    /// ```
    ///
    /// # Panics
    /// When an amount of a resource or `max_concurrency` cannot be.
    #[must_use]
    pub const fn checked(self) -> Self {
        self.demand.checked();
        assert!(self.max_concurrency > 0, "an actor runs at least one call at a time");
        assert!(
            self.max_concurrency <= MAX_CONCURRENCY,
            "an actor runs at most 1024 calls at a time"
        );
        self
    }

    /// The name under which any process finds the actor, by `Class::get`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// With a registered name: take the actor that has it already, rather than fail.
    #[must_use]
    pub const fn get_if_exists(mut self, get: bool) -> Self {
        self.get_if_exists = get;
        self
    }

    /// The actor lives until it is killed, exits, or the node ends, whoever holds a handle.
    #[must_use]
    pub const fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// How often the actor is constructed again after its process died; -1 for as often as it takes.
    #[must_use]
    pub const fn max_restarts(mut self, restarts: i32) -> Self {
        self.max_restarts = restarts;
        self
    }

    /// How often a call that was under way when the process died is run again; -1 for as often as it takes.
    #[must_use]
    pub const fn max_task_retries(mut self, retries: i32) -> Self {
        self.max_task_retries = retries;
        self
    }

    /// How many `&self` calls may overlap, sync and async ones, from 1, for one call at a time, to
    /// [`MAX_CONCURRENCY`]. A call of a concurrency group counts in its group only.
    #[must_use]
    pub const fn max_concurrency(mut self, calls: u32) -> Self {
        self.max_concurrency = calls;
        self
    }

    /// A group of methods with a limit of its own: calls of the group overlap up to `limit`, whatever the
    /// others do. `&mut self` methods run alone all the same.
    ///
    /// Groups belong to the class ([`ActorClass::options`](crate::manual::ActorClass::options)); in the
    /// options of one actor they have no effect.
    ///
    /// # Panics
    /// When the limit is zero or more than [`MAX_CONCURRENCY`], or with more than [`MAX_CONCURRENCY_GROUPS`] groups.
    #[must_use]
    pub const fn concurrency_group(mut self, name: &'static str, limit: u32) -> Self {
        assert!(limit > 0, "a concurrency group runs at least one call at a time");
        assert!(limit <= MAX_CONCURRENCY, "a concurrency group runs at most 1024 calls at a time");
        let mut at = 0;
        while at < MAX_CONCURRENCY_GROUPS {
            let free = match self.groups[at] {
                None => true,
                Some((taken, _)) => same(taken, name),
            };
            if free {
                self.groups[at] = Some((name, limit));
                return self;
            }
            at += 1;
        }
        panic!("more concurrency groups than an actor may have")
    }

    /// Whether there is a concurrency group of this name.
    pub const fn has_concurrency_group(&self, name: &str) -> bool {
        let mut at = 0;
        while at < MAX_CONCURRENCY_GROUPS {
            if let Some((known, _)) = self.groups[at]
                && same(known, name)
            {
                return true;
            }
            at += 1;
        }
        false
    }

    /// That no more calls than can be are allowed to be under way, all groups of `class` together.
    pub(crate) fn check_concurrency(&self, class: &Self) -> Result<()> {
        if self.max_concurrency == 0 {
            return Err(Error::invalid(
                "`max_concurrency` is 0: an actor runs at least one call at a time",
            ));
        }
        let groups = class.groups.iter().flatten().map(|&(_, limit)| u64::from(limit));
        let together = u64::from(self.max_concurrency) + groups.sum::<u64>();
        if together > u64::from(MAX_CONCURRENCY) {
            return Err(Error::invalid(format!(
                "`max_concurrency` and the limits of the concurrency groups come to {together} calls at \
                 one time, at most {MAX_CONCURRENCY} of one actor can be under way"
            )));
        }
        Ok(())
    }

    /// How many unfinished calls the actor may have; 0 for no limit.
    #[must_use]
    pub const fn max_pending_calls(mut self, calls: u64) -> Self {
        self.max_pending_calls = calls;
        self
    }

    /// Whether calls that wait for their arguments stand aside: later calls of the same caller do not wait
    /// for them. Calls that wait for nothing keep their order.
    #[must_use]
    pub const fn out_of_order(mut self, may_pass: bool) -> Self {
        self.out_of_order = may_pass;
        self
    }
}

impl Default for ActorOptions {
    fn default() -> Self {
        ActorOptions::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_constants_and_count_to_a_ten_thousandth() {
        const OPTIONS: TaskOptions = TaskOptions::new()
            .num_cpus(0.5)
            .num_gpus(0.0001)
            .resource("tpu", 2.0)
            .resource("tpu", 1.0);
        assert_eq!(OPTIONS.demand.cpus, 5_000);
        assert_eq!(OPTIONS.demand.gpus, 1);
        assert_eq!(OPTIONS.demand.custom[0], Some(("tpu", 10_000)));
        assert_eq!(OPTIONS.demand.custom[1], None);
    }

    #[test]
    fn what_cannot_be_asked_for_is_named() {
        let refused =
            |options: TaskOptions| options.demand.check().expect_err("it cannot be").to_string();
        let range = "an amount of a resource lies between 0 and 400000";
        assert_eq!(
            refused(TaskOptions::new().num_cpus(-1.0)),
            format!("`num_cpus` is -1: {range}")
        );
        assert_eq!(
            refused(TaskOptions::new().num_gpus(f64::NAN)),
            format!("`num_gpus` is NaN: {range}")
        );
        let named = TaskOptions::new().resource("tpu", f64::INFINITY);
        assert_eq!(refused(named), format!("`tpu` is inf: {range}"));
        let many = ["a", "b", "c", "d", "e"];
        let many =
            many.iter().fold(TaskOptions::new(), |options, name| options.resource(name, 2.0));
        assert!(refused(many).starts_with("`e` is 2: it is one custom resource more"));
    }

    #[test]
    #[should_panic(expected = "between 0 and 400000")]
    fn in_a_constant_it_is_refused_at_once() {
        let _ = TaskOptions::new().num_cpus(-1.0).checked();
    }
}
