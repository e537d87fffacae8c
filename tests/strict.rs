//! A runtime whose objects the kernel seals.

use rustyray::prelude::*;

#[rustyray::remote]
fn scaled(values: View<Vec<f64>>, by: f64) -> Vec<f64> {
    values.as_slice().iter().map(|value| value * by).collect()
}

#[rustyray::remote]
fn refuse(text: String) -> Result<u8, std::num::ParseIntError> {
    text.parse()
}

/// Sealed files that this process keeps for strict objects.
fn files() -> usize {
    std::fs::read_dir("/proc/self/fd")
        .expect("a directory")
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("/memfd:rustyray-strict"))
        .count()
}

#[tokio::test]
async fn tasks_share_strict_objects_as_any_other() -> rustyray::Result<()> {
    let runtime = rustyray::Builder::new()
        .num_cpus(2.0)
        .object_store_memory(64 << 20)
        .strict_objects()
        .start()
        .await?;
    let values: Vec<f64> = (0..100_000).map(f64::from).collect();
    let put = rustyray::put(&values).await?;
    assert_eq!(files(), 1);
    let mut last = scaled_remote::remote(&put, 2.0).await?;
    for _ in 0..3 {
        last = scaled_remote::remote(&last, 2.0).await?;
    }
    let view = last.view().await?;
    assert!(view.as_slice().iter().zip(&values).all(|(found, value)| *found == value * 16.0));
    assert!(files() >= 2, "the result is one as well");
    let failed = refuse_remote::remote("none".to_owned()).await?;
    assert!(matches!(failed.get().await, Err(Error::TaskFailed { .. })));
    drop((put, last, view));
    runtime.shutdown().await
}
