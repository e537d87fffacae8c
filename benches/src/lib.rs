//! What the benches share: small remote code, and a runtime for the time of a bench.

use std::future::Future;

/// Runs `body` on the runtime that [`with_runtime`] started.
pub fn wait<F: Future<Output = rustyray::Result<T>>, T>(body: F) -> T {
    rustyray::block_on(body).unwrap_or_else(|error| panic!("{error}"))
}

/// Starts a runtime, runs `body`, and ends it.
///
/// # Panics
/// When the runtime does not start or does not end.
pub fn with_runtime(body: impl FnOnce()) {
    with_runtime_of(rustyray::Builder::new(), body);
}

/// The same for a runtime that is not as by default.
///
/// # Panics
/// When the runtime does not start or does not end.
pub fn with_runtime_of(builder: rustyray::Builder, body: impl FnOnce()) {
    let _runtime = wait(builder.start());
    body();
    rustyray::blocking::shutdown().unwrap_or_else(|error| panic!("{error}"));
}
