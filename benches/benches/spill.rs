//! What does it cost when memory runs short: to spill an object, and to get one back?
//!
//! The store has room for 64 MiB, and objects of 4 MiB are put until twice that is there, so every put
//! beyond the first dozen waits for another object to go to disk. Then the objects are viewed in the order
//! in which they were put: each was spilled and is restored, which spills another. Each stands beside a
//! floor: the same bytes written to and read from a file of the same directory.
//!
//! The files go to the temporary directory, and what its disk and the page cache do is in the figures.

use std::{fs, hint::black_box};

use criterion::{Criterion, Throughput, criterion_group};
use rustyray_benches::wait;

const OBJECT_BYTES: usize = 4 << 20;
const STORE_BYTES: u64 = 64 << 20;
const OBJECTS: usize = 32;

fn spill(criterion: &mut Criterion) {
    let directory =
        std::env::temp_dir().join(format!("rustyray-bench-spill-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("the temporary directory can be written");
    let builder = rustyray::Builder::new()
        .object_store_memory(STORE_BYTES)
        .spill_dir(directory.join("objects"));
    wait(builder.start());
    let bytes = vec![7_u8; OBJECT_BYTES];

    let mut group = criterion.benchmark_group("memory runs short, 32 objects of 4 MiB in 64 MiB");
    group.throughput(Throughput::Bytes((OBJECTS * OBJECT_BYTES) as u64)).sample_size(10);
    group.bench_function("put, half of them spilled", |bencher| {
        bencher.iter(|| {
            let objects: Vec<_> = (0..OBJECTS).map(|_| wait(rustyray::put_bytes(&bytes))).collect();
            black_box(objects)
        });
    });
    let objects: Vec<_> = (0..OBJECTS).map(|_| wait(rustyray::put_bytes(&bytes))).collect();
    group.bench_function("view each, restoring it", |bencher| {
        bencher.iter(|| {
            for object in &objects {
                let view = wait(object.view());
                assert_eq!((view[0], view[OBJECT_BYTES - 1]), (7, 7));
            }
        });
    });
    let file = directory.join("floor");
    group.bench_function("floor: write files", |bencher| {
        bencher.iter(|| {
            for _ in 0..OBJECTS {
                fs::write(&file, &bytes).expect("there is room on the disk");
            }
        });
    });
    group.bench_function("floor: read files", |bencher| {
        bencher.iter(|| {
            for _ in 0..OBJECTS {
                assert_eq!(fs::read(&file).expect("it was written").len(), OBJECT_BYTES);
            }
        });
    });
    group.finish();

    drop(objects);
    wait(rustyray::shutdown());
    fs::remove_dir_all(&directory).expect("nothing else uses it");
}

criterion_group!(benches, spill);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
