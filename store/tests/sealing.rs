//! Sealed means sealed: stray stores fault, and what is strict is safe from those who mean harm.

mod process;

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::{
        fd::AsRawFd,
        unix::{
            fs::{FileExt, MetadataExt},
            process::ExitStatusExt,
        },
    },
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl},
    libc,
};
use process::{Peer, play};
use rustyray_store::{
    Backend, Client, Config, Error, Node, ObjectId, PinError, Refusal, Reply, Request, SealError,
    SealRequest, Status, Tier, View, ViewError,
};

const ROLES: &str = "in_another_process";

/// Tests that look at this process's files through `/proc` do so while no other test has any.
static FILES: RwLock<()> = RwLock::new(());

fn beside_others() -> RwLockReadGuard<'static, ()> {
    FILES.read().unwrap_or_else(PoisonError::into_inner)
}

fn alone() -> RwLockWriteGuard<'static, ()> {
    FILES.write().unwrap_or_else(PoisonError::into_inner)
}

fn store(tier: Tier) -> (Arc<Node>, Arc<Client>) {
    let node = Node::create(Config {
        capacity_bytes: 64 << 20,
        max_objects: 1 << 12,
        put_timeout: Duration::from_millis(20),
        spill_dir: None,
        tier,
        ..Config::default()
    })
    .expect("a store");
    let client = node.client();
    (node, client)
}

fn object(words: [u64; 8]) -> ObjectId {
    ObjectId::from_words([words[0], words[1]]).expect("an object")
}

/// A store to a byte of a sealed object, as a bug would make it.
fn stray(bytes: &[u8]) {
    let at = bytes.as_ptr().cast_mut();
    // SAFETY: there is none: this is the fault that the test is about. The process ends here.
    unsafe { at.write_volatile(!bytes[0]) };
}

/// The files of the parent's process that are called so.
fn memfds(name: &str) -> Vec<PathBuf> {
    let parent = nix::unistd::getppid();
    let Ok(entries) = fs::read_dir(format!("/proc/{parent}/fd")) else { return Vec::new() };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            fs::read_link(path)
                .is_ok_and(|target| target.to_string_lossy().starts_with(&format!("/memfd:{name}")))
        })
        .collect()
}

fn map(file: &File, len: usize, protection: i32) -> Result<*mut libc::c_void, Errno> {
    // SAFETY: a new mapping at an address of the kernel's choice.
    let address = unsafe {
        libc::mmap(std::ptr::null_mut(), len, protection, libc::MAP_SHARED, file.as_raw_fd(), 0)
    };
    if address == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(address) }
}

