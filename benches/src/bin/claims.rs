//! How many instructions does a call take in the caller, by macro and by hand? For valgrind to count:
//!
//! ```sh
//! cargo build --release -p rustyray-benches --bin claims
//! for way in by_macro by_hand; do
//!     valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no \
//!         --toggle-collect="claims::$way" target/release/claims
//! done
//! ```
//!
//! Valgrind says how many instructions it collected in [`CALLS`] calls of an actor: reserving the result,
//! writing the call, handing it to the scheduler, pushing it to the worker. What the worker does is the same
//! for both, since the actor's code is.

#![allow(unreachable_pub, missing_debug_implementations)] // the sources are examples

use rustyray::ObjectRef;
use rustyray_benches::{wait, with_runtime};

#[path = "../../claims/counter.rs"]
mod counter;
#[path = "../../claims/counter_by_hand.rs"]
mod counter_by_hand;

/// How many calls are made.
const CALLS: usize = 2000;

#[inline(never)]
fn by_macro(counter: &counter::CounterHandle, results: &mut Vec<ObjectRef<i64>>) {
    results.push(wait(counter.value()));
}

#[inline(never)]
fn by_hand(counter: &counter_by_hand::CounterHandle, results: &mut Vec<ObjectRef<i64>>) {
    results.push(wait(counter.value()));
}

fn main() {
    with_runtime(|| {
        let one = wait(counter::Counter::remote(0));
        let other = wait(counter_by_hand::Counter::remote(0));
        assert_eq!(wait(wait(one.value()).get()) + wait(wait(other.value()).get()), 0);
        let mut results = Vec::with_capacity(2 * CALLS);
        for _ in 0..CALLS {
            by_macro(&one, &mut results);
            by_hand(&other, &mut results);
            if results.len() >= 100 {
                wait(rustyray::get_all(&results));
                results.clear();
            }
        }
        wait(rustyray::get_all(&results));
        println!("{CALLS} calls each way");
    });
}
