/// Adds two numbers.
pub fn add(a: i64, b: i64) -> i64 {
    a + b
}
/// Adds two numbers.
///
/// `add` as a task: [`remote`](Self::remote) submits one, [`options`](Self::options) begins one with other options.
#[allow(non_camel_case_types)]
#[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
pub struct add_remote;
const _: () = {
    const _: fn() = || {
        #[allow(unused_imports)]
        use ::rustyray::manual::WithoutPrelude as _;
        ::rustyray::manual::Prelude.use_it();
    };
    #[::rustyray::manual::linkme::distributed_slice(::rustyray::manual::FUNCTIONS)]
    #[linkme(crate = ::rustyray::manual::linkme)]
    static __FUNCTION: ::rustyray::manual::Function = ::rustyray::manual::Function::new(
        ::core::concat!(::core::module_path!(), "::", "add"),
        ::core::concat!(
            ::core::file!(), ":", ::core::line!(), ":", ::core::column!(), "/0:0/0:0"
        ),
        |call| {
            let a = call.arg::<i64, _>("a")?;
            let b = call.arg::<i64, _>("b")?;
            call.finish(::rustyray::manual::Plain(add(a, b)))
        },
    );
    const __OPTIONS: ::rustyray::manual::TaskOptions = ::rustyray::manual::TaskOptions::new();
    impl add_remote {
        /// Adds two numbers.
        ///
        /// Submits a task that runs `add` in a worker process.
        ///
        /// # Errors
        /// When the runtime is not running, or an argument cannot be stored. Errors of the task itself arrive where its result is read.
        #[track_caller]
        pub fn remote(
            a: impl ::rustyray::manual::IntoArg<i64>,
            b: impl ::rustyray::manual::IntoArg<i64>,
        ) -> impl ::core::future::Future<
            Output = ::rustyray::Result<::rustyray::ObjectRef<i64>>,
        > {
            ::rustyray::manual::submit::<
                i64,
            >(
                &__FUNCTION,
                &__OPTIONS,
                move |args| {
                    args.push::<i64, _>("a", a)?;
                    args.push::<i64, _>("b", b)
                },
            )
        }
        /// Begins a task with other options.
        pub const fn options() -> add_task_options {
            add_task_options(__OPTIONS)
        }
    }
    /// Options of one task.
    #[doc(hidden)]
    #[allow(non_camel_case_types)]
    #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
    pub struct add_task_options(::rustyray::manual::TaskOptions);
    impl add_task_options {
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
        /// Its name in errors and listings.
        #[must_use]
        pub fn name(self, name: &'static str) -> Self {
            Self(self.0.name(name))
        }
        /// How often it runs again after its worker died, -1 for as often as it takes.
        #[must_use]
        pub fn max_retries(self, max_retries: i32) -> Self {
            Self(self.0.max_retries(max_retries))
        }
        /// Whether it runs again after an `Err` or a panic too.
        #[must_use]
        pub fn retry_exceptions(self, retry_exceptions: bool) -> Self {
            Self(self.0.retry_exceptions(retry_exceptions))
        }
        /// How long one attempt may run, in milliseconds.
        #[must_use]
        pub fn timeout_ms(self, timeout_ms: u64) -> Self {
            Self(self.0.timeout_ms(timeout_ms))
        }
        /// Tasks of higher priority are dispatched first.
        #[must_use]
        pub fn priority(self, priority: i16) -> Self {
            Self(self.0.priority(priority))
        }
        /// Submits a task that runs `add` with these options.
        #[track_caller]
        pub fn remote(
            self,
            a: impl ::rustyray::manual::IntoArg<i64>,
            b: impl ::rustyray::manual::IntoArg<i64>,
        ) -> impl ::core::future::Future<
            Output = ::rustyray::Result<::rustyray::ObjectRef<i64>>,
        > {
            ::rustyray::manual::submit::<
                i64,
            >(
                &__FUNCTION,
                self.0,
                move |args| {
                    args.push::<i64, _>("a", a)?;
                    args.push::<i64, _>("b", b)
                },
            )
        }
    }
};
