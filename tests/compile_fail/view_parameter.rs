use rustyray::prelude::*;

#[rustyray::remote]
fn sum(values: View<Vec<f64>>) -> f64 {
    values.iter().sum()
}

fn main() {
    let _ = sum_remote::remote(vec![1.0, 2.0]);
    let _ = sum_remote::remote("text".to_owned());
}
