//! Blocks of small objects: threads place without overlap, and exactly one update finds a block empty,
//! whoever frees the last object and whenever the writer says how many there were.
#![cfg(rustyray_loom)]

use std::sync::Arc;

use loom::thread;
use rustyray_store::models::{Block, Blocks, OpenBlock};

#[test]
fn exactly_one_takes_a_block_back() {
    loom::model(|| {
        let blocks = Arc::new(Blocks::new(1));
        let freeing = {
            let blocks = Arc::clone(&blocks);
            thread::spawn(move || blocks.take_one(0) == Block::Empty)
        };
        let closing = {
            let blocks = Arc::clone(&blocks);
            thread::spawn(move || blocks.close(0, 2) == Block::Empty)
        };
        let here = blocks.take_one(0) == Block::Empty;
        let empties = [here, freeing.join().expect("a freer"), closing.join().expect("the writer")];
        assert_eq!(empties.into_iter().filter(|&empty| empty).count(), 1, "{empties:?}");
    });
}

/// A recount for a dead writer holds only if nothing was freed meanwhile.
#[test]
fn a_recount_and_a_free_agree() {
    loom::model(|| {
        let blocks = Arc::new(Blocks::new(1));
        let freeing = {
            let blocks = Arc::clone(&blocks);
            thread::spawn(move || blocks.take_one(0) == Block::Empty)
        };
        // One object lives there until `freeing` frees it: the count is made after the glance.
        let glanced = blocks.glance(0);
        let live = u32::from(glanced == 0);
        let settled = blocks.settle(0, glanced, live);
        let freed = freeing.join().expect("the freer");
        let settled = settled.unwrap_or_else(|| {
            blocks.settle(0, blocks.glance(0), 0).expect("nobody else is about")
        });
        assert!(freed ^ (settled == Block::Empty), "{freed} {settled:?}");
    });
}

#[test]
fn places_do_not_overlap_and_are_all_counted() {
    const BLOCK_BYTES: u64 = 4096;
    loom::model(|| {
        let open = Arc::new(OpenBlock::new(BLOCK_BYTES));
        open.open(5);
        let other = {
            let open = Arc::clone(&open);
            thread::spawn(move || {
                // Given up again, as far as the block is still open: written and counted, each or not.
                open.place(100).map_or((0, 0), |placed| {
                    let is_done = open.finish(placed);
                    let is_gone = open.trim(placed, 100, None);
                    (u32::from(!is_gone), u32::from(!is_done))
                })
            })
        };
        let here = open.place(64);
        let closed = open.close();
        let (placed, writing) = other.join().expect("the other thread");
        let closed = closed.expect("it was open");
        assert_eq!(closed.block, 5);
        let ours = u32::from(here.is_some());
        assert_eq!((closed.placed, closed.writing), (ours + placed, Some(ours + writing)));
    });
}

/// Whoever closes a block knows of each writer that is not done, or the writer learns that it is closed.
#[test]
fn a_writer_is_done_before_the_close_or_told_after_it() {
    loom::model(|| {
        let open = Arc::new(OpenBlock::new(4096));
        open.open(5);
        let placed = open.place(64).expect("there is room");
        let writing = {
            let open = Arc::clone(&open);
            thread::spawn(move || open.finish(placed))
        };
        let closed = open.close().expect("it was open");
        let done_before = writing.join().expect("the writer");
        assert_eq!((closed.placed, closed.writing), (1, Some(u32::from(!done_before))));
    });
}
