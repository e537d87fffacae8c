//! The counter of the first program, by the macros.

#[rustyray::actor]
pub struct Counter {
    value: i64,
}

#[rustyray::actor_methods]
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
