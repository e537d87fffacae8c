#[rustyray::remote(num_returns = 3)]
fn pair() -> (u64, u64) {
    (1, 2)
}

#[rustyray::remote(num_returns = 3)]
fn array() -> [u64; 2] {
    [1, 2]
}

#[rustyray::remote(num_returns = 2)]
fn single() -> u64 {
    1
}

#[rustyray::remote(num_returns = "streaming")]
fn list() -> Vec<u64> {
    Vec::new()
}

#[rustyray::remote(num_returns = 0)]
fn none() {}

#[rustyray::actor(concurrency_groups(io = 2))]
struct Reader;

#[rustyray::actor_methods]
impl Reader {
    pub fn new() -> Self {
        Reader
    }

    #[method(concurrency_group = "oi")]
    pub fn read(&self) {}
}

fn main() {}
