use rustyray::prelude::*;

#[rustyray::actor]
struct Counter {
    value: i64,
}

#[rustyray::actor_methods]
impl Counter {
    pub fn new() -> Self {
        Counter { value: 0 }
    }

    pub fn lost(x: i64) -> i64 {
        x
    }

    pub fn eaten(self) -> i64 {
        self.value
    }

    pub fn generic<T: Into<i64>>(&self, value: T) -> i64 {
        value.into()
    }

    pub fn borrowed(&mut self, _text: &str) -> &str {
        "text"
    }

    pub async fn fine(&self, other: i64) -> i64 {
        other
    }

    #[method(out_of_order)]
    fn private(&self) {}

    fn on_stop(&self, _why: String) {}
}

// No error below: everything that was meant to exist does.
#[rustyray::main]
async fn main() -> rustyray::Result<()> {
    let counter: CounterHandle = Counter::options().name("one").remote().await?;
    let _: ObjectRef<i64> = counter.fine(1).await?;
    let _: ObjectRef<i64> = counter.eaten().await?;
    let _: ObjectRef<String> = counter.borrowed("text").await?;
    Ok(())
}
