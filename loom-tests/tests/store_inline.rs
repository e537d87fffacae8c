//! Values in their slots: what is read without a pin is whole, and of the object that was asked for, though the slot
//! may be freed and have its next object meanwhile, or its object be lost and made again.
#![cfg(rustyray_loom)]

use std::sync::Arc;

use loom::thread;
use rustyray_memory::Heap;
use rustyray_store::{
    ClientId,
    models::{BeginSeal, EndSeal, Header, Phase, SLOT_WORDS, Slot},
};

/// Puts an object into the slot as soon as it is free, in this generation; all its bytes are this one.
fn put(slot: Slot<'_, Heap>, generation: u64, byte: u8) {
    while slot.state().transition_to_reserved(ClientId::NODE) != Some(generation) {
        thread::yield_now();
    }
    seal(slot, generation, || set_bytes(slot, byte));
}

/// Gives the object of this generation its value, which is written so.
fn seal(slot: Slot<'_, Heap>, generation: u64, write: impl FnOnce()) {
    let begun = slot.state().transition_to_sealing(generation, 0, ClientId::NODE);
    assert_eq!(begun, BeginSeal::Begun);
    write();
    let end = slot.state().transition_to_sealed(generation, ClientId::NODE, false);
    assert_eq!(end, EndSeal::Sealed);
}

fn set_bytes(slot: Slot<'_, Heap>, byte: u8) {
    slot.set_inline([u64::from_ne_bytes([byte; 8]); 3], 8 * u64::from(byte), byte.into());
}

#[test]
fn what_is_read_without_a_pin_is_one_objects() {
    loom::model(|| {
        let heap = Arc::new(Heap::new(SLOT_WORDS));
        let slot = Slot::new(&*heap, 0);
        put(slot, 0, 1);
        let next = {
            // Of another process, as a rule.
            let heap = Arc::clone(&heap);
            thread::spawn(move || put(Slot::new(&*heap, 0), 1, 2))
        };
        let reader = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || {
                let slot = Slot::new(&*heap, 0);
                for generation in [0, 1] {
                    let byte = generation as u8 + 1;
                    if let Some(inline) = slot.read_inline(generation) {
                        assert_eq!(*inline, vec![byte; 8 * usize::from(byte)]);
                    }
                }
            })
        };
        let before = slot.begin_free().expect("nobody holds it");
        assert!(slot.free(before));
        next.join().expect("the next object");
        reader.join().expect("the reader");
        assert!(slot.read_inline(0).is_none(), "it is gone");
        assert_eq!(slot.read_inline(1).as_deref(), Some(&[2; 16][..]));
    });
}

#[test]
fn of_an_object_that_is_made_again_only_what_it_is_then_is_read() {
    loom::model(|| {
        let heap = Arc::new(Heap::new(SLOT_WORDS));
        let slot = Slot::new(&*heap, 0);
        assert_eq!(slot.state().transition_to_reserved(ClientId::NODE), Some(0));
        let here = Header { location: 1 << 56, len_bytes: 64, fingerprint: 3 };
        seal(slot, 0, || slot.set_header(here));
        let reader = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || {
                if let Some(inline) = Slot::new(&*heap, 0).read_inline(0) {
                    assert_eq!(*inline, [2; 16]);
                }
            })
        };
        assert!(slot.begin_spill(0));
        assert!(slot.state().transition_spill(0, Phase::Spilling, Phase::Spilled));
        // By the same attempt as before.
        assert!(slot.lose(0, 0));
        seal(slot, 0, || set_bytes(slot, 2));
        reader.join().expect("the reader");
        assert_eq!(slot.read_inline(0).as_deref(), Some(&[2; 16][..]));
    });
}