/// Tries everything that could change the file; what worked.
fn attack(path: &PathBuf) -> Vec<&'static str> {
    let mut worked = Vec::new();
    let mut attempt = |what: &'static str, result: Result<(), Errno>| {
        if result.is_ok() {
            worked.push(what);
        }
    };
    let io = |result: std::io::Result<usize>| {
        result.map(|_| ()).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
    };
    // That it opens at all is no harm: the seals are the file's, not the descriptor's.
    let file = OpenOptions::new().read(true).write(true).open(path).expect("opened");
    let len = file.metadata().expect("metadata").size() as usize;
    attempt("write", io((&file).write(b"x")));
    attempt("pwrite", io(file.write_at(b"x", 0)));
    attempt("append", {
        let append = OpenOptions::new().append(true).open(path).expect("opened");
        io((&append).write(b"x"))
    });
    attempt("ftruncate to nothing", nix::unistd::ftruncate(&file, 0));
    attempt("ftruncate to more", nix::unistd::ftruncate(&file, 2 * len as i64));
    attempt("opening with O_TRUNC", {
        let truncated = OpenOptions::new().write(true).truncate(true).open(path);
        match truncated {
            Ok(file) if file.metadata().expect("metadata").size() == 0 => Ok(()),
            _ => Err(Errno::EPERM),
        }
    });
    for (what, flags) in [
        (
            "punching a hole",
            FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE,
        ),
        ("zeroing a range", FallocateFlags::FALLOC_FL_ZERO_RANGE),
        ("collapsing a range", FallocateFlags::FALLOC_FL_COLLAPSE_RANGE),
    ] {
        attempt(what, fallocate(&file, flags, 0, 4096));
    }
    attempt("growing", fallocate(&file, FallocateFlags::empty(), 0, 2 * len as i64));
    attempt(
        "sealing it further",
        fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE)).map(|_| ()),
    );
    attempt(
        "mapping it for writing",
        map(&file, len, libc::PROT_READ | libc::PROT_WRITE).map(|_| ()),
    );
    let read_only = File::open(path).expect("opened");
    for file in [&file, &read_only] {
        // Kernels before 6.7 do not map a writable descriptor even for reading.
        let Ok(address) = map(file, len, libc::PROT_READ) else { continue };
        // SAFETY: the mapping made just now, which nothing refers to.
        let made = unsafe { libc::mprotect(address, len, libc::PROT_READ | libc::PROT_WRITE) };
        attempt("making a mapping writable", Errno::result(made).map(|_| ()));
        // SAFETY: as above.
        let removed = unsafe { libc::madvise(address, len, libc::MADV_REMOVE) };
        attempt("removing its pages", Errno::result(removed).map(|_| ()));
        let mut memory =
            OpenOptions::new().write(true).open("/proc/self/mem").expect("one's own memory");
        std::io::Seek::seek(&mut memory, std::io::SeekFrom::Start(address as u64)).expect("sought");
        attempt("writing through one's own /proc/self/mem", io(memory.write(b"x")));
    }
    // The same file by another way: a descriptor of one's own.
    let own = format!("/proc/self/fd/{}", read_only.as_raw_fd());
    attempt("reopening one's own descriptor", {
        let again = OpenOptions::new().write(true).open(own);
        again.map_err(|_| Errno::EACCES).and_then(|file| io(file.write_at(b"x", 0)))
    });
    worked
}

/// Writes to wherever the parent maps the file, through its /proc/<pid>/mem; whether any of it worked.
fn attack_mappings(name: &str) -> (u64, u64) {
    let parent = nix::unistd::getppid();
    let mut text = String::new();
    let Ok(mut maps) = File::open(format!("/proc/{parent}/maps")) else { return (0, 0) };
    maps.read_to_string(&mut text).expect("read");
    let Ok(memory) = OpenOptions::new().write(true).open(format!("/proc/{parent}/mem")) else {
        return (0, 0);
    };
    let (mut tried, mut worked) = (0, 0);
    for line in text.lines().filter(|line| line.contains(&format!("/memfd:{name}"))) {
        let start = line.split('-').next().expect("a range");
        let at = u64::from_str_radix(start, 16).expect("an address");
        tried += 1;
        worked += u64::from(memory.write_at(b"x", at).is_ok());
    }
    (tried, worked)
}

