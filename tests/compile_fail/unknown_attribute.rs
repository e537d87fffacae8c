use rustyray::prelude::*;

#[rustyray::remote(num_cpu = 2, colour = "red", max_retries = -2)]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[rustyray::actor(max_retries = 3, resources(gpu = 1))]
struct Counter {
    value: i64,
}

#[rustyray::actor_methods]
impl Counter {
    pub fn new() -> Self {
        Counter { value: 0 }
    }

    #[method(group = "io")]
    pub fn value(&self) -> i64 {
        self.value
    }
}

// Everything that is generated is there all the same: no error below.
#[rustyray::main(threads = 4)]
async fn main() -> rustyray::Result<()> {
    let sum: ObjectRef<i64> = add_remote::options().num_cpus(2.0).remote(1, 2).await?;
    let counter = Counter::remote().await?;
    assert_eq!(counter.value().await?.get().await?, sum.get().await?);
    Ok(())
}
