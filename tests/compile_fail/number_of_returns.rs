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

#[rustyray::remote(num_returns = 0)]
fn none() {}

fn main() {}
