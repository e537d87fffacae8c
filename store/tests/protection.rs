//! Memory that goes from one thread of a process to another by way of the node stays writable for who has it.

mod direct;

use std::{
    sync::atomic::{AtomicBool, AtomicI32, Ordering},
    thread,
    time::Duration,
};

use direct::Direct;
use nix::unistd::gettid;
use rustyray_store::{Config, Node, Reply, Request, Transport, TransportError};

/// Answers at once, but for the request that closes a block: that one is answered when another thread has got as
/// far as it can with the memory that the node lent to it meanwhile.
struct Slow {
    direct: Direct,
    /// The block is closed.
    is_closed: AtomicBool,
    /// The thread that was lent an extent since; 0 until then.
    borrower: AtomicI32,
    /// It has all that it wanted.
    is_done: AtomicBool,
}

impl Slow {
    fn over(direct: Direct) -> Self {
        Slow {
            direct,
            is_closed: AtomicBool::new(false),
            borrower: AtomicI32::new(0),
            is_done: AtomicBool::new(false),
        }
    }
}

impl Transport for Slow {
    fn call(&self, request: Request) -> Result<Reply, TransportError> {
        let reply = self.direct.call(request);
        match request {
            Request::Lease { closing: Some(_) } => {
                self.is_closed.store(true, Ordering::SeqCst);
                until(|| {
                    let borrower = self.borrower.load(Ordering::SeqCst);
                    self.is_done.load(Ordering::SeqCst) || borrower != 0 && is_asleep(borrower)
                });
            }
            Request::Extent { .. } if self.is_closed.load(Ordering::SeqCst) => {
                self.borrower.store(gettid().as_raw(), Ordering::SeqCst);
            }
            _ => {}
        }
        reply
    }
}

fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Whether a thread of this process waits for something, as for a lock.
fn is_asleep(thread: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).expect("a thread");
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
}

/// What this process may do with the memory at this address, as `/proc/self/maps` says it.
fn permissions(address: *const u8) -> String {
    let address = address as usize;
    let maps = std::fs::read_to_string("/proc/self/maps").expect("mappings");
    let at = |text| usize::from_str_radix(text, 16).expect("an address");
    maps.lines()
        .map(|line| line.split_once(' ').expect("a range and more"))
        .find(|(range, _)| {
            let (from, to) = range.split_once('-').expect("a range");
            (at(from)..at(to)).contains(&address)
        })
        .map(|(_, rest)| rest[..4].to_owned())
        .expect("a mapping")
}

#[test]
fn what_a_thread_is_lent_where_another_has_just_closed_a_block_can_be_written() {
    const SMALL: usize = 3000;
    let config = Config {
        capacity_bytes: 1 << 20,
        max_objects: 512,
        spill_dir: None,
        reserve_bytes: Some(0),
        ..Config::default()
    };
    let node = Node::create(config).expect("a store");
    let (client, transport) = direct::join_by(&node, Slow::over).expect("attached");
    // Small objects fill a block, behind an extent that goes with them.
    let before = client.create(16 << 10).expect("room");
    let small: Vec<_> = (0..5).map(|_| client.put(&[1_u8; SMALL]).expect("room")).collect();
    let first = client.pin(small[0]).expect("a pin").as_ptr();
    drop(before);
    small.into_iter().for_each(|id| client.release(id));
    node.collect(usize::MAX);

    thread::scope(|scope| {
        scope.spawn(|| client.release(client.put(&[2_u8; SMALL]).expect("room")));
        until(|| transport.is_closed.load(Ordering::SeqCst));
        let writer = client.create(8 << 10).expect("room");
        transport.is_done.store(true, Ordering::SeqCst);
        assert_eq!(writer.as_ptr(), first, "it was lent what lies elsewhere");
        assert_eq!(permissions(first), "rw-s");
    });
}
