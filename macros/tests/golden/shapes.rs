#[rustyray::remote(
    num_cpus = 2,
    num_gpus = 0.5,
    resources(tpu = 1.0, "two words" = 2),
    memory = "512MiB",
    max_retries = -1,
    retry_exceptions,
    timeout_ms = 1_000,
    name = "load",
    priority = 3
)]
pub(crate) async fn load(path: String, mut call: View<Vec<u8>>) -> anyhow::Result<Table> {
    read(&path, &mut call).await
}

#[rustyray::remote(num_returns = 2)]
#[cfg(feature = "pairs")]
#[deprecated]
fn split(args: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    halves(args)
}

#[rustyray::remote(num_returns = 3000, crate = my::rustyray)]
async fn many() -> Result<Vec<u8>, String> {
    Ok(vec![0; 3000])
}

#[rustyray::remote(num_returns = "streaming", backpressure = 8)]
fn count(to: u64) -> impl Iterator<Item = u64> {
    0..to
}

#[rustyray::remote(num_returns = "streaming")]
async fn lines(path: String) -> impl Stream<Item = std::io::Result<String>> {
    open(path).await
}
