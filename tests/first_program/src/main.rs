use rustyray::prelude::*;

#[rustyray::remote]
fn add(a: i64, b: i64) -> i64 { a + b }

#[rustyray::actor]
struct Counter { value: i64 }

#[rustyray::actor_methods]
impl Counter {
    pub fn new(start: i64) -> Self { Counter { value: start } }
    pub fn with_step(start: i64, step: i64) -> Self { Counter { value: start * step } }
    pub async fn increment(&mut self) -> i64 { self.value += 1; self.value }
    pub fn value(&self) -> i64 { self.value }
}

#[rustyray::main]
async fn main() -> rustyray::Result<()> {
    let x = add_remote::remote(1, 2).await?;       // ObjectRef<i64>, at once
    let y = add_remote::remote(&x, 10).await?;     // a value or a reference in any position
    assert_eq!(y.get().await?, 13);

    let c = Counter::remote(0).await?;             // CounterHandle: Clone, can be an argument
    let d = Counter::remote_with_step(2, 5).await?;
    let n = c.increment().await?;                  // ObjectRef<i64>
    assert_eq!(n.get().await?, 1);
    assert_eq!(d.value().await?.get().await?, 10);
    Ok(())
}
