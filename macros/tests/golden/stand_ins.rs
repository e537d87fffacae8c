#[rustyray::remote(num_cpu = 1)]
fn greet<T: Clone>(name: &str, times: T) -> &'static str {
    "hello"
}
