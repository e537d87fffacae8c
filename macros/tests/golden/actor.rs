/// Counts.
#[rustyray::actor(num_cpus = 0.5, max_restarts = 3, concurrency_groups(io = 2))]
#[derive(Debug)]
pub struct Counter {
    value: i64,
}

#[rustyray::actor_methods]
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

    #[method(concurrency_group = "io", out_of_order)]
    pub fn value(&self) -> i64 {
        self.value
    }

    pub(crate) fn merge(&mut self, others: Vec<Self>) -> Result<(), String> {
        self.take(others)
    }

    #[cfg(test)]
    #[method(num_returns = "streaming")]
    pub fn rows(&self, from: i64) -> impl Iterator<Item = i64> {
        from..self.value
    }

    #[method(num_returns = 2)]
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
