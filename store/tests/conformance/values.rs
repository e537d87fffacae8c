//! What goes in comes out: values, bytes, errors, and what is refused.

use std::sync::Arc;

use bytes::Bytes;
use rkyv::{Archived, vec::ArchivedVec};
use rustyray_store::*;

use crate::{Over, store};

pub(crate) fn a_value_comes_out_as_it_went_in(over: Over) {
    let (_node, client) = store(over);
    let value = vec!["one".to_owned(), String::new(), "a longer one than fits inline".to_owned()];
    let id = client.put(&value).expect("put");
    assert_eq!(client.status(id), Status::Sealed);
    let view: View<Vec<String>> = client.view(id).expect("view");
    assert_eq!(view.len(), 3);
    assert_eq!(view[2].as_str(), value[2]);
    assert_eq!(view.to_owned_value().expect("owned"), value);
    let again: View<Vec<String>> = client.view(id).expect("a checked view");
    assert_eq!(again[0].as_str(), "one");
}

pub(crate) fn values_of_all_sizes_come_out_as_they_went_in(over: Over) {
    let (node, client) = store(over);
    for len in [0usize, 1, 7, 100, 4000, 70_000, 262_144, 3_000_000, 100, 3_000_001] {
        let value: Vec<u64> = (0..len as u64 / 8).collect();
        let id = client.put(&value).expect("put");
        assert_eq!(
            client.view::<Vec<u64>>(id).expect("view").to_owned_value().expect("owned"),
            value
        );
        client.release(id);
        assert_eq!(client.status(id), Status::Gone);
    }
    assert_eq!(node.stats().objects, 0);
    assert_eq!(node.stats().used_bytes, node.stats().leased_bytes);
    let unit = client.put(&()).expect("a value without bytes");
    client.view::<()>(unit).expect("view");
}

/// Puts a value, reads it in every way, and says whether it was in its slot.
fn there_and_back<T>(client: &Arc<Client>, value: T) -> bool
where
    T: OwnedValue + Clone + PartialEq + std::fmt::Debug,
{
    let id = client.put(&value).expect("put");
    let inline = client.inline(id);
    if let Some(inline) = inline {
        assert_eq!((inline.value(), inline.value::<Vec<(u8, u32)>>()), (Some(value.clone()), None));
    }
    let view: View<T> = client.view(id).expect("view");
    let (same, moved) = (view.clone(), view);
    assert_eq!(moved.to_owned_value().expect("owned"), value);
    let expected = std::any::type_name::<T::Archived>();
    let wrong = client.view::<Vec<(u8, u32)>>(id).expect_err("it is another type");
    assert!(wrong.to_string().contains(expected), "{wrong} does not name {expected}");
    client.release(id);
    drop(moved);
    assert_eq!(client.status(id), Status::Sealed, "a view keeps it");
    assert_eq!(same.to_owned_value().expect("owned"), value);
    drop(same);
    assert_eq!(client.status(id), Status::Gone);
    assert!(client.inline(id).is_none(), "it is gone");
    inline.is_some()
}

pub(crate) fn what_fits_its_slot_takes_no_memory(over: Over) {
    #[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize, Clone, Debug, PartialEq)]
    #[rkyv(attr(repr(align(32))))]
    struct Wide(u8);
    let (node, client) = store(over);
    let is_strict = over.tier == Tier::Strict;
    let text = |len: usize| "x".repeat(len);
    for round in 0..3u64 {
        let small = [
            there_and_back(&client, ()),
            there_and_back(&client, round),
            there_and_back(&client, (round, i64::MIN, f64::MAX)),
            there_and_back(&client, (1u8, Some(round as u16), 'c')),
            there_and_back(&client, text(15)),
            there_and_back(&client, b"ok".to_vec()),
            there_and_back(&client, Vec::<Wide>::new()),
            there_and_back(&client, Some(Box::new(round))),
            there_and_back(&client, [u64::MAX; 3]),
        ];
        assert_eq!(small, [!is_strict; 9]);
        assert!(is_strict || round > 0 || node.stats().used_bytes == 0, "they took memory");
    }
    for round in 0..3u64 {
        let large = [
            there_and_back(&client, [round; 4]),
            there_and_back(&client, text(25)),
            there_and_back(&client, vec![7u8; 9]),
            there_and_back(&client, Wide(1)),
        ];
        assert_eq!(large, [false; 4]);
    }
    // Of one type, some fit and some do not.
    for len in [3, 1000, 4, 5, 100_000, 0, 30, 1] {
        assert_eq!(there_and_back(&client, text(len)), !is_strict && len < 16, "{len} bytes");
    }
    assert_eq!(node.stats().objects, 0);
}