/// What the other processes of these tests do.
#[test]
fn in_another_process() {
    play(|role, client, parent| match role {
        "stray after own seal" => {
            let [_, _, len, ..] = parent.report(&[]);
            let id = client.put_bytes(&vec![7; len as usize]).expect("put");
            let pin = client.pin(id).expect("pin");
            parent.report_object(id);
            stray(&pin);
            parent.report(&[]);
        }
        "stray after own strict seal" => {
            let mut writer = client.create_in(Tier::Strict, 100).expect("create");
            writer.fill(7);
            let address = writer.as_mut_ptr();
            let id = client.reserve().expect("reserve");
            client.seal(id, 0, writer, 1, &[]).expect("seal");
            parent.report_object(id);
            // SAFETY: there is none, as above: the writer's mapping is gone.
            unsafe { address.write_volatile(8) };
            parent.report(&[]);
        }
        "stray after the block is full" => {
            let mut unfinished = client.create(100).expect("create");
            let id = client.put_bytes(&[7; 1000]).expect("put");
            let given_up = client.create(100).expect("create");
            let pin = client.pin(id).expect("pin");
            // Several blocks full.
            for _ in 0..400 {
                client.put_bytes(&[1; 10_000]).expect("put");
            }
            // What is not finished can be written all the same, however late.
            unfinished.fill(9);
            let late = client.reserve().expect("reserve");
            client.seal(late, 0, unfinished, 1, &[]).expect("seal");
            drop(given_up);
            assert_eq!(client.pin(late).expect("pin")[..], [9; 100]);
            parent.report_object(id);
            stray(&pin);
            parent.report(&[]);
        }
        "stray elsewhere" => {
            let pin = client.pin(object(parent.report(&[]))).expect("pin");
            parent.report(&[]);
            stray(&pin);
            parent.report(&[]);
        }
        "attack" => {
            parent.report(&[]);
            let files = memfds("rustyray-strict");
            let worked: Vec<_> = files.iter().flat_map(attack).collect();
            eprintln!("of {} files: {worked:?}", files.len());
            let (tried, changed) = attack_mappings("rustyray-strict");
            parent.report(&[files.len() as u64, worked.len() as u64, tried, changed]);
        }
        "attack the table" => {
            let [_, _, len, ..] = parent.report(&[]);
            let [path] = memfds("rustyray-table").try_into().expect("one table");
            let file = OpenOptions::new().read(true).write(true).open(path).expect("opened");
            let mut changed = 0;
            let mut words = vec![0; file.metadata().expect("metadata").size() as usize];
            file.read_exact_at(&mut words, 0).expect("read");
            let word =
                |at: usize| u64::from_le_bytes(words[at..at + 8].try_into().expect("eight bytes"));
            for at in (0..words.len() - 16).step_by(8) {
                // A header: the place of a file, and the length.
                if word(at) >> 56 == 3 && word(at + 8) == len {
                    // Somewhere in the data segment, shorter, and of a made-up type.
                    for (i, forged) in [1u64 << 56, 8, 0x1234].into_iter().enumerate() {
                        file.write_at(&forged.to_le_bytes(), (at + 8 * i) as u64).expect("written");
                    }
                    changed += 1;
                }
            }
            parent.report(&[changed]);
        }
        "keep it mapped" => {
            parent.report(&[]);
            let [path] = memfds("rustyray-strict").try_into().expect("one file");
            let file = OpenOptions::new().read(true).write(true).open(path).expect("opened");
            let address = map(&file, 4096, libc::PROT_READ | libc::PROT_WRITE).expect("mapped");
            parent.report(&[]);
            // SAFETY: the mapping made above, which nothing refers to.
            unsafe { libc::munmap(address, 4096) };
            drop(file);
            parent.report(&[]);
        }
        "strict" => {
            let id = object(parent.report(&[]));
            client.retain(id).expect("the parent holds it");
            let view: View<Vec<u64>> = client.view(id).expect("view");
            assert_eq!(view.as_slice().iter().sum::<u64>(), 4950);
            let own = client.put_in(Tier::Strict, &vec![1u8; 10_000]).expect("put");
            parent.report_object(own);
            client.release(own);
            client.release(id);
            drop(view);
            parent.report(&[]);
        }
        role => panic!("no such role: {role}"),
    });
}

fn faults(mut peer: Peer) {
    assert_eq!(peer.next(), None, "it did not survive its stray store");
    assert_eq!(peer.wait().signal(), Some(libc::SIGSEGV));
}

#[test]
fn a_stray_store_of_the_writer_into_a_large_object_faults() {
    let _files = beside_others();
    let (node, client) = store(Tier::Ordinary);
    for len in [1u64 << 20, 5 << 20] {
        let peer = Peer::start(&node, ROLES, "stray after own seal");
        peer.next();
        peer.answer(&[0, 0, len]);
        let id = peer.next_object();
        client.retain(id).expect("it holds it");
        peer.answer(&[]);
        faults(peer);
        assert!(client.view::<bytes::Bytes>(id).expect("view").iter().all(|&byte| byte == 7));
        client.release(id);
    }
}

