//! The same counter by hand, with what the macros give: a typed handle that can be an argument and part of
//! stored values, both constructors, each also with other options, and finding it by its name.

use rustyray::{
    ObjectRef, Result,
    manual::{
        self, Actor, ActorClass, ActorHandle, ActorOptions, ArchivedActorHandle, Constructor,
        Handle, IntoArg, Method, Plain, Residence,
    },
    rkyv::{Archive, Deserialize, Place, Serialize, rancor::Fallible},
};

pub struct Counter {
    value: i64,
}

impl Counter {
    pub fn new(start: i64) -> Self {
        Counter { value: start }
    }

    pub fn with_step(start: i64, step: i64) -> Self {
        Counter { value: start * step }
    }

    pub async fn increment(&mut self) -> i64 {
        self.value += 1;
        self.value
    }

    pub fn value(&self) -> i64 {
        self.value
    }
}

#[manual::linkme::distributed_slice(manual::ACTORS)]
#[linkme(crate = rustyray::manual::linkme)]
static COUNTER: ActorClass = ActorClass::new(
    concat!(module_path!(), "::Counter"),
    concat!(file!(), ":", line!(), ":", column!()),
    &[
        Constructor::new("new", |call| {
            let start = call.arg::<i64, _>("start")?;
            Residence::<Counter>::construct(call, Plain(Counter::new(start)))
        }),
        Constructor::new("with_step", |call| {
            let start = call.arg::<i64, _>("start")?;
            let step = call.arg::<i64, _>("step")?;
            Residence::<Counter>::construct(call, Plain(Counter::with_step(start, step)))
        }),
    ],
    &[
        Method::new("increment", |call| {
            call.exclusive_async(async |counter: &mut Counter| Plain(counter.increment().await))
        })
        .exclusive(),
        Method::new("value", |call| call.shared(|counter: &Counter| Plain(counter.value())))
            .threaded(),
    ],
);

impl Actor for Counter {
    type Handle = CounterHandle;
    const OPTIONS: ActorOptions = ActorOptions::new();
}

impl Counter {
    pub async fn remote(start: impl IntoArg<i64>) -> Result<CounterHandle> {
        Counter::remote_by(&Counter::OPTIONS, start).await
    }

    pub async fn remote_by(
        options: &ActorOptions,
        start: impl IntoArg<i64>,
    ) -> Result<CounterHandle> {
        let constructor = const { COUNTER.constructor("new") };
        manual::create(&COUNTER, constructor, options, |arguments| {
            arguments.push::<i64, _>("start", start)
        })
        .await
        .map(CounterHandle)
    }

    pub async fn remote_with_step(
        start: impl IntoArg<i64>,
        step: impl IntoArg<i64>,
    ) -> Result<CounterHandle> {
        Counter::remote_with_step_by(&Counter::OPTIONS, start, step).await
    }

    pub async fn remote_with_step_by(
        options: &ActorOptions,
        start: impl IntoArg<i64>,
        step: impl IntoArg<i64>,
    ) -> Result<CounterHandle> {
        let constructor = const { COUNTER.constructor("with_step") };
        manual::create(&COUNTER, constructor, options, |arguments| {
            arguments.push::<i64, _>("start", start)?;
            arguments.push::<i64, _>("step", step)
        })
        .await
        .map(CounterHandle)
    }

    pub async fn get(name: &str) -> Result<CounterHandle> {
        manual::get(&COUNTER, name).await.map(CounterHandle)
    }
}

#[derive(Clone, Debug)]
pub struct CounterHandle(ActorHandle<Counter>);

impl CounterHandle {
    pub async fn increment(&self) -> Result<ObjectRef<i64>> {
        self.0.call(const { COUNTER.method("increment") }, |_| Ok(())).await
    }

    pub async fn value(&self) -> Result<ObjectRef<i64>> {
        self.0.call(const { COUNTER.method("value") }, |_| Ok(())).await
    }
}

impl Handle for CounterHandle {
    type Actor = Counter;

    fn from_inner(inner: ActorHandle<Counter>) -> Self {
        CounterHandle(inner)
    }

    fn inner(&self) -> &ActorHandle<Counter> {
        &self.0
    }
}

impl Archive for CounterHandle {
    type Archived = ArchivedActorHandle<Counter>;
    type Resolver = <ActorHandle<Counter> as Archive>::Resolver;

    fn resolve(&self, resolver: Self::Resolver, out: Place<Self::Archived>) {
        self.0.resolve(resolver, out);
    }
}

impl<S: Fallible + ?Sized> Serialize<S> for CounterHandle
where
    ActorHandle<Counter>: Serialize<S>,
{
    fn serialize(&self, serializer: &mut S) -> std::result::Result<Self::Resolver, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<D: Fallible + ?Sized> Deserialize<CounterHandle, D> for ArchivedActorHandle<Counter>
where
    Self: Deserialize<ActorHandle<Counter>, D>,
{
    fn deserialize(&self, deserializer: &mut D) -> std::result::Result<CounterHandle, D::Error> {
        Deserialize::<ActorHandle<Counter>, D>::deserialize(self, deserializer).map(CounterHandle)
    }
}