pub(crate) fn vectors_of_numbers_are_native_slices(over: Over) {
    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }
    fn longest(values: impl AsRef<[f64]>) -> usize {
        values.as_ref().len()
    }
    let (_node, client) = store(over);
    let floats: Vec<f64> = (0..1000).map(f64::from).collect();
    let view: View<Vec<f64>> = client.view(client.put(&floats).expect("put")).expect("view");
    assert_eq!(view.as_slice(), floats);
    assert_eq!(view.as_slice().as_ptr() as usize % 64, 0);
    assert_eq!((mean(&view[..]), mean(&view[10..12]), longest(&view)), (499.5, 10.5, 1000));
    let (seventh, doubled): (f64, f64) = (view[7], 2.0 * view[7]);
    assert_eq!(
        (seventh, doubled, view.get(1000), view.get(..2)),
        (7.0, 14.0, None, Some(&floats[..2]))
    );
    let mut sum = 0.0;
    for value in &view {
        sum += value;
    }
    assert_eq!((sum, view.iter().copied().fold(0.0, f64::max)), (499_500.0, 999.0));
    assert_eq!(
        (view.len(), view.is_empty(), view.first(), view.last()),
        (1000, false, Some(&0.0), Some(&999.0))
    );
    assert_eq!(view[..].windows(2).filter(|pair| pair[1] - pair[0] == 1.0).count(), 999);
    assert!(
        view == floats && view == floats[..] && view == view.clone() && view.to_vec() == floats
    );
    // What reads the archive of a number reads the number too.
    assert_eq!(view.iter().map(|value| value.to_native()).sum::<f64>(), sum);
    let archived: &[Archived<f64>] = &view;
    assert_eq!(archived[7].to_native(), 7.0);
    // No number: they deref to their archives, as everything does.
    let texts: View<Vec<String>> =
        client.view(client.put(&vec!["a".to_owned()]).expect("put")).expect("view");
    assert_eq!((&*texts[0], texts.iter().next().map(|text| text.len())), ("a", Some(1)));
    let array: View<[u64; 3]> = client.view(client.put(&[1u64, 2, 3]).expect("put")).expect("view");
    assert_eq!((array[1].to_native(), array.iter().count()), (2, 3));

    fn as_it_was<N>(client: &Arc<Client>, values: &[N])
    where
        N: Native + PartialEq + std::fmt::Debug,
        Vec<N>: Value<Archived = ArchivedVec<N::Archived>>,
    {
        let id = client.put(&values.to_vec()).expect("put");
        let view: View<Vec<N>> = client.view(id).expect("view");
        assert_eq!((view.as_slice(), &view[1..], view[0]), (values, &values[1..], values[0]));
        drop(view);
        client.release(id);
    }
    as_it_was(&client, &[u8::MIN, u8::MAX]);
    as_it_was(&client, &[i8::MIN, i8::MAX]);
    as_it_was(&client, &[u16::MIN, u16::MAX, 0x1234]);
    as_it_was(&client, &[i16::MIN, i16::MAX, -2]);
    as_it_was(&client, &[u32::MIN, u32::MAX, 0x1234_5678]);
    as_it_was(&client, &[i32::MIN, i32::MAX, -2]);
    as_it_was(&client, &[u64::MIN, u64::MAX, 0x1234_5678_9abc_def0]);
    as_it_was(&client, &[i64::MIN, i64::MAX, -2]);
    as_it_was(&client, &[u128::MIN, u128::MAX, 1 << 77]);
    as_it_was(&client, &[i128::MIN, i128::MAX, -2]);
    as_it_was(&client, &[f32::MIN, f32::MAX, 1.5]);
    as_it_was(&client, &[f64::MIN, f64::MAX, 1.5]);
    as_it_was(&client, &[usize::MIN, usize::MAX, 7]);
    as_it_was(&client, &[isize::MIN, isize::MAX, -7]);
    as_it_was(&client, &[true, false, true]);
    as_it_was(&client, &['a', 'ä', '\u{10ffff}']);
    // These are their own archives, and so their views coerce.
    fn total(bytes: &[u8]) -> u32 {
        bytes.iter().copied().map(u32::from).sum()
    }
    let bytes: View<Vec<u8>> = client.view(client.put(&vec![1u8, 2]).expect("put")).expect("view");
    assert_eq!((bytes.as_slice(), total(&bytes)), (&[1, 2][..], 3));
}