#[test]
fn a_stray_store_of_the_writer_into_a_full_block_faults() {
    let _files = beside_others();
    let (node, client) = store(Tier::Ordinary);
    let peer = Peer::start(&node, ROLES, "stray after the block is full");
    let id = peer.next_object();
    client.retain(id).expect("it holds it");
    peer.answer(&[]);
    faults(peer);
    assert_eq!(client.view::<bytes::Bytes>(id).expect("view")[..], [7; 1000]);
}

#[test]
fn threads_that_share_blocks_write_to_them_until_they_are_done() {
    let _files = beside_others();
    let (node, client) = store(Tier::Ordinary);
    let before = node.stats().leased_bytes;
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let client = &client;
            scope.spawn(move || {
                let mut open = std::collections::VecDeque::new();
                for step in 0..3000usize {
                    // Many are being written at once, across many blocks, and finished in another order.
                    open.push_back((client.create(2000 + step % 7 * 500).expect("create"), step));
                    if open.len() > 20 + usize::from(thread) * 40 {
                        let at = step * 31 % open.len();
                        let (mut writer, begun) = open.remove(at).expect("one of them");
                        if begun % 5 == 0 {
                            continue;
                        }
                        writer.fill(thread ^ begun as u8);
                        let id = client.reserve().expect("reserve");
                        client.seal(id, 0, writer, 1, &[]).expect("seal");
                        let pin = client.pin(id).expect("pin");
                        assert!(pin.iter().all(|&byte| byte == thread ^ begun as u8));
                        client.release(id);
                    }
                }
            });
        }
    });
    let stats = node.stats();
    assert_eq!((stats.objects, before), (0, 0));
    assert_eq!(stats.used_bytes, stats.leased_bytes);
}

#[test]
fn a_stray_store_of_another_process_faults_whatever_the_size() {
    let _files = beside_others();
    let (node, client) = store(Tier::Ordinary);
    for len in [10, 1000, 1 << 20, 5 << 20] {
        for tier in [Tier::Ordinary, Tier::Strict] {
            let id = client.put_bytes_in(tier, &vec![7; len]).expect("put");
            let peer = Peer::start(&node, ROLES, "stray elsewhere");
            peer.next();
            peer.answer(&id.to_words());
            peer.next();
            peer.answer(&[]);
            faults(peer);
            assert!(client.view::<bytes::Bytes>(id).expect("view").iter().all(|&byte| byte == 7));
        }
    }
}

#[test]
fn a_stray_store_of_the_writer_into_a_strict_object_faults() {
    let _files = beside_others();
    let (node, client) = store(Tier::Ordinary);
    let peer = Peer::start(&node, ROLES, "stray after own strict seal");
    let id = peer.next_object();
    client.retain(id).expect("it holds it");
    peer.answer(&[]);
    faults(peer);
    assert_eq!(client.pin(id).expect("pin")[..], [7; 100]);
}

#[test]
fn nothing_that_a_hostile_process_does_changes_a_strict_object() {
    let _files = alone();
    let (node, client) = store(Tier::Ordinary);
    let value: Vec<u64> = (0..100_000).collect();
    let ids: Vec<_> = [
        client.put_in(Tier::Strict, &value).expect("put"),
        client.put_in(Tier::Strict, &value[..10].to_vec()).expect("put"),
    ]
    .into();
    let views: Vec<View<Vec<u64>>> = ids.iter().map(|&id| client.view(id).expect("view")).collect();
    let peer = Peer::start(&node, ROLES, "attack");
    peer.next();
    peer.answer(&[]);
    let [files, worked, mappings, changed] = peer.next().expect("a report")[..] else {
        panic!("four numbers")
    };
    assert_eq!((files, worked), (2, 0), "standard error says what worked");
    // Who may not even open another's memory has not changed it either.
    assert!(mappings <= 2 && changed == 0, "{changed} of {mappings} mappings were written to");
    peer.answer(&[]);
    assert_eq!(views[0].as_slice(), value);
    drop(views);
    let again: View<Vec<u64>> = client.view(ids[0]).expect("view");
    assert_eq!(again.as_slice(), value);
    let again: View<Vec<u64>> = client.view(ids[1]).expect("view");
    assert_eq!(again.as_slice(), &value[..10]);
}

