#[rustyray::test]
fn not_async() {}

#[rustyray::test]
async fn with_parameters(x: u64) {}

#[rustyray::main(num_cpus = "many")]
async fn main() -> rustyray::Result<()> {
    Ok(())
}
