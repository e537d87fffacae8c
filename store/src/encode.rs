//! Values outside the store: archived for a message, in words, and read back from words.
//!
//! One of the crate's unsafe files: it looks at words as bytes.

#![allow(unsafe_code)]

use std::{cell::Cell, ptr::NonNull};

use rkyv::{
    rancor::{self, Source},
    util::AlignedVec,
};

use crate::{ObjectId, OwnedValue, Value, ValueSerializer};

/// Words of the first attempt; enough for the arguments of nearly every call.
const FIRST_WORDS: usize = 512;

thread_local! {
    /// One buffer per thread, so that encoding allocates nothing in the steady state.
    static IDLE: Cell<Vec<u64>> = const { Cell::new(Vec::new()) };
}

#[derive(Debug, thiserror::Error)]
#[error("a value of {len} bytes in {words} words")]
struct CutShort {
    len: usize,
    words: usize,
}

/// Archives `value` and gives its bytes, and the references inside it, to `body`. The bytes are in a buffer of the
/// thread's, which is there as long as `body` runs.
///
/// # Errors
/// When the value refuses to be archived.
pub fn encode<T: Value + ?Sized, R>(
    value: &T,
    body: impl FnOnce(&[u8], &[ObjectId]) -> R,
) -> Result<R, rancor::Error> {
    let mut buffer = IDLE.take();
    let mut body = Some(body);
    let result = loop {
        let wanted = buffer.len().max(FIRST_WORDS);
        buffer.resize(wanted, 0);
        let bytes = as_bytes(&mut buffer);
        let (start, capacity) = (NonNull::from(&mut *bytes).cast::<u8>(), bytes.len());
        let write = |serializer: &mut ValueSerializer| match value.write_to(serializer) {
            Ok(()) => Ok((serializer.position(), serializer.nested().to_vec())),
            Err(error) => Err((serializer.wanted(), error)),
        };
        // SAFETY: the bytes are the buffer's, which is not touched until `with` returns.
        match unsafe { ValueSerializer::with(start, capacity, write) } {
            Ok(Ok((len, nested))) => {
                let body = body.take().expect("the loop ends here");
                break Ok(body(&as_bytes(&mut buffer)[..len], &nested));
            }
            Ok(Err((Some(wanted), _))) => {
                buffer.resize(wanted.div_ceil(4).max(buffer.len() * 2), 0);
            }
            Ok(Err((None, error))) | Err(error) => break Err(error),
        }
    };
    IDLE.set(buffer);
    result
}

/// Reads a value from the first `len` bytes of `words`.
///
/// # Errors
/// When the bytes are not a valid archive of `T`.
pub fn decode<T: OwnedValue>(words: &[u64], len: usize) -> Result<T, rancor::Error> {
    if len > words.len() * 8 {
        return Err(rancor::Error::new(CutShort { len, words: words.len() }));
    }
    // SAFETY: the words are initialised, `len` bytes of them lie within the slice (checked above), bytes
    // need no alignment, and the result borrows `words`.
    let bytes = unsafe { std::slice::from_raw_parts(words.as_ptr().cast::<u8>(), len) };
    if align_of::<T::Archived>() <= align_of::<u64>() {
        return T::from_archived(T::check(bytes)?);
    }
    let mut aligned = AlignedVec::<16>::with_capacity(len);
    aligned.extend_from_slice(bytes);
    T::from_archived(T::check(&aligned)?)
}

fn as_bytes(words: &mut [u64]) -> &mut [u8] {
    let len = size_of_val(words);
    // SAFETY: the same memory, every byte pattern is a valid `u64` and every `u64` is initialised bytes,
    // bytes need no alignment, and the result borrows `words` mutably.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), len) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_any_size_survive_the_way() {
        for len in [0, 1, 1000, 100_000] {
            let value: Vec<String> = (0..len).map(|at| format!("string number {at}")).collect();
            let words = encode(&value, |bytes, nested| {
                assert!(nested.is_empty());
                let words = bytes.chunks(8).map(|chunk| {
                    let mut word = [0; 8];
                    word[..chunk.len()].copy_from_slice(chunk);
                    u64::from_le_bytes(word)
                });
                (words.collect::<Vec<_>>(), bytes.len())
            });
            let (words, bytes) = words.expect("strings can be archived");
            assert_eq!(decode::<Vec<String>>(&words, bytes).expect("valid"), value);
            assert!(decode::<Vec<String>>(&words, bytes.saturating_sub(1)).is_err());
            assert!(decode::<Vec<String>>(&words, bytes + 8).is_err());
        }
    }

    #[test]
    fn a_value_inside_a_value_may_be_encoded_meanwhile() {
        let outer = encode(&7_u64, |bytes, _| {
            let inner = encode(&8_u64, |bytes, _| bytes.to_vec()).expect("a number");
            (bytes.to_vec(), inner)
        });
        assert_eq!(
            outer.expect("a number"),
            (7_u64.to_le_bytes().to_vec(), 8_u64.to_le_bytes().to_vec())
        );
    }
}
