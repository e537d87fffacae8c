pub(crate) async fn load(
    path: String,
    mut call: View<Vec<u8>>,
) -> anyhow::Result<Table> {
    read(&path, &mut call).await
}
/// `load` as a task: [`remote`](Self::remote) submits one, [`options`](Self::options) begins one with other options.
#[allow(non_camel_case_types)]
#[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
pub(crate) struct load_remote;
const _: () = {
    const _: fn() = || {
        #[allow(unused_imports)]
        use ::rustyray::manual::WithoutPrelude as _;
        ::rustyray::manual::Prelude.use_it();
    };
    #[::rustyray::manual::linkme::distributed_slice(::rustyray::manual::FUNCTIONS)]
    #[linkme(crate = ::rustyray::manual::linkme)]
    static __FUNCTION: ::rustyray::manual::Function = ::rustyray::manual::Function::new(
        ::core::concat!(::core::module_path!(), "::", "load"),
        ::core::concat!(
            ::core::file!(), ":", ::core::line!(), ":", ::core::column!(), "/0:0/0:0"
        ),
        |call_| {
            let path = call_.arg::<String, _>("path")?;
            let call = call_.arg::<View<Vec<u8>>, _>("call")?;
            call_
                .finish_async(async move {
                    ::rustyray::manual::Fallible(load(path, call).await)
                })
        },
    );
    const __OPTIONS: ::rustyray::manual::TaskOptions = ::rustyray::manual::TaskOptions::new()
        .num_cpus(2.0)
        .num_gpus(0.5)
        .resource("tpu", 1.0)
        .resource("two words", 2.0)
        .memory(536870912)
        .max_retries(-1)
        .retry_exceptions(true)
        .timeout_ms(1000)
        .name("load")
        .priority(3)
        .checked();
    impl load_remote {
        /// Submits a task that runs `load` in a worker process.
        ///
        /// # Errors
        /// When the runtime is not running, or an argument cannot be stored. Errors of the task itself arrive where its result is read.
        #[track_caller]
        pub(crate) fn remote(
            path: impl ::rustyray::manual::IntoArg<String>,
            call: impl ::rustyray::manual::IntoView<View<Vec<u8>>, Vec<u8>>,
        ) -> impl ::core::future::Future<
            Output = ::rustyray::Result<
                ::rustyray::ObjectRef<
                    <anyhow::Result<Table> as ::rustyray::manual::FallibleReturn>::Ok,
                >,
            >,
        > {
            ::rustyray::manual::submit::<
                <anyhow::Result<Table> as ::rustyray::manual::FallibleReturn>::Ok,
            >(
                &__FUNCTION,
                &__OPTIONS,
                move |args| {
                    args.push::<String, _>("path", path)?;
                    args.push::<View<Vec<u8>>, _>("call", call)
                },
            )
        }
        /// Begins a task with other options.
        pub(crate) const fn options() -> load_task_options {
            load_task_options(__OPTIONS)
        }
    }
    /// Options of one task.
    #[doc(hidden)]
    #[allow(non_camel_case_types)]
    #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
    pub(crate) struct load_task_options(::rustyray::manual::TaskOptions);
    impl load_task_options {
        /// How many cpus it occupies; fractions count to 1/10000.
        #[must_use]
        pub(crate) fn num_cpus(self, cpus: impl ::rustyray::Amount) -> Self {
            Self(self.0.num_cpus(::rustyray::manual::units(cpus)))
        }
        /// How many gpus it occupies; fractions count to 1/10000.
        #[must_use]
        pub(crate) fn num_gpus(self, gpus: impl ::rustyray::Amount) -> Self {
            Self(self.0.num_gpus(::rustyray::manual::units(gpus)))
        }
        /// How much of a custom resource it occupies.
        #[must_use]
        pub(crate) fn resource(
            self,
            name: &'static str,
            amount: impl ::rustyray::Amount,
        ) -> Self {
            Self(self.0.resource(name, ::rustyray::manual::units(amount)))
        }
        /// How much memory it needs, in bytes.
        #[must_use]
        pub(crate) fn memory(self, memory: u64) -> Self {
            Self(self.0.memory(memory))
        }
        /// Out of a placement group's resources: this bundle's, or with -1 any's.
        #[must_use]
        pub(crate) fn placement_group(
            self,
            group: &::rustyray::PlacementGroup,
            bundle: i32,
        ) -> Self {
            Self(self.0.placement_group(group, bundle))
        }
        /// Whether what it submits runs in the group as well.
        #[must_use]
        pub(crate) fn capture_child_tasks(self, capture_child_tasks: bool) -> Self {
            Self(self.0.capture_child_tasks(capture_child_tasks))
        }
        /// Its name in errors and listings.
        #[must_use]
        pub(crate) fn name(self, name: &'static str) -> Self {
            Self(self.0.name(name))
        }
        /// How often it runs again after its worker died, -1 for as often as it takes.
        #[must_use]
        pub(crate) fn max_retries(self, max_retries: i32) -> Self {
            Self(self.0.max_retries(max_retries))
        }
        /// Whether it runs again after an `Err` or a panic too.
        #[must_use]
        pub(crate) fn retry_exceptions(self, retry_exceptions: bool) -> Self {
            Self(self.0.retry_exceptions(retry_exceptions))
        }
        /// How long one attempt may run, in milliseconds.
        #[must_use]
        pub(crate) fn timeout_ms(self, timeout_ms: u64) -> Self {
            Self(self.0.timeout_ms(timeout_ms))
        }
        /// Tasks of higher priority are dispatched first.
        #[must_use]
        pub(crate) fn priority(self, priority: i16) -> Self {
            Self(self.0.priority(priority))
        }
        /// Submits a task that runs `load` with these options.
        #[track_caller]
        pub(crate) fn remote(
            self,
            path: impl ::rustyray::manual::IntoArg<String>,
            call: impl ::rustyray::manual::IntoView<View<Vec<u8>>, Vec<u8>>,
        ) -> impl ::core::future::Future<
            Output = ::rustyray::Result<
                ::rustyray::ObjectRef<
                    <anyhow::Result<Table> as ::rustyray::manual::FallibleReturn>::Ok,
                >,
            >,
        > {
            ::rustyray::manual::submit::<
                <anyhow::Result<Table> as ::rustyray::manual::FallibleReturn>::Ok,
            >(
                &__FUNCTION,
                self.0,
                move |args| {
                    args.push::<String, _>("path", path)?;
                    args.push::<View<Vec<u8>>, _>("call", call)
                },
            )
        }
    }
};
#[cfg(feature = "pairs")]
#[deprecated]
fn split(args: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    halves(args)
}
#[cfg(feature = "pairs")]
/// `split` as a task: [`remote`](Self::remote) submits one, [`options`](Self::options) begins one with other options.
#[deprecated]
#[allow(non_camel_case_types)]
#[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
struct split_remote;
#[cfg(feature = "pairs")]
#[allow(deprecated)]
const _: () = {
    const _: fn() = || {
        #[allow(unused_imports)]
        use ::rustyray::manual::WithoutPrelude as _;
        ::rustyray::manual::Prelude.use_it();
    };
    #[::rustyray::manual::linkme::distributed_slice(::rustyray::manual::FUNCTIONS)]
    #[linkme(crate = ::rustyray::manual::linkme)]
    static __FUNCTION: ::rustyray::manual::Function = ::rustyray::manual::Function::new(
        ::core::concat!(::core::module_path!(), "::", "split"),
        ::core::concat!(
            ::core::file!(), ":", ::core::line!(), ":", ::core::column!(), "/0:0/0:0"
        ),
        |call| {
            let args = call.arg::<Vec<u8>, _>("args")?;
            call.finish(::rustyray::manual::Several(split(args)))
        },
    );
    const __OPTIONS: ::rustyray::manual::TaskOptions = ::rustyray::manual::TaskOptions::new()
        .num_returns(2)
        .checked();
    impl split_remote {
        /// Submits a task that runs `split` in a worker process.
        ///
        /// # Errors
        /// When the runtime is not running, or an argument cannot be stored. Errors of the task itself arrive where its result is read.
        #[deprecated]
        #[track_caller]
        fn remote(
            args: impl ::rustyray::manual::IntoArg<Vec<u8>>,
        ) -> impl ::core::future::Future<
            Output = ::rustyray::Result<
                <(Vec<u8>, Vec<u8>) as ::rustyray::manual::SeveralReturns>::Refs,
            >,
        > {
            ::rustyray::manual::submit_several::<
                (Vec<u8>, Vec<u8>),
            >(
                &__FUNCTION,
                &__OPTIONS,
                move |args_| args_.push::<Vec<u8>, _>("args", args),
            )
        }
        /// Begins a task with other options.
        const fn options() -> split_task_options {
            split_task_options(__OPTIONS)
        }
    }
    /// Options of one task.
    #[doc(hidden)]
    #[allow(non_camel_case_types)]
    #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
    struct split_task_options(::rustyray::manual::TaskOptions);
    impl split_task_options {
        /// How many cpus it occupies; fractions count to 1/10000.
        #[must_use]
        fn num_cpus(self, cpus: impl ::rustyray::Amount) -> Self {
            Self(self.0.num_cpus(::rustyray::manual::units(cpus)))
        }
        /// How many gpus it occupies; fractions count to 1/10000.
        #[must_use]
        fn num_gpus(self, gpus: impl ::rustyray::Amount) -> Self {
            Self(self.0.num_gpus(::rustyray::manual::units(gpus)))
        }
        /// How much of a custom resource it occupies.
        #[must_use]
        fn resource(self, name: &'static str, amount: impl ::rustyray::Amount) -> Self {
            Self(self.0.resource(name, ::rustyray::manual::units(amount)))
        }
        /// How much memory it needs, in bytes.
        #[must_use]
        fn memory(self, memory: u64) -> Self {
            Self(self.0.memory(memory))
        }
        /// Out of a placement group's resources: this bundle's, or with -1 any's.
        #[must_use]
        fn placement_group(
            self,
            group: &::rustyray::PlacementGroup,
            bundle: i32,
        ) -> Self {
            Self(self.0.placement_group(group, bundle))
        }
        /// Whether what it submits runs in the group as well.
        #[must_use]
        fn capture_child_tasks(self, capture_child_tasks: bool) -> Self {
            Self(self.0.capture_child_tasks(capture_child_tasks))
        }
        /// Its name in errors and listings.
        #[must_use]
        fn name(self, name: &'static str) -> Self {
            Self(self.0.name(name))
        }
        /// How often it runs again after its worker died, -1 for as often as it takes.
        #[must_use]
        fn max_retries(self, max_retries: i32) -> Self {
            Self(self.0.max_retries(max_retries))
        }
        /// Whether it runs again after an `Err` or a panic too.
        #[must_use]
        fn retry_exceptions(self, retry_exceptions: bool) -> Self {
            Self(self.0.retry_exceptions(retry_exceptions))
        }
        /// How long one attempt may run, in milliseconds.
        #[must_use]
        fn timeout_ms(self, timeout_ms: u64) -> Self {
            Self(self.0.timeout_ms(timeout_ms))
        }
        /// Tasks of higher priority are dispatched first.
        #[must_use]
        fn priority(self, priority: i16) -> Self {
            Self(self.0.priority(priority))
        }
        /// How many objects its result becomes.
        #[must_use]
        fn num_returns(self, num_returns: u16) -> Self {
            Self(self.0.num_returns(num_returns))
        }
        /// Submits a task that runs `split` with these options.
        #[track_caller]
        fn remote(
            self,
            args: impl ::rustyray::manual::IntoArg<Vec<u8>>,
        ) -> impl ::core::future::Future<
            Output = ::rustyray::Result<
                <(Vec<u8>, Vec<u8>) as ::rustyray::manual::SeveralReturns>::Refs,
            >,
        > {
            ::rustyray::manual::submit_several::<
                (Vec<u8>, Vec<u8>),
            >(&__FUNCTION, self.0, move |args_| args_.push::<Vec<u8>, _>("args", args))
        }
    }
};
async fn many() -> Result<Vec<u8>, String> {
    Ok(vec![0; 3000])
}
/// `many` as a task: [`remote`](Self::remote) submits one, [`options`](Self::options) begins one with other options.
#[allow(non_camel_case_types)]
#[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
struct many_remote;
const _: () = {
    const _: fn() = || {
        #[allow(unused_imports)]
        use my::rustyray::manual::WithoutPrelude as _;
        my::rustyray::manual::Prelude.use_it();
    };
    #[my::rustyray::manual::linkme::distributed_slice(my::rustyray::manual::FUNCTIONS)]
    #[linkme(crate = my::rustyray::manual::linkme)]
    static __FUNCTION: my::rustyray::manual::Function = my::rustyray::manual::Function::new(
        ::core::concat!(::core::module_path!(), "::", "many"),
        ::core::concat!(
            ::core::file!(), ":", ::core::line!(), ":", ::core::column!(), "/0:0/0:0"
        ),
        |call| {
            call.finish_async(async move {
                my::rustyray::manual::FallibleSeveral(many().await)
            })
        },
    );
    const _: () = ::core::assert!(
        my::rustyray::manual::returns_match:: < < Result < Vec < u8 >, String > as
        my::rustyray::manual::FallibleReturn > ::Ok > (3000),
        "`num_returns = 3000`, but the function returns another number of values"
    );
    const __OPTIONS: my::rustyray::manual::TaskOptions = my::rustyray::manual::TaskOptions::new()
        .num_returns(3000)
        .checked();
    impl many_remote {
        /// Submits a task that runs `many` in a worker process.
        ///
        /// # Errors
        /// When the runtime is not running, or an argument cannot be stored. Errors of the task itself arrive where its result is read.
        #[track_caller]
        fn remote() -> impl ::core::future::Future<
            Output = my::rustyray::Result<
                <<Result<
                    Vec<u8>,
                    String,
                > as my::rustyray::manual::FallibleReturn>::Ok as my::rustyray::manual::SeveralReturns>::Refs,
            >,
        > {
            my::rustyray::manual::submit_several::<
                <Result<Vec<u8>, String> as my::rustyray::manual::FallibleReturn>::Ok,
            >(&__FUNCTION, &__OPTIONS, |_| ::core::result::Result::Ok(()))
        }
        /// Begins a task with other options.
        const fn options() -> many_task_options {
            many_task_options(__OPTIONS)
        }
    }
    /// Options of one task.
    #[doc(hidden)]
    #[allow(non_camel_case_types)]
    #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
    struct many_task_options(my::rustyray::manual::TaskOptions);
    impl many_task_options {
        /// How many cpus it occupies; fractions count to 1/10000.
        #[must_use]
        fn num_cpus(self, cpus: impl my::rustyray::Amount) -> Self {
            Self(self.0.num_cpus(my::rustyray::manual::units(cpus)))
        }
        /// How many gpus it occupies; fractions count to 1/10000.
        #[must_use]
        fn num_gpus(self, gpus: impl my::rustyray::Amount) -> Self {
            Self(self.0.num_gpus(my::rustyray::manual::units(gpus)))
        }
        /// How much of a custom resource it occupies.
        #[must_use]
        fn resource(
            self,
            name: &'static str,
            amount: impl my::rustyray::Amount,
        ) -> Self {
            Self(self.0.resource(name, my::rustyray::manual::units(amount)))
        }
        /// How much memory it needs, in bytes.
        #[must_use]
        fn memory(self, memory: u64) -> Self {
            Self(self.0.memory(memory))
        }
        /// Out of a placement group's resources: this bundle's, or with -1 any's.
        #[must_use]
        fn placement_group(
            self,
            group: &my::rustyray::PlacementGroup,
            bundle: i32,
        ) -> Self {
            Self(self.0.placement_group(group, bundle))
        }
        /// Whether what it submits runs in the group as well.
        #[must_use]
        fn capture_child_tasks(self, capture_child_tasks: bool) -> Self {
            Self(self.0.capture_child_tasks(capture_child_tasks))
        }
        /// Its name in errors and listings.
        #[must_use]
        fn name(self, name: &'static str) -> Self {
            Self(self.0.name(name))
        }
        /// How often it runs again after its worker died, -1 for as often as it takes.
        #[must_use]
        fn max_retries(self, max_retries: i32) -> Self {
            Self(self.0.max_retries(max_retries))
        }
        /// Whether it runs again after an `Err` or a panic too.
        #[must_use]
        fn retry_exceptions(self, retry_exceptions: bool) -> Self {
            Self(self.0.retry_exceptions(retry_exceptions))
        }
        /// How long one attempt may run, in milliseconds.
        #[must_use]
        fn timeout_ms(self, timeout_ms: u64) -> Self {
            Self(self.0.timeout_ms(timeout_ms))
        }
        /// Tasks of higher priority are dispatched first.
        #[must_use]
        fn priority(self, priority: i16) -> Self {
            Self(self.0.priority(priority))
        }
        /// How many objects its result becomes.
        #[must_use]
        fn num_returns(self, num_returns: u16) -> Self {
            Self(self.0.num_returns(num_returns))
        }
        /// Submits a task that runs `many` with these options.
        #[track_caller]
        fn remote(
            self,
        ) -> impl ::core::future::Future<
            Output = my::rustyray::Result<
                <<Result<
                    Vec<u8>,
                    String,
                > as my::rustyray::manual::FallibleReturn>::Ok as my::rustyray::manual::SeveralReturns>::Refs,
            >,
        > {
            my::rustyray::manual::submit_several::<
                <Result<Vec<u8>, String> as my::rustyray::manual::FallibleReturn>::Ok,
            >(&__FUNCTION, self.0, |_| ::core::result::Result::Ok(()))
        }
    }
};
fn count(to: u64) -> impl Iterator<Item = u64> {
    0..to
}
/// `count` as a task: [`remote`](Self::remote) submits one, [`options`](Self::options) begins one with other options.
#[allow(non_camel_case_types)]
#[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
struct count_remote;
const _: () = {
    const _: fn() = || {
        #[allow(unused_imports)]
        use ::rustyray::manual::WithoutPrelude as _;
        ::rustyray::manual::Prelude.use_it();
    };
    #[::rustyray::manual::linkme::distributed_slice(::rustyray::manual::FUNCTIONS)]
    #[linkme(crate = ::rustyray::manual::linkme)]
    static __FUNCTION: ::rustyray::manual::Function = ::rustyray::manual::Function::new(
        ::core::concat!(::core::module_path!(), "::", "count"),
        ::core::concat!(
            ::core::file!(), ":", ::core::line!(), ":", ::core::column!(), "/0:0/0:0"
        ),
        |call| {
            let to = call.arg::<u64, _>("to")?;
            call.finish_stream(
                ::core::iter::Iterator::map(count(to), ::rustyray::manual::Plain),
            )
        },
    );
    const __OPTIONS: ::rustyray::manual::TaskOptions = ::rustyray::manual::TaskOptions::new()
        .backpressure(8)
        .checked();
    impl count_remote {
        /// Submits a task that runs `count` in a worker process.
        ///
        /// # Errors
        /// When the runtime is not running, or an argument cannot be stored. Errors of the task itself arrive where its result is read.
        #[track_caller]
        fn remote(
            to: impl ::rustyray::manual::IntoArg<u64>,
        ) -> impl ::core::future::Future<
            Output = ::rustyray::Result<::rustyray::ObjectRefStream<u64>>,
        > {
            ::rustyray::manual::submit_stream::<
                u64,
            >(&__FUNCTION, &__OPTIONS, move |args| args.push::<u64, _>("to", to))
        }
        /// Begins a task with other options.
        const fn options() -> count_task_options {
            count_task_options(__OPTIONS)
        }
    }
    /// Options of one task.
    #[doc(hidden)]
    #[allow(non_camel_case_types)]
    #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
    struct count_task_options(::rustyray::manual::TaskOptions);
    impl count_task_options {
        /// How many cpus it occupies; fractions count to 1/10000.
        #[must_use]
        fn num_cpus(self, cpus: impl ::rustyray::Amount) -> Self {
            Self(self.0.num_cpus(::rustyray::manual::units(cpus)))
        }
        /// How many gpus it occupies; fractions count to 1/10000.
        #[must_use]
        fn num_gpus(self, gpus: impl ::rustyray::Amount) -> Self {
            Self(self.0.num_gpus(::rustyray::manual::units(gpus)))
        }
        /// How much of a custom resource it occupies.
        #[must_use]
        fn resource(self, name: &'static str, amount: impl ::rustyray::Amount) -> Self {
            Self(self.0.resource(name, ::rustyray::manual::units(amount)))
        }
        /// How much memory it needs, in bytes.
        #[must_use]
        fn memory(self, memory: u64) -> Self {
            Self(self.0.memory(memory))
        }
        /// Out of a placement group's resources: this bundle's, or with -1 any's.
        #[must_use]
        fn placement_group(
            self,
            group: &::rustyray::PlacementGroup,
            bundle: i32,
        ) -> Self {
            Self(self.0.placement_group(group, bundle))
        }
        /// Whether what it submits runs in the group as well.
        #[must_use]
        fn capture_child_tasks(self, capture_child_tasks: bool) -> Self {
            Self(self.0.capture_child_tasks(capture_child_tasks))
        }
        /// Its name in errors and listings.
        #[must_use]
        fn name(self, name: &'static str) -> Self {
            Self(self.0.name(name))
        }
        /// How often it runs again after its worker died, -1 for as often as it takes.
        #[must_use]
        fn max_retries(self, max_retries: i32) -> Self {
            Self(self.0.max_retries(max_retries))
        }
        /// Whether it runs again after an `Err` or a panic too.
        #[must_use]
        fn retry_exceptions(self, retry_exceptions: bool) -> Self {
            Self(self.0.retry_exceptions(retry_exceptions))
        }
        /// How long one attempt may run, in milliseconds.
        #[must_use]
        fn timeout_ms(self, timeout_ms: u64) -> Self {
            Self(self.0.timeout_ms(timeout_ms))
        }
        /// Tasks of higher priority are dispatched first.
        #[must_use]
        fn priority(self, priority: i16) -> Self {
            Self(self.0.priority(priority))
        }
        /// How many of its items may be made and not yet consumed.
        #[must_use]
        fn backpressure(self, backpressure: u32) -> Self {
            Self(self.0.backpressure(backpressure))
        }
        /// Submits a task that runs `count` with these options.
        #[track_caller]
        fn remote(
            self,
            to: impl ::rustyray::manual::IntoArg<u64>,
        ) -> impl ::core::future::Future<
            Output = ::rustyray::Result<::rustyray::ObjectRefStream<u64>>,
        > {
            ::rustyray::manual::submit_stream::<
                u64,
            >(&__FUNCTION, self.0, move |args| args.push::<u64, _>("to", to))
        }
    }
};
async fn lines(path: String) -> impl Stream<Item = std::io::Result<String>> {
    open(path).await
}
/// `lines` as a task: [`remote`](Self::remote) submits one, [`options`](Self::options) begins one with other options.
#[allow(non_camel_case_types)]
#[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
struct lines_remote;
const _: () = {
    const _: fn() = || {
        #[allow(unused_imports)]
        use ::rustyray::manual::WithoutPrelude as _;
        ::rustyray::manual::Prelude.use_it();
    };
    #[::rustyray::manual::linkme::distributed_slice(::rustyray::manual::FUNCTIONS)]
    #[linkme(crate = ::rustyray::manual::linkme)]
    static __FUNCTION: ::rustyray::manual::Function = ::rustyray::manual::Function::new(
        ::core::concat!(::core::module_path!(), "::", "lines"),
        ::core::concat!(
            ::core::file!(), ":", ::core::line!(), ":", ::core::column!(), "/0:0/0:0"
        ),
        |call| {
            let path = call.arg::<String, _>("path")?;
            call.finish_stream_async(async move {
                ::rustyray::manual::outcomes(
                    lines(path).await,
                    ::rustyray::manual::Fallible,
                )
            })
        },
    );
    const __OPTIONS: ::rustyray::manual::TaskOptions = ::rustyray::manual::TaskOptions::new();
    impl lines_remote {
        /// Submits a task that runs `lines` in a worker process.
        ///
        /// # Errors
        /// When the runtime is not running, or an argument cannot be stored. Errors of the task itself arrive where its result is read.
        #[track_caller]
        fn remote(
            path: impl ::rustyray::manual::IntoArg<String>,
        ) -> impl ::core::future::Future<
            Output = ::rustyray::Result<
                ::rustyray::ObjectRefStream<
                    <std::io::Result<String> as ::rustyray::manual::FallibleReturn>::Ok,
                >,
            >,
        > {
            ::rustyray::manual::submit_stream::<
                <std::io::Result<String> as ::rustyray::manual::FallibleReturn>::Ok,
            >(&__FUNCTION, &__OPTIONS, move |args| args.push::<String, _>("path", path))
        }
        /// Begins a task with other options.
        const fn options() -> lines_task_options {
            lines_task_options(__OPTIONS)
        }
    }
    /// Options of one task.
    #[doc(hidden)]
    #[allow(non_camel_case_types)]
    #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
    struct lines_task_options(::rustyray::manual::TaskOptions);
    impl lines_task_options {
        /// How many cpus it occupies; fractions count to 1/10000.
        #[must_use]
        fn num_cpus(self, cpus: impl ::rustyray::Amount) -> Self {
            Self(self.0.num_cpus(::rustyray::manual::units(cpus)))
        }
        /// How many gpus it occupies; fractions count to 1/10000.
        #[must_use]
        fn num_gpus(self, gpus: impl ::rustyray::Amount) -> Self {
            Self(self.0.num_gpus(::rustyray::manual::units(gpus)))
        }
        /// How much of a custom resource it occupies.
        #[must_use]
        fn resource(self, name: &'static str, amount: impl ::rustyray::Amount) -> Self {
            Self(self.0.resource(name, ::rustyray::manual::units(amount)))
        }
        /// How much memory it needs, in bytes.
        #[must_use]
        fn memory(self, memory: u64) -> Self {
            Self(self.0.memory(memory))
        }
        /// Out of a placement group's resources: this bundle's, or with -1 any's.
        #[must_use]
        fn placement_group(
            self,
            group: &::rustyray::PlacementGroup,
            bundle: i32,
        ) -> Self {
            Self(self.0.placement_group(group, bundle))
        }
        /// Whether what it submits runs in the group as well.
        #[must_use]
        fn capture_child_tasks(self, capture_child_tasks: bool) -> Self {
            Self(self.0.capture_child_tasks(capture_child_tasks))
        }
        /// Its name in errors and listings.
        #[must_use]
        fn name(self, name: &'static str) -> Self {
            Self(self.0.name(name))
        }
        /// How often it runs again after its worker died, -1 for as often as it takes.
        #[must_use]
        fn max_retries(self, max_retries: i32) -> Self {
            Self(self.0.max_retries(max_retries))
        }
        /// Whether it runs again after an `Err` or a panic too.
        #[must_use]
        fn retry_exceptions(self, retry_exceptions: bool) -> Self {
            Self(self.0.retry_exceptions(retry_exceptions))
        }
        /// How long one attempt may run, in milliseconds.
        #[must_use]
        fn timeout_ms(self, timeout_ms: u64) -> Self {
            Self(self.0.timeout_ms(timeout_ms))
        }
        /// Tasks of higher priority are dispatched first.
        #[must_use]
        fn priority(self, priority: i16) -> Self {
            Self(self.0.priority(priority))
        }
        /// How many of its items may be made and not yet consumed.
        #[must_use]
        fn backpressure(self, backpressure: u32) -> Self {
            Self(self.0.backpressure(backpressure))
        }
        /// Submits a task that runs `lines` with these options.
        #[track_caller]
        fn remote(
            self,
            path: impl ::rustyray::manual::IntoArg<String>,
        ) -> impl ::core::future::Future<
            Output = ::rustyray::Result<
                ::rustyray::ObjectRefStream<
                    <std::io::Result<String> as ::rustyray::manual::FallibleReturn>::Ok,
                >,
            >,
        > {
            ::rustyray::manual::submit_stream::<
                <std::io::Result<String> as ::rustyray::manual::FallibleReturn>::Ok,
            >(&__FUNCTION, self.0, move |args| args.push::<String, _>("path", path))
        }
    }
};
