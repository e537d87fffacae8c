#[rustyray::remote]
fn largest<T: PartialOrd>(values: Vec<T>) -> Option<T> {
    values.into_iter().reduce(|a, b| if a > b { a } else { b })
}

#[rustyray::remote]
fn double<'a>(value: u64) -> u64 {
    2 * value
}

fn main() {
    let _ = double_remote::remote(1);
}