pub(crate) fn bytes_are_read_where_they_lie(over: Over) {
    let (_node, client) = store(over);
    for len in [0usize, 1, 8, 1000, 1 << 20] {
        let data: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let id = client.put_bytes(&data).expect("put");
        let view: View<Bytes> = client.view(id).expect("view");
        let bytes = view.bytes();
        assert_eq!(bytes, data);
        if len > 0 {
            assert_eq!(bytes.as_ptr() as usize % 64, 0);
            assert_eq!(bytes.as_ptr(), view.as_ptr());
        }
        drop(view);
        client.release(id);
        assert_eq!(bytes, data, "the bytes keep the object in place");
        assert_eq!(client.status(id), if len > 0 { Status::Sealed } else { Status::Gone });
        drop(bytes);
        assert_eq!(client.status(id), Status::Gone);
    }
}

pub(crate) fn what_is_created_is_written_in_place_or_given_back(over: Over) {
    let (node, client) = store(over);
    client.release(client.put(&[1u64; 8]).expect("put"));
    let before = node.stats();
    for len in [1usize, 5000, 5 << 20] {
        let mut writer = client.create(len).expect("create");
        writer.fill(7);
        drop(writer);
        assert_eq!(node.stats().used_bytes, before.used_bytes);
        assert_eq!(node.stats().objects, 0);
        let mut writer = client.create(len).expect("create");
        writer.fill(9);
        writer.truncate(len - 1);
        let id = client.reserve().expect("reserve");
        assert_eq!(client.status(id), Status::Pending);
        assert!(matches!(client.pin(id), Err(PinError::Pending(_))));
        client.seal(id, 0, writer, 42, &[]).expect("seal");
        let pin = client.pin(id).expect("pin");
        assert_eq!((pin.len(), pin.fingerprint(), pin.kind()), (len - 1, 42, PinKind::Value));
        assert!(pin.iter().all(|&byte| byte == 9));
        client.release(id);
    }
    assert_eq!(node.stats().objects, 0);
}

pub(crate) fn a_failed_object_gives_its_error(over: Over) {
    let (_node, client) = store(over);
    let id = client.reserve().expect("reserve");
    client.fail(id, 0, b"what went wrong").expect("fail");
    assert_eq!(client.status(id), Status::Failed);
    let pin = client.pin(id).expect("pin");
    assert_eq!((pin.kind(), &pin[..]), (PinKind::Failed, &b"what went wrong"[..]));
    assert!(matches!(
        client.view::<u64>(id),
        Err(ViewError::Failed(pin)) if &pin[..] == b"what went wrong"
    ));
}

