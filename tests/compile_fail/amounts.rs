#[rustyray::remote]
fn one() -> u64 {
    1
}

const CPUS: f64 = -2.0;

#[rustyray::remote(num_cpus = CPUS)]
fn two() -> u64 {
    2
}

fn main() {
    let _ = one_remote::options().num_cpus("two").remote();
    let _ = two_remote::remote();
}
