//! A process that writes lies about strict objects into the table: nobody takes other bytes for theirs.

mod direct;

use std::{fs::File, path::PathBuf, sync::Arc, time::Duration};

use rustyray_memory::{Mapped, Memory, sync::Ordering::SeqCst};
use rustyray_store::{
    Client, Config, Lost, Node, ObjectId, PinError, Recovery, SealError, Status, Tier, View,
    ViewError, fingerprint,
};

type Text = Vec<String>;

/// A client that means harm: it writes to the table what it likes.
struct Forger {
    client: Arc<Client>,
    table: Mapped,
}

/// The words of an object's slot.
struct Slot<'a> {
    table: &'a Mapped,
    at: usize,
}

const RESERVED: u64 = 2;
const GENERATION: u64 = 1 << 20;

impl Forger {
    fn join(node: &Arc<Node>) -> Forger {
        let admission = node.admit().expect("admitted");
        // SAFETY: there is a hostile process in these tests, which writes lies to the table, and to it only. Strict
        // objects are what they are whatever is in there, which is what is tested; and there are no others here.
        let descriptors = unsafe { admission.segments.descriptors() };
        let table = File::from(descriptors[0].try_clone().expect("a descriptor"));
        let words = table.metadata().expect("its size").len() as usize / 8;
        let table = Mapped::new(&table, words).expect("mapped");
        let (client, _) = direct::join_as(node, admission, |direct| direct).expect("attached");
        Forger { client, table }
    }

    /// The slot of the only sealed object of this type.
    fn slot_of<T: rustyray_store::Value>(&self) -> Slot<'_> {
        const SEALED: u64 = 4;
        let word = |at: usize| self.table.word(at).load(SeqCst);
        let at = (3..self.table.len_words())
            .rev()
            .find(|&at| word(at) == fingerprint::<T>() && word(at - 3) & 15 == SEALED)
            .expect("its slot");
        Slot { table: &self.table, at: at - 3 }
    }

    /// Has the node seal bytes of its own as the value of the object.
    fn seal(&self, id: ObjectId, attempt: u16) -> Result<(), SealError> {
        let mut writer = self.client.create(64).expect("room");
        // As a vector: so many elements, so far away.
        writer.fill(0x41);
        self.client.seal(id, attempt, writer, fingerprint::<Text>(), &[])
    }
}

impl Slot<'_> {
    fn state(&self) -> u64 {
        self.table.word(self.at).load(SeqCst)
    }

    fn set_state(&self, state: u64) {
        self.table.word(self.at).store(state, SeqCst);
    }

    /// Forgets which attempt it was that made the object.
    fn forget_attempt(&self) {
        let owner = self.table.word(self.at + 7);
        owner.store(owner.load(SeqCst) & !0xffff, SeqCst);
    }
}

/// Phase *reserved*, attempt 0, of the same generation.
fn reserved(state: u64) -> u64 {
    state & !(GENERATION - 1) | RESERVED
}

fn store(spill_dir: Option<PathBuf>) -> Arc<Node> {
    Node::create(Config {
        capacity_bytes: 16 << 20,
        max_objects: 512,
        put_timeout: Duration::from_millis(20),
        spill_dir,
        tier: Tier::Strict,
        ..Config::default()
    })
    .expect("a store")
}

fn text() -> Text {
    vec!["sealed and strict".to_owned()]
}

#[test]
fn what_was_sealed_is_not_sealed_again() {
    let node = store(None);
    let (victim, forger) = (node.client(), Forger::join(&node));
    let id = victim.put(&text()).expect("put");
    let used_bytes = node.stats().used_bytes;
    let slot = forger.slot_of::<Text>();
    let sealed = slot.state();
    let again = |id| {
        let error = forger.seal(id, 0).expect_err("it has a value");
        assert!(matches!(error, SealError::AlreadySealed(refused) if refused == id), "{error:?}");
    };

    slot.set_state(reserved(sealed));
    again(id);
    slot.set_state(sealed);
    assert_eq!(victim.view::<Text>(id).expect("a view")[0], "sealed and strict");
    assert_eq!(node.stats().used_bytes, used_bytes, "what was refused takes no room");

    // Not by way of another object in the same slot either, which the victim's has to make place for.
    let next = ObjectId { generation: id.generation + 1, ..id };
    slot.set_state(reserved(sealed) + GENERATION);
    forger.seal(next, 0).expect("it has no value");
    assert_eq!(node.stats().used_bytes, used_bytes, "one takes the other's room");
    slot.set_state(reserved(sealed));
    again(id);
    slot.set_state(sealed);
    let gone = victim.view::<Text>(id).expect_err("its bytes are gone");
    assert!(matches!(gone, ViewError::Pin(PinError::Corrupt { .. })), "{gone:?}");
}

/// Nobody makes it again but the forger.
struct Nobody;

impl Recovery for Nobody {
    fn lost(&self, _: Lost) {}
}

#[test]
fn what_was_lost_and_made_again_is_checked_again_whatever_the_table_says() {
    let dir = std::env::temp_dir().join(format!("rustyray-forged-{}", std::process::id()));
    let node = store(Some(dir.clone()));
    node.connect_recovery(Arc::new(Nobody));
    let (victim, forger) = (node.client(), Forger::join(&node));
    let id = victim.put(&text()).expect("put");
    let view: View<Text> = victim.view(id).expect("a view");
    assert_eq!(view[0], "sealed and strict");
    drop(view);
    let slot = forger.slot_of::<Text>();

    // It goes to disk, and its file is removed.
    let others: Vec<_> = (0..8).map(|_| victim.put(&vec![0_u8; 3 << 20]).expect("room")).collect();
    for own in std::fs::read_dir(&dir).expect("the directory") {
        let own = own.expect("the store's own").path();
        for file in std::fs::read_dir(own).expect("its files") {
            let file = file.expect("a file").path();
            if !file.ends_with("lock") {
                std::fs::remove_file(file).expect("removed");
            }
        }
    }
    assert!(matches!(victim.view::<Text>(id), Err(ViewError::Pin(PinError::Pending(_)))));
    node.set_attempt(id, 1).expect("it waits for a value");
    forger.seal(id, 1).expect("it waits for a value");
    slot.forget_attempt();

    assert_eq!(victim.status(id), Status::Sealed);
    let error = victim.view::<Text>(id).expect_err("no such value");
    assert!(matches!(error, ViewError::Corrupt { .. }), "{error:?}");
    others.into_iter().chain([id]).for_each(|id| victim.release(id));
    drop((victim, forger, node));
    std::fs::remove_dir(dir).expect("removed");
}