pub(crate) fn a_mismatch_names_both_types(over: Over) {
    let (_node, client) = store(over);
    let id = client.put(&vec![1u32]).expect("put");
    let error = client.view::<Vec<u64>>(id).expect_err("another type");
    let ViewError::TypeMismatch { expected, found, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(expected.contains("u64") && found.contains("u32"), "{error}");
}

pub(crate) fn bytes_that_are_no_archive_are_refused(over: Over) {
    let (_node, client) = store(over);
    let mut writer = client.create(64).expect("create");
    writer.fill(0xff);
    let id = client.reserve().expect("reserve");
    client.seal(id, 0, writer, rustyray_store::fingerprint::<Vec<String>>(), &[]).expect("seal");
    assert!(matches!(client.view::<Vec<String>>(id), Err(ViewError::Corrupt { .. })));
    let mut writer = client.create(3).expect("create");
    writer.fill(0);
    let short = client.reserve().expect("reserve");
    client.seal(short, 0, writer, rustyray_store::fingerprint::<u64>(), &[]).expect("seal");
    assert!(matches!(client.view::<u64>(short), Err(ViewError::Corrupt { .. })));
}

pub(crate) fn a_type_without_bytes_but_with_an_alignment_can_be_stored(over: Over) {
    let (_node, client) = store(over);
    let id = client.put(&[0u64; 0]).expect("put");
    for _ in 0..2 {
        let view: View<[u64; 0]> = client.view(id).expect("view");
        assert_eq!(view.as_ptr() as usize % align_of::<u64>(), 0);
    }
}

pub(crate) fn put_and_drop_recycle_slots_and_memory(over: Over) {
    let (node, client) = store(over);
    for i in 0..200_000u64 {
        client.release(client.put(&[i; 16]).expect("put"));
    }
    let warm = node.stats().warm_bytes;
    assert!(warm <= 4 * client.put(&0u8).map_or(0, |_| 1 << 20), "{warm} bytes were touched");
    assert!(client.put(&1u8).expect("put").index < 4);
}

pub(crate) fn objects_begin_at_multiples_of_64(over: Over) {
    let (_node, client) = store(over);
    for len in [1usize, 3, 63, 65, 1000, 4097, 300_000, 1 << 20] {
        let id = client.put_bytes(&vec![1; len]).expect("put");
        assert_eq!(client.pin(id).expect("pin").as_ptr() as usize % 64, 0, "{len} bytes");
        let writer = client.create(len).expect("create");
        assert_eq!(writer.as_ptr() as usize % 64, 0, "{len} bytes");
        let value = client.put(&vec![1u128; len]).expect("put");
        let view = client.view::<Vec<u128>>(value).expect("view");
        assert_eq!(view.as_slice().as_ptr() as usize % 64, 0, "{len} numbers");
    }
}

static CHECKS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// Counts how often it is checked.
#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(bytecheck(verify))]
struct Counted<const BACKEND: u8> {
    number: u64,
    /// Else it would be in its slot, of which each view is a copy to be checked.
    room: [u64; 3],
}

// SAFETY: it allows what the fields' own checks allow.
unsafe impl<const BACKEND: u8, C> rkyv::bytecheck::Verify<C> for ArchivedCounted<BACKEND>
where
    C: rkyv::rancor::Fallible + ?Sized,
{
    fn verify(&self, _context: &mut C) -> Result<(), C::Error> {
        CHECKS.fetch_add(1 << (16 * u32::from(BACKEND)), std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }
}

pub(crate) fn an_archive_is_checked_once_per_process_and_object(over: Over) {
    fn count<const BACKEND: u8>(client: &Arc<Client>, is_strict: bool) {
        let checks =
            || CHECKS.load(std::sync::atomic::Ordering::Relaxed) >> (16 * BACKEND) & 0xffff;
        for round in 0..3usize {
            let id = client.put(&Counted::<BACKEND> { number: 5, room: [0; 3] }).expect("put");
            assert_eq!(checks(), round);
            // A strict object may be exchanged once nobody has it mapped.
            let kept = is_strict.then(|| client.view::<Counted<BACKEND>>(id).expect("view"));
            for _ in 0..4 {
                assert_eq!(client.view::<Counted<BACKEND>>(id).expect("view").number, 5);
                assert_eq!(checks(), round + 1, "once for each object");
            }
            drop(kept);
            client.release(id);
        }
    }
    let (_node, client) = store(over);
    match over {
        Over { tier: Tier::Strict, .. } => count::<3>(&client, true),
        Over { backend: Backend::Memfd, .. } => count::<0>(&client, false),
        Over { backend: Backend::Heap, .. } => count::<1>(&client, false),
        _ => count::<2>(&client, false),
    }
}
