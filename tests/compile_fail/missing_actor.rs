struct Counter;

#[rustyray::actor_methods]
impl Counter {
    pub fn new() -> Self {
        Counter
    }

    pub fn value(&self) -> i64 {
        3
    }
}

fn main() {}
