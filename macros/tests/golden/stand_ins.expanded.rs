fn greet<T: Clone>(name: &str, times: T) -> &'static str {
    "hello"
}
/// `greet` as a task: [`remote`](Self::remote) submits one, [`options`](Self::options) begins one with other options.
#[allow(non_camel_case_types)]
#[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
struct greet_remote;
const _: () = {
    const _: fn() = || {
        #[allow(unused_imports)]
        use ::rustyray::manual::WithoutPrelude as _;
        ::rustyray::manual::Prelude.use_it();
    };
    const __OPTIONS: ::rustyray::manual::TaskOptions = ::rustyray::manual::TaskOptions::new();
    impl greet_remote {
        /// Submits a task that runs `greet` in a worker process.
        ///
        /// # Errors
        /// When the runtime is not running, or an argument cannot be stored. Errors of the task itself arrive where its result is read.
        async fn remote<T: Clone>(
            _0: impl ::core::marker::Sized,
            _1: T,
        ) -> ::rustyray::Result<::rustyray::ObjectRef<::std::string::String>> {
            ::core::unreachable!()
        }
        /// Begins a task with other options.
        const fn options() -> greet_task_options {
            greet_task_options(__OPTIONS)
        }
    }
    /// Options of one task.
    #[doc(hidden)]
    #[allow(non_camel_case_types)]
    #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
    struct greet_task_options(::rustyray::manual::TaskOptions);
    impl greet_task_options {
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
        /// Submits a task that runs `greet` with these options.
        async fn remote<T: Clone>(
            self,
            _0: impl ::core::marker::Sized,
            _1: T,
        ) -> ::rustyray::Result<::rustyray::ObjectRef<::std::string::String>> {
            ::core::unreachable!()
        }
    }
};
::core::compile_error! {
    "`#[remote]` has no argument `num_cpu`; did you mean `num_cpus`?\nit has `num_cpus`, `num_gpus`, `resources`, `memory`, `max_retries`, `retry_exceptions`, `timeout_ms`, `num_returns`, `backpressure`, `name`, `priority` and `crate`"
}
::core::compile_error! {
    "a remote function cannot be generic, since another process finds it by name; write one function for each type that is needed, such as `fn greet_i64(…)`, which calls the generic one"
}
::core::compile_error! {
    "a remote function cannot borrow from its caller, which is another process; instead of `&str` take `String`, or `View<String>` to read the stored value in place"
}
::core::compile_error! {
    "a borrowed result cannot leave its process; instead of `&'static str` return `String`"
}
