//! Words that one thread at a time uses: whoever made a record and has not handed it on, then the owner of
//! the token. They are atomics so that a look from elsewhere is no data race, and they order nothing.

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

macro_rules! plain {
    ($name:ident, $atomic:ty, $value:ty) => {
        #[derive(Debug, Default)]
        pub(crate) struct $name($atomic);

        impl $name {
            #[inline]
            pub(crate) fn get(&self) -> $value {
                self.0.load(Relaxed)
            }

            #[inline]
            pub(crate) fn set(&self, value: $value) {
                self.0.store(value, Relaxed);
            }
        }
    };
}

plain!(Plain16, AtomicU16, u16);
plain!(Plain32, AtomicU32, u32);
plain!(Plain64, AtomicU64, u64);
