//! Values in their slots: what is read without a pin is whole, and of the object that was asked for, though the slot
//! may be freed and have its next object meanwhile.
#![cfg(rustyray_loom)]

use std::sync::Arc;

use loom::thread;
use rustyray_memory::Heap;
use rustyray_store::{
    ClientId,
    models::{BeginSeal, EndSeal, SLOT_WORDS, Slot},
};

/// Puts an object into the slot as soon as it is free, in this generation; all its bytes are this one.
fn put(slot: Slot<'_, Heap>, generation: u64, byte: u8) {
    while slot.state().transition_to_reserved(ClientId::NODE) != Some(generation) {
        thread::yield_now();
    }
    let begun = slot.state().transition_to_sealing(generation, 0, ClientId::NODE);
    assert_eq!(begun, BeginSeal::Begun);
    slot.set_inline([u64::from_ne_bytes([byte; 8]); 3], 8 * u64::from(byte), byte.into());
    let end = slot.state().transition_to_sealed(generation, ClientId::NODE, false);
    assert_eq!(end, EndSeal::Sealed);
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