#[test]
fn in_a_strict_store_the_table_does_not_say_where_an_object_is() {
    let _files = alone();
    let (node, client) = store(Tier::Strict);
    let value: Vec<u64> = (0..1000).collect();
    let id = client.put(&value).expect("put");
    let len = client.pin(id).expect("pin").len() as u64;
    let peer = Peer::start(&node, ROLES, "attack the table");
    peer.next();
    peer.answer(&[0, 0, len]);
    assert_eq!(peer.next(), Some(vec![1]), "the header was found and forged");
    peer.answer(&[]);
    assert_eq!(client.view::<Vec<u64>>(id).expect("view").as_slice(), value);
    client.release(id);
    assert_eq!(node.stats().used_bytes, 0, "its file is gone all the same");
}

#[test]
fn what_somebody_can_still_write_to_is_not_sealed() {
    let _files = alone();
    let (node, client) = store(Tier::Ordinary);
    let before = node.stats();
    let mut writer = client.create_in(Tier::Strict, 5000).expect("create");
    writer.fill(1);
    let peer = Peer::start(&node, ROLES, "keep it mapped");
    peer.next();
    peer.answer(&[]);
    peer.next();
    let id = client.reserve().expect("reserve");
    let error = client.seal(id, 0, writer, 1, &[]).expect_err("it is mapped elsewhere");
    assert!(matches!(error, SealError::StillWritable(rejected) if rejected == id), "{error:?}");
    assert_eq!(client.status(id), Status::Pending);
    assert_eq!(node.stats().used_bytes, before.used_bytes, "its memory went back");
    peer.answer(&[]);
    peer.next();
    let mut writer = client.create_in(Tier::Strict, 5000).expect("create");
    writer.fill(2);
    client.seal(id, 0, writer, 1, &[]).expect("now nobody maps it");
    assert!(client.pin(id).expect("pin").iter().all(|&byte| byte == 2));
}

#[test]
fn strict_objects_go_from_process_to_process_as_any_other() {
    let _files = beside_others();
    let (node, client) = store(Tier::Ordinary);
    let before = node.stats();
    let id = client.put_in(Tier::Strict, &(0..100u64).collect::<Vec<_>>()).expect("put");
    let peer = Peer::start(&node, ROLES, "strict");
    peer.next();
    peer.answer(&id.to_words());
    let theirs = peer.next_object();
    let view: View<Vec<u8>> = client.view(theirs).expect("view");
    assert_eq!(view.as_slice(), [1; 10_000]);
    peer.answer(&[]);
    peer.next();
    client.release(id);
    drop(view);
    node.collect(usize::MAX);
    assert_eq!((node.stats().objects, node.stats().used_bytes), (0, before.used_bytes));
}

#[test]
fn strict_objects_count_against_the_capacity_with_the_rest() {
    let _files = alone();
    let (node, client) = store(Tier::Ordinary);
    let ordinary = client.put_bytes(&vec![1; 40 << 20]).expect("put");
    let error = client.put_bytes_in(Tier::Strict, &vec![2; 40 << 20]).expect_err("no room");
    assert!(matches!(
        error,
        Error::StoreFull { capacity_bytes, .. } if capacity_bytes == 64 << 20
    ));
    let resident = || {
        let stat = |name| memfd_bytes(name);
        stat("rustyray-data") + stat("rustyray-strict")
    };
    client.release(ordinary);
    // What was made ready before it was needed goes back on a thread of its own.
    let goes_back = || {
        let deadline = Instant::now() + Duration::from_secs(60);
        while resident() > 64 << 20 {
            assert!(Instant::now() < deadline, "what was free stays: {}", resident());
            thread::sleep(Duration::from_millis(1));
        }
    };
    let strict = client.put_bytes_in(Tier::Strict, &vec![2; 40 << 20]).expect("there is room");
    goes_back();
    assert_eq!(client.view::<bytes::Bytes>(strict).expect("view")[..10], [2; 10]);
    client.put_bytes(&vec![3; 20 << 20]).expect("the rest can be used");
    goes_back();
    assert!(matches!(client.create_in(Tier::Strict, 65 << 20), Err(Error::TooLarge { .. })));
    client.release(strict);
    assert_eq!(node.stats().objects, 1);
}

