#[rustyray::main(num_cpus = 4, object_store_memory = "2GiB")]
async fn main() -> rustyray::Result<()> {
    run().await
}

#[rustyray::test]
#[should_panic(expected = "boom")]
async fn fails() {
    panic!("boom");
}
