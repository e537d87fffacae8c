/// Counts.
#[derive(Debug)]
pub struct Counter {
    value: i64,
}
/// A handle of a `Counter` actor.
///
/// Its clones name the same actor. It can be an argument and part of stored values. The actor ends with its last handle, unless it is detached.
#[derive(::core::clone::Clone)]
pub struct CounterHandle {
    inner: ::rustyray::manual::ActorHandle<Counter>,
}
const _: () = {
    const _: fn() = || {
        #[allow(unused_imports)]
        use ::rustyray::manual::WithoutPrelude as _;
        ::rustyray::manual::Prelude.use_it();
    };
    impl ::rustyray::manual::Actor for Counter {
        type Handle = CounterHandle;
        const OPTIONS: ::rustyray::manual::ActorOptions = ::rustyray::manual::ActorOptions::new()
            .num_cpus(0.5)
            .max_restarts(3)
            .concurrency_group("io", 2)
            .checked();
    }
    impl ::rustyray::manual::Handle for CounterHandle {
        type Actor = Counter;
        fn from_inner(inner: ::rustyray::manual::ActorHandle<Counter>) -> Self {
            Self { inner }
        }
        fn inner(&self) -> &::rustyray::manual::ActorHandle<Counter> {
            &self.inner
        }
    }
    impl ::core::ops::Deref for CounterHandle {
        type Target = ::rustyray::manual::ActorHandle<Counter>;
        fn deref(&self) -> &Self::Target {
            &self.inner
        }
    }
    impl ::core::fmt::Debug for CounterHandle {
        fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            ::core::write!(f, ::core::concat!("CounterHandle", "({})"), self.inner)
        }
    }
    impl ::core::fmt::Display for CounterHandle {
        fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            ::core::fmt::Display::fmt(&self.inner, f)
        }
    }
    impl ::rustyray::rkyv::Archive for CounterHandle {
        type Archived = ::rustyray::manual::ArchivedActorHandle<Counter>;
        type Resolver = <::rustyray::manual::ActorHandle<
            Counter,
        > as ::rustyray::rkyv::Archive>::Resolver;
        fn resolve(
            &self,
            resolver: Self::Resolver,
            out: ::rustyray::rkyv::Place<Self::Archived>,
        ) {
            ::rustyray::rkyv::Archive::resolve(&self.inner, resolver, out);
        }
    }
    impl<S> ::rustyray::rkyv::Serialize<S> for CounterHandle
    where
        S: ::rustyray::rkyv::rancor::Fallible + ?::core::marker::Sized,
        ::rustyray::manual::ActorHandle<Counter>: ::rustyray::rkyv::Serialize<S>,
    {
        fn serialize(
            &self,
            serializer: &mut S,
        ) -> ::core::result::Result<Self::Resolver, S::Error> {
            ::rustyray::rkyv::Serialize::serialize(&self.inner, serializer)
        }
    }
    impl<D> ::rustyray::rkyv::Deserialize<CounterHandle, D>
    for ::rustyray::manual::ArchivedActorHandle<Counter>
    where
        D: ::rustyray::rkyv::rancor::Fallible + ?::core::marker::Sized,
        Self: ::rustyray::rkyv::Deserialize<::rustyray::manual::ActorHandle<Counter>, D>,
    {
        fn deserialize(
            &self,
            deserializer: &mut D,
        ) -> ::core::result::Result<CounterHandle, D::Error> {
            let inner = ::rustyray::rkyv::Deserialize::<
                ::rustyray::manual::ActorHandle<Counter>,
                D,
            >::deserialize(self, deserializer)?;
            ::core::result::Result::Ok(CounterHandle { inner })
        }
    }
};
impl Counter {
    /// Begins at a number.
    pub fn new(start: i64) -> Self {
        Counter { value: start }
    }
    pub async fn open(path: String) -> std::io::Result<Self> {
        read(path).await
    }
    /// Goes on by one.
    pub async fn increment(&mut self) -> i64 {
        self.value += 1;
        self.value
    }
    pub fn value(&self) -> i64 {
        self.value
    }
    pub(crate) fn merge(&mut self, others: Vec<Self>) -> Result<(), String> {
        self.take(others)
    }
    #[cfg(test)]
    pub fn rows(&self, from: i64) -> impl Iterator<Item = i64> {
        from..self.value
    }
    pub fn both(&self) -> (i64, i64) {
        (self.value, self.value)
    }
    async fn on_stop(&mut self) -> Result<(), String> {
        Ok(())
    }
    fn take(&mut self, others: Vec<Self>) -> Result<(), String> {
        Ok(())
    }
}
const _: () = {
    #[allow(unused_imports)]
    use ::rustyray::manual::ResidenceHere as _;
    #[::rustyray::manual::linkme::distributed_slice(::rustyray::manual::ACTORS)]
    #[linkme(crate = ::rustyray::manual::linkme)]
    static __CLASS: ::rustyray::manual::ActorClass = ::rustyray::manual::ActorClass::new(
            ::core::concat!(::core::module_path!(), "::", "Counter"),
            ::core::concat!(
                ::core::file!(), ":", ::core::line!(), ":", ::core::column!(), "/0:0/0:0"
            ),
            &[
                ::rustyray::manual::Constructor::new(
                    "new",
                    |call| {
                        let start = call.arg::<i64, _>("start")?;
                        ::rustyray::manual::Residence::<
                            Counter,
                        >::construct(
                            call,
                            ::rustyray::manual::Plain(Counter::new(start)),
                        )
                    },
                ),
                ::rustyray::manual::Constructor::new(
                    "open",
                    |call| {
                        let path = call.arg::<String, _>("path")?;
                        ::rustyray::manual::Residence::<
                            Counter,
                        >::construct_async(
                            call,
                            async move {
                                ::rustyray::manual::Fallible(Counter::open(path).await)
                            },
                        )
                    },
                ),
            ],
            &[
                ::rustyray::manual::Method::new(
                        "increment",
                        |call| {
                            call.exclusive_async(async move |actor: &mut Counter| ::rustyray::manual::Plain(
                                actor.increment().await,
                            ))
                        },
                    )
                    .exclusive(),
                ::rustyray::manual::Method::new(
                        "value",
                        |call| {
                            call.shared(move |actor: &Counter| ::rustyray::manual::Plain(
                                actor.value(),
                            ))
                        },
                    )
                    .threaded()
                    .concurrency_group("io")
                    .out_of_order(),
                ::rustyray::manual::Method::new(
                        "merge",
                        |call| {
                            let others = call.arg::<Vec<Counter>, _>("others")?;
                            call.exclusive(move |actor: &mut Counter| ::rustyray::manual::Fallible(
                                actor.merge(others),
                            ))
                        },
                    )
                    .exclusive(),
                #[cfg(test)]
                ::rustyray::manual::Method::new(
                    "rows",
                    |call| {
                        let from = call.arg::<i64, _>("from")?;
                        call.shared_stream(move |actor: &Counter, items| {
                            items
                                .send_all(
                                    ::core::iter::Iterator::map(
                                        actor.rows(from),
                                        ::rustyray::manual::Plain,
                                    ),
                                )
                        })
                    },
                ),
                ::rustyray::manual::Method::new(
                        "both",
                        |call| {
                            call.shared(move |actor: &Counter| ::rustyray::manual::Several(
                                actor.both(),
                            ))
                        },
                    )
                    .threaded(),
            ],
        )
        .options(__OPTIONS)
        .on_stop(|call| {
            call
                .exclusive_async(async move |actor: &mut Counter| ::rustyray::manual::Fallible(
                    actor.on_stop().await,
                ))
        });
    const __OPTIONS: &::rustyray::manual::ActorOptions = &<Counter as ::rustyray::manual::Actor>::OPTIONS;
    const _: () = ::core::assert!(
        __OPTIONS.has_concurrency_group("io"),
        "the actor has no concurrency group `io`; declare it: `#[actor(concurrency_groups(io = 2))]`"
    );
    /// Options of one actor.
    #[doc(hidden)]
    #[derive(::core::clone::Clone, ::core::fmt::Debug)]
    pub struct CounterActorOptions(::rustyray::manual::ActorOptions);
    impl CounterActorOptions {
        /// How many cpus it occupies; fractions count to 1/10000.
        #[must_use]
        pub fn num_cpus(self, cpus: impl ::rustyray::Amount) -> Self {
            Self(self.0.num_cpus(::rustyray::manual::units(cpus)))
        }
        /// How many gpus it occupies; fractions count to 1/10000.
        #[must_use]
        pub fn num_gpus(self, gpus: impl ::rustyray::Amount) -> Self {
            Self(self.0.num_gpus(::rustyray::manual::units(gpus)))
        }
        /// How much of a custom resource it occupies.
        #[must_use]
        pub fn resource(
            self,
            name: &'static str,
            amount: impl ::rustyray::Amount,
        ) -> Self {
            Self(self.0.resource(name, ::rustyray::manual::units(amount)))
        }
        /// How much memory it needs, in bytes.
        #[must_use]
        pub fn memory(self, memory: u64) -> Self {
            Self(self.0.memory(memory))
        }
        /// Out of a placement group's resources: this bundle's, or with -1 any's.
        #[must_use]
        pub fn placement_group(
            self,
            group: &::rustyray::PlacementGroup,
            bundle: i32,
        ) -> Self {
            Self(self.0.placement_group(group, bundle))
        }
        /// Whether what it submits runs in the group as well.
        #[must_use]
        pub fn capture_child_tasks(self, capture_child_tasks: bool) -> Self {
            Self(self.0.capture_child_tasks(capture_child_tasks))
        }
        /// The name under which any process finds the actor.
        #[must_use]
        pub fn name(
            self,
            name: impl ::core::convert::Into<::std::string::String>,
        ) -> Self {
            Self(self.0.name(name))
        }
        /// Takes the actor that has the name already, where there is one.
        #[must_use]
        pub fn get_if_exists(self, get_if_exists: bool) -> Self {
            Self(self.0.get_if_exists(get_if_exists))
        }
        /// The actor lives until it is killed, exits, or the node ends, whoever holds a handle.
        #[must_use]
        pub fn detached(self) -> Self {
            Self(self.0.detached())
        }
        /// How often it is constructed again after its process died, -1 for as often as it takes.
        #[must_use]
        pub fn max_restarts(self, max_restarts: i32) -> Self {
            Self(self.0.max_restarts(max_restarts))
        }
        /// How often a call that was under way when the process died runs again.
        #[must_use]
        pub fn max_task_retries(self, max_task_retries: i32) -> Self {
            Self(self.0.max_task_retries(max_task_retries))
        }
        /// How many `&self` calls and async calls may overlap.
        #[must_use]
        pub fn max_concurrency(self, max_concurrency: u32) -> Self {
            Self(self.0.max_concurrency(max_concurrency))
        }
        /// How many unfinished calls it accepts.
        #[must_use]
        pub fn max_pending_calls(self, max_pending_calls: u64) -> Self {
            Self(self.0.max_pending_calls(max_pending_calls))
        }
        /// Whether calls that wait for their arguments let later ones pass.
        #[must_use]
        pub fn out_of_order(self, out_of_order: bool) -> Self {
            Self(self.0.out_of_order(out_of_order))
        }
        /// Creates an actor by `Counter::new` with these options.
        #[track_caller]
        pub fn remote(
            self,
            start: impl ::rustyray::manual::IntoArg<i64>,
        ) -> impl ::core::future::Future<Output = ::rustyray::Result<CounterHandle>> {
            let inner = ::rustyray::manual::create::<
                Counter,
            >(
                &__CLASS,
                const { __CLASS.constructor("new") },
                self.0,
                move |args| args.push::<i64, _>("start", start),
            );
            async move {
                ::core::result::Result::Ok(
                    ::rustyray::manual::Handle::from_inner(inner.await?),
                )
            }
        }
        /// Creates an actor by `Counter::open` with these options.
        #[track_caller]
        pub fn remote_open(
            self,
            path: impl ::rustyray::manual::IntoArg<String>,
        ) -> impl ::core::future::Future<Output = ::rustyray::Result<CounterHandle>> {
            let inner = ::rustyray::manual::create::<
                Counter,
            >(
                &__CLASS,
                const { __CLASS.constructor("open") },
                self.0,
                move |args| args.push::<String, _>("path", path),
            );
            async move {
                ::core::result::Result::Ok(
                    ::rustyray::manual::Handle::from_inner(inner.await?),
                )
            }
        }
    }
    impl Counter {
        /// Begins at a number.
        ///
        /// Creates an actor by `Counter::new` in a process of its own.
        ///
        /// # Errors
        /// When the runtime is not running, or an argument cannot be stored. An error of the constructor arrives with the first call.
        #[track_caller]
        pub fn remote(
            start: impl ::rustyray::manual::IntoArg<i64>,
        ) -> impl ::core::future::Future<Output = ::rustyray::Result<CounterHandle>> {
            let inner = ::rustyray::manual::create::<
                Counter,
            >(
                &__CLASS,
                const { __CLASS.constructor("new") },
                __OPTIONS,
                move |args| args.push::<i64, _>("start", start),
            );
            async move {
                ::core::result::Result::Ok(
                    ::rustyray::manual::Handle::from_inner(inner.await?),
                )
            }
        }
        /// Creates an actor by `Counter::open` in a process of its own.
        ///
        /// # Errors
        /// When the runtime is not running, or an argument cannot be stored. An error of the constructor arrives with the first call.
        #[track_caller]
        pub fn remote_open(
            path: impl ::rustyray::manual::IntoArg<String>,
        ) -> impl ::core::future::Future<Output = ::rustyray::Result<CounterHandle>> {
            let inner = ::rustyray::manual::create::<
                Counter,
            >(
                &__CLASS,
                const { __CLASS.constructor("open") },
                __OPTIONS,
                move |args| args.push::<String, _>("path", path),
            );
            async move {
                ::core::result::Result::Ok(
                    ::rustyray::manual::Handle::from_inner(inner.await?),
                )
            }
        }
        /// Begins a `Counter` actor with other options than its class's.
        pub fn options() -> CounterActorOptions {
            CounterActorOptions(::core::clone::Clone::clone(__OPTIONS))
        }
        /// The `Counter` actor that was created under this name.
        ///
        /// # Errors
        /// When no actor has the name, or one of another class has it.
        pub async fn get(name: &str) -> ::rustyray::Result<CounterHandle> {
            let inner = ::rustyray::manual::get::<Counter>(&__CLASS, name).await?;
            ::core::result::Result::Ok(::rustyray::manual::Handle::from_inner(inner))
        }
    }
    impl CounterHandle {
        /// Goes on by one.
        ///
        /// Calls `Counter::increment` in the actor's process.
        ///
        /// # Errors
        /// When the runtime is not running, an argument cannot be stored, or the actor takes no more calls. Errors of the call itself arrive where its result is read.
        #[track_caller]
        pub fn increment(
            &self,
        ) -> impl ::core::future::Future<
            Output = ::rustyray::Result<::rustyray::ObjectRef<i64>>,
        > {
            ::rustyray::manual::Handle::inner(self)
                .call::<
                    i64,
                >(
                    const { __CLASS.method("increment") },
                    |_| ::core::result::Result::Ok(()),
                )
        }
        /// Calls `Counter::increment`, and gives the arguments back when the call is not made.
        ///
        /// # Errors
        /// As `increment`; that the actor has too many unfinished calls is told here, whichever process calls.
        #[allow(dead_code)]
        #[track_caller]
        pub fn try_increment(
            &self,
        ) -> impl ::core::future::Future<
            Output = ::core::result::Result<
                ::rustyray::ObjectRef<i64>,
                ::rustyray::Refused<()>,
            >,
        > {
            ::rustyray::manual::Handle::inner(self)
                .try_call::<
                    i64,
                    _,
                >(
                    const { __CLASS.method("increment") },
                    (),
                    |_, _| ::core::result::Result::Ok(()),
                )
        }
        /// Calls `Counter::value` in the actor's process.
        ///
        /// # Errors
        /// When the runtime is not running, an argument cannot be stored, or the actor takes no more calls. Errors of the call itself arrive where its result is read.
        #[track_caller]
        pub fn value(
            &self,
        ) -> impl ::core::future::Future<
            Output = ::rustyray::Result<::rustyray::ObjectRef<i64>>,
        > {
            ::rustyray::manual::Handle::inner(self)
                .call::<
                    i64,
                >(const { __CLASS.method("value") }, |_| ::core::result::Result::Ok(()))
        }
        /// Calls `Counter::value`, and gives the arguments back when the call is not made.
        ///
        /// # Errors
        /// As `value`; that the actor has too many unfinished calls is told here, whichever process calls.
        #[allow(dead_code)]
        #[track_caller]
        pub fn try_value(
            &self,
        ) -> impl ::core::future::Future<
            Output = ::core::result::Result<
                ::rustyray::ObjectRef<i64>,
                ::rustyray::Refused<()>,
            >,
        > {
            ::rustyray::manual::Handle::inner(self)
                .try_call::<
                    i64,
                    _,
                >(
                    const { __CLASS.method("value") },
                    (),
                    |_, _| ::core::result::Result::Ok(()),
                )
        }
        /// Calls `Counter::merge` in the actor's process.
        ///
        /// # Errors
        /// When the runtime is not running, an argument cannot be stored, or the actor takes no more calls. Errors of the call itself arrive where its result is read.
        #[track_caller]
        pub(crate) fn merge(
            &self,
            others: impl ::rustyray::manual::IntoArg<Vec<Counter>>,
        ) -> impl ::core::future::Future<
            Output = ::rustyray::Result<
                ::rustyray::ObjectRef<
                    <Result<(), String> as ::rustyray::manual::FallibleReturn>::Ok,
                >,
            >,
        > {
            ::rustyray::manual::Handle::inner(self)
                .call::<
                    <Result<(), String> as ::rustyray::manual::FallibleReturn>::Ok,
                >(
                    const { __CLASS.method("merge") },
                    move |args| args.push::<Vec<Counter>, _>("others", others),
                )
        }
        /// Calls `Counter::merge`, and gives the arguments back when the call is not made.
        ///
        /// # Errors
        /// As `merge`; that the actor has too many unfinished calls is told here, whichever process calls.
        #[allow(dead_code)]
        #[track_caller]
        pub(crate) fn try_merge<__Arg0: ::rustyray::manual::IntoArg<Vec<Counter>>>(
            &self,
            others: __Arg0,
        ) -> impl ::core::future::Future<
            Output = ::core::result::Result<
                ::rustyray::ObjectRef<
                    <Result<(), String> as ::rustyray::manual::FallibleReturn>::Ok,
                >,
                ::rustyray::Refused<__Arg0>,
            >,
        > {
            ::rustyray::manual::Handle::inner(self)
                .try_call::<
                    <Result<(), String> as ::rustyray::manual::FallibleReturn>::Ok,
                    _,
                >(
                    const { __CLASS.method("merge") },
                    others,
                    |others, args| args.lend::<Vec<Counter>, _>("others", others),
                )
        }
        #[cfg(test)]
        /// Calls `Counter::rows` in the actor's process.
        ///
        /// # Errors
        /// When the runtime is not running, an argument cannot be stored, or the actor takes no more calls. Errors of the call itself arrive where its result is read.
        #[track_caller]
        pub fn rows(
            &self,
            from: impl ::rustyray::manual::IntoArg<i64>,
        ) -> impl ::core::future::Future<
            Output = ::rustyray::Result<::rustyray::ObjectRefStream<i64>>,
        > {
            ::rustyray::manual::Handle::inner(self)
                .call_stream::<
                    i64,
                >(
                    const { __CLASS.method("rows") },
                    move |args| args.push::<i64, _>("from", from),
                )
        }
        #[cfg(test)]
        /// Calls `Counter::rows`, and gives the arguments back when the call is not made.
        ///
        /// # Errors
        /// As `rows`; that the actor has too many unfinished calls is told here, whichever process calls.
        #[allow(dead_code)]
        #[track_caller]
        pub fn try_rows<__Arg0: ::rustyray::manual::IntoArg<i64>>(
            &self,
            from: __Arg0,
        ) -> impl ::core::future::Future<
            Output = ::core::result::Result<
                ::rustyray::ObjectRefStream<i64>,
                ::rustyray::Refused<__Arg0>,
            >,
        > {
            ::rustyray::manual::Handle::inner(self)
                .try_call_stream::<
                    i64,
                    _,
                >(
                    const { __CLASS.method("rows") },
                    from,
                    |from, args| args.lend::<i64, _>("from", from),
                )
        }
        /// Calls `Counter::both` in the actor's process.
        ///
        /// # Errors
        /// When the runtime is not running, an argument cannot be stored, or the actor takes no more calls. Errors of the call itself arrive where its result is read.
        #[track_caller]
        pub fn both(
            &self,
        ) -> impl ::core::future::Future<
            Output = ::rustyray::Result<
                <(i64, i64) as ::rustyray::manual::SeveralReturns>::Refs,
            >,
        > {
            ::rustyray::manual::Handle::inner(self)
                .call_several::<
                    (i64, i64),
                >(
                    const { __CLASS.method("both") },
                    2,
                    |_| ::core::result::Result::Ok(()),
                )
        }
        /// Calls `Counter::both`, and gives the arguments back when the call is not made.
        ///
        /// # Errors
        /// As `both`; that the actor has too many unfinished calls is told here, whichever process calls.
        #[allow(dead_code)]
        #[track_caller]
        pub fn try_both(
            &self,
        ) -> impl ::core::future::Future<
            Output = ::core::result::Result<
                <(i64, i64) as ::rustyray::manual::SeveralReturns>::Refs,
                ::rustyray::Refused<()>,
            >,
        > {
            ::rustyray::manual::Handle::inner(self)
                .try_call_several::<
                    (i64, i64),
                    _,
                >(
                    const { __CLASS.method("both") },
                    2,
                    (),
                    |_, _| ::core::result::Result::Ok(()),
                )
        }
    }
};