/// Bytes that the memfds of this process so called take.
fn memfd_bytes(name: &str) -> u64 {
    fs::read_dir("/proc/self/fd")
        .expect("a directory")
        .flatten()
        .filter(|entry| {
            fs::read_link(entry.path())
                .is_ok_and(|target| target.to_string_lossy().starts_with(&format!("/memfd:{name}")))
        })
        .filter_map(|entry| fs::metadata(entry.path()).ok())
        .map(|found| found.blocks() * 512)
        .sum()
}

#[test]
fn strict_objects_are_spilled_and_come_back_sealed() {
    let _files = beside_others();
    let dir = std::env::temp_dir().join(format!("rustyray-strict-{}", std::process::id()));
    let node = Node::create(Config {
        capacity_bytes: 16 << 20,
        put_timeout: Duration::from_millis(20),
        spill_dir: Some(dir.clone()),
        tier: Tier::Strict,
        ..Config::default()
    })
    .expect("a store");
    let client = node.client();
    let value = |of: u64| (0..128 << 10).map(|i| i * of).collect::<Vec<u64>>();
    let ids: Vec<_> = (0..30).map(|i| client.put(&value(i)).expect("put")).collect();
    assert!(node.stats().spilled_bytes > 10 << 20);
    for (i, &id) in ids.iter().enumerate() {
        let view: View<Vec<u64>> = client.view(id).expect("view");
        assert_eq!(view.as_slice()[1000], 1000 * i as u64);
    }
    // Somebody who knows the format writes another value into a file, with its checksum as he can make it.
    let own = fs::read_dir(&dir).expect("a directory").next().expect("its own").expect("an entry");
    for entry in fs::read_dir(own.path()).expect("a directory").flatten() {
        if entry.file_name() != "lock" {
            let file = OpenOptions::new().write(true).open(entry.path()).expect("opened");
            file.write_all_at(&[9; 8], 5000).expect("written");
        }
    }
    let mut damaged = 0;
    for &id in &ids {
        match client.view::<Vec<u64>>(id) {
            Ok(_) => {}
            Err(ViewError::Pin(PinError::SpillDamaged { .. })) => damaged += 1,
            Err(error) => panic!("{error:?}"),
        }
        client.release(id);
    }
    assert!(damaged > 0);
    let stats = node.stats();
    assert_eq!((stats.objects, stats.used_bytes, stats.spilled_bytes), (0, 0, 0));
    drop((client, node));
    fs::remove_dir(dir).expect("removed");
}

#[test]
fn a_backend_without_seals_has_no_strict_objects() {
    let _files = beside_others();
    let config = Config { backend: Backend::Heap, ..Config::default() };
    let node = Node::create(config.clone()).expect("a store");
    let error = node.client().put_in(Tier::Strict, &1u64).expect_err("no seals");
    assert!(matches!(error, Error::NotStrict), "{error:?}");
    let strict = Config { tier: Tier::Strict, ..config };
    assert!(matches!(Node::create(strict), Err(Error::Config(_))));
}

const FEW: &str = "RUSTYRAY_STORE_TEST_FEW";

