//! What a client or a disk may say, given to the code that believes it: one function per fuzz target.
//!
//! The corpus of each target is replayed by the tests below.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{Client, Config, Node, Request, Value, ViewError, slot::Header};

fn node(spill_dir: Option<&Path>) -> Arc<Node> {
    let config = Config {
        capacity_bytes: 256 << 10,
        max_objects: 256,
        spill_dir: spill_dir.map(Path::to_owned),
        put_timeout: Duration::ZERO,
        ..Config::default()
    };
    Node::create(config).expect("a small store")
}

fn words(data: &[u8]) -> impl Iterator<Item = u64> {
    data.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    })
}

/// Requests of two clients in turn, eight words each. Whatever they ask for, nothing of it is left once
/// they are dead, and the node's own object is what it was.
pub fn requests(data: &[u8]) {
    let node = node(None);
    let home = node.client();
    let own = home.put_bytes(b"the node's own").expect("there is room");
    let clients = [(); 2].map(|()| node.admit().expect("there is room").client);
    let words: Vec<u64> = words(data).collect();
    for (at, chunk) in words.chunks(8).enumerate() {
        let mut request = [0; 8];
        request[..chunk.len()].copy_from_slice(chunk);
        if let Some(request) = Request::from_words(request) {
            // SAFETY: nobody attaches under these numbers, and what is sealed for them is viewed by nobody.
            let _ = unsafe { node.serve(clients[at % 2], request) };
        }
    }
    let read = home.view::<Bytes>(own).expect("it is there").as_slice().to_vec();
    assert_eq!(read, b"the node's own");
    for client in clients {
        // SAFETY: as above; and each number is reaped once.
        let _ = unsafe { node.reap(client) };
    }
    home.release(own);
    let stats = node.stats();
    assert_eq!(stats.used_bytes, stats.leased_bytes, "the dead left memory behind: {stats:?}");
    assert_eq!(stats.objects, 0, "the dead left slots behind: {stats:?}");
}

/// A header that a client wrote, over bytes that it wrote: three words, then the bytes.
pub fn slots(data: &[u8]) {
    let node = node(None);
    let home = node.client();
    let (header, bytes) = data.split_at(data.len().min(24));
    let id = home.put_bytes(bytes).expect("there is room");
    let slot = home.table().slot(id.index);
    let sound = slot.header();
    let mut header = words(header);
    let mut next = |sound| header.next().filter(|&word| word != 0).unwrap_or(sound);
    slot.set_header(Header {
        location: next(sound.location),
        len_bytes: next(sound.len_bytes),
        fingerprint: next(sound.fingerprint),
    });
    if let Ok(pin) = home.pin(id) {
        // Every byte it offers can be read.
        let _ = pin.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    }
    fn read<T: Value>(home: &Arc<Client>, id: crate::ObjectId) {
        match home.view::<T>(id) {
            Ok(_)
            | Err(ViewError::Pin(_) | ViewError::TypeMismatch { .. } | ViewError::Corrupt { .. }) =>
                {}
            Err(other) => panic!("{other}"),
        }
    }
    read::<Bytes>(&home, id);
    // Bytes that are said to be of another type.
    for fingerprint in [Vec::<String>::fingerprint(), Option::<u64>::fingerprint()] {
        slot.set_header(Header { fingerprint, ..slot.header() });
        read::<Vec<String>>(&home, id);
        read::<Option<u64>>(&home, id);
    }
    slot.set_header(sound);
    home.release(id);
}

/// The file of a spilled object, as somebody left it on the disk.
pub fn spills(data: &[u8]) {
    let place = std::env::temp_dir().join(format!(
        "rustyray-fuzz-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let node = node(Some(&place));
    let home = node.client();
    let value = vec![7; 150 << 10];
    let away = home.put_bytes(&value).expect("there is room");
    // There is room for one of them.
    let here = home.put_bytes(&value).expect("the first is spilled");
    let mut files = Vec::new();
    let mut directories = vec![place.clone()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let list = if path.is_dir() { &mut directories } else { &mut files };
            list.push(path);
        }
    }
    assert!(!files.is_empty(), "nothing was spilled");
    for file in &files {
        // A damaged file of the right length is the harder case.
        let mut bytes = std::fs::read(file).expect("readable");
        let end = data.len().min(bytes.len());
        bytes[..end].copy_from_slice(&data[..end]);
        let cut = if data.first().is_some_and(|byte| byte % 2 == 0) { end } else { bytes.len() };
        std::fs::write(file, &bytes[..cut]).expect("writable");
    }
    home.release(here);
    if let Ok(view) = home.view::<Bytes>(away) {
        assert!(view.as_slice() == value, "a damaged file was taken for the value");
    }
    home.release(away);
    drop((home, node));
    let _ = std::fs::remove_dir_all(place);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    /// Every file of a target's corpus does what it did when it was found: no harm.
    fn replay(target: &str, run: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
        let mut files = 0;
        for file in std::fs::read_dir(&corpus).expect("the target has a corpus") {
            let path = file.expect("listed").path();
            println!("{}", path.display());
            run(&std::fs::read(path).expect("readable"));
            files += 1;
        }
        assert!(files > 0, "{} is empty", corpus.display());
    }

    #[test]
    fn the_corpora_do_no_harm() {
        replay("requests", super::requests);
        replay("slots", super::slots);
        replay("spills", super::spills);
    }

    /// Words that may mean something: small numbers, offsets, and the ends of what can be.
    fn word() -> impl Strategy<Value = u64> {
        prop_oneof![
            4 => 0_u64..4,
            2 => (0_u64..80).prop_map(|page| page * 4096),
            1 => (0_u64..80, 0_u64..3).prop_map(|(page, kind)| (kind << 56) + page * 4096),
            1 => any::<u64>(),
            1 => prop_oneof![Just(u64::MAX), Just(u64::MAX - 4095), Just(1 << 63), Just(u32::MAX.into())],
        ]
    }

    fn bytes(words: Vec<u64>) -> Vec<u8> {
        words.into_iter().flat_map(u64::to_le_bytes).collect()
    }

    fn request() -> impl Strategy<Value = Vec<u64>> {
        (1_u64..14, proptest::collection::vec(word(), 7)).prop_map(|(kind, mut rest)| {
            rest.insert(0, kind);
            rest
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn no_requests_do_harm(asked in proptest::collection::vec(request(), 0..30)) {
            super::requests(&bytes(asked.concat()));
        }

        #[test]
        fn no_header_does_harm(
            header in proptest::collection::vec(word(), 3),
            value in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            super::slots(&[bytes(header), value].concat());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn no_spilled_file_does_harm(data in proptest::collection::vec(any::<u8>(), 0..100)) {
            super::spills(&data);
        }
    }
}
