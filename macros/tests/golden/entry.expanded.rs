fn main() -> ::std::process::ExitCode {
    async fn main() -> rustyray::Result<()> {
        run().await
    }
    ::rustyray::manual::run_main(
        ::rustyray::Builder::new().num_cpus(4.0).object_store_memory(2147483648),
        main(),
    )
}
#[::core::prelude::v1::test]
#[should_panic(expected = "boom")]
fn fails() {
    async fn fails() {
        panic!("boom");
    }
    ::rustyray::manual::run_test(::rustyray::Builder::new(), fails())
}