/// In a process of its own, whose limits it changes.
#[test]
fn with_few_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if std::env::var_os(FEW).is_none() {
        return;
    }
    let limit = |soft, hard| setrlimit(Resource::RLIMIT_NOFILE, soft, hard).expect("set");
    limit(40, 100);
    let (node, client) = store(Tier::Ordinary);
    let mut kept = Vec::new();
    let error = loop {
        match client.put_in(Tier::Strict, &vec![kept.len() as u64; 100]) {
            Ok(id) => kept.push(id),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(&error, Error::Os { source, .. } if source.raw_os_error() == Some(Errno::EMFILE as i32)),
        "{error:?}"
    );
    assert!(kept.len() > 40, "the soft limit of 40 was raised: {} were put", kept.len());
    assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).expect("a limit").0, 100);
    let used_bytes = node.stats().used_bytes;
    client.put(&1u64).expect("others need none");
    client.release(kept.remove(0));
    client.release(kept.remove(0));
    let again = client.put_in(Tier::Strict, &vec![7u64; 100]).expect("there are descriptors again");
    kept.push(again);
    assert_eq!(*client.view::<Vec<u64>>(again).expect("view").as_slice(), [7; 100]);
    kept.into_iter().for_each(|id| client.release(id));
    let stats = node.stats();
    assert!(used_bytes > 0 && stats.used_bytes == stats.leased_bytes, "{stats:?}");
    println!("well");
}

#[test]
fn strict_objects_without_a_descriptor_are_errors_of_their_put() {
    let output = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["with_few_descriptors", "--exact", "--nocapture", "--test-threads=1"])
        .env(FEW, "1")
        .output()
        .expect("a process");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("well"), "{said}\n{output:?}");
}

#[test]
fn a_strict_object_without_bytes_may_hold_others() {
    let _files = beside_others();
    let (node, client) = store(Tier::Ordinary);
    let held = client.put(&7u64).expect("there is room");
    let mut writer = client.create_in(Tier::Strict, 4096).expect("there is room");
    writer.truncate(0);
    let id = client.reserve().expect("a slot");
    client.seal(id, 0, writer, 0, &[held]).expect("it is sealed");
    client.release(held);
    let pin = client.pin(id).expect("it is there");
    assert!(pin.is_empty());
    assert_eq!(*client.view::<u64>(held).expect("it is held"), 7);
    drop(pin);
    client.release(id);
    assert_eq!(client.status(held), Status::Gone, "it went with its holder");
    let stats = node.stats();
    assert_eq!((stats.objects, stats.used_bytes), (0, stats.leased_bytes), "nothing is left");
}

/// A client may say anything of the file that it has written.
#[test]
fn a_seal_of_more_than_the_file_has_is_refused() {
    let _files = beside_others();
    let (node, home) = store(Tier::Ordinary);
    let client = node.admit().expect("there is room").client;
    let id = home.reserve().expect("a slot");
    for (len_bytes, nested) in [
        (0, 0),
        (8193, 0),
        (8192, 1),
        (u64::MAX, 0),
        (u64::MAX, 1),
        (u64::MAX - 7, u32::MAX),
        // What the value and its list take together is 0 in 64 bits.
        (0u64.wrapping_sub(16 * u64::from(u32::MAX)), u32::MAX),
    ] {
        // SAFETY: nobody attaches under this number, and nothing that is made for it is ever viewed.
        let made = unsafe { node.serve(client, Request::Create { len_bytes: 8192 }) };
        let Reply::File { key, .. } = made else { panic!("no file was made: {made:?}") };
        let is_failed = false;
        let seal =
            SealRequest { id, attempt: 0, key, len_bytes, fingerprint: 1, nested, is_failed };
        // SAFETY: as above.
        let reply = unsafe { node.serve(client, Request::Seal(seal)) };
        assert_eq!(
            reply,
            Reply::Refused(Refusal::Garbage),
            "{len_bytes} bytes, {nested} references"
        );
        assert_eq!(home.status(id), Status::Pending);
    }
    home.release(id);
    let stats = node.stats();
    assert_eq!((stats.objects, stats.used_bytes), (0, stats.leased_bytes), "nothing is left");
}
