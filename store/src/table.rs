//! The table segment of a process: the object table and what belongs to it, as typed parts.

use rustyray_memory::{LINE_WORDS, Mapped, Memory, sync::Ordering};

use crate::{
    ClientId, ClientSet, Error, Geometry, ObjectId, Stale,
    alarm::{ALARM_WORDS, Alarm},
    deadmap::DeadMap,
    dirty::{self, Dirty},
    geometry::{
        DEAD_AT, DIRTY_AT, HEADER_CLIENTS, HEADER_MAGIC, HEADER_TICK, MAGIC, TYPE_NAMES_AT,
    },
    slot::{SLOT_WORDS, Slot},
    state::Phase,
    type_names::TypeNames,
};

const _: () = assert!(dirty::SPARE_AT + ALARM_WORDS <= LINE_WORDS);

/// The table, mapped.
#[derive(Debug)]
pub(crate) struct Table {
    words: Mapped,
    geometry: Geometry,
    slots_at: usize,
}

impl Table {
    /// The table in these words; a client finds the magic there that the node wrote.
    pub(crate) fn new(words: Mapped, geometry: Geometry, creator: bool) -> Result<Self, Error> {
        let magic = words.word(HEADER_MAGIC);
        if creator {
            magic.store(MAGIC, Ordering::Relaxed);
        } else if magic.load(Ordering::Relaxed) != MAGIC {
            return Err(Error::Protocol("the object table is of another version"));
        }
        Ok(Table { words, geometry, slots_at: geometry.slots_at() })
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The slot at `index`.
    ///
    /// # Panics
    /// When `index` is beyond the table.
    #[inline]
    pub(crate) fn slot(&self, index: u32) -> Slot<'_, Mapped> {
        Slot::new(&self.words, self.slots_at + index as usize * SLOT_WORDS)
    }

    pub(crate) fn dead(&self) -> DeadMap<'_, Mapped> {
        DeadMap::new(&self.words, DEAD_AT, self.geometry.max_objects)
    }

    pub(crate) fn dirty(&self, client: ClientId) -> Dirty<'_, Mapped> {
        Dirty::new(&self.words, DIRTY_AT, client)
    }

    /// The alarm of a client, on the line of its dirty map's summary.
    pub(crate) fn alarm(&self, client: ClientId) -> Alarm<'_> {
        Alarm::new(&self.words, DIRTY_AT + client.index() * dirty::CLIENT_WORDS + dirty::SPARE_AT)
    }

    pub(crate) fn type_names(&self) -> TypeNames<'_, Mapped> {
        TypeNames::new(&self.words, TYPE_NAMES_AT)
    }

    /// The store's clock, by which "recently used" is told.
    #[inline]
    pub(crate) fn tick(&self) -> u64 {
        self.words.word(HEADER_TICK).load(Ordering::Relaxed)
    }

    pub(crate) fn advance_tick(&self) {
        self.words.word(HEADER_TICK).fetch_add(1, Ordering::Relaxed);
    }

    /// The clients that are admitted.
    pub(crate) fn clients(&self) -> ClientSet {
        ClientSet::from_words(std::array::from_fn(|i| {
            // Relaxed: who is admitted matters only to whom a wakeup goes; a client that is just being
            // admitted waits for nothing yet.
            self.words.word(HEADER_CLIENTS + i).load(Ordering::Relaxed)
        }))
    }

    /// The node: says who is admitted.
    pub(crate) fn set_clients(&self, clients: ClientSet) {
        for (i, word) in clients.to_words().into_iter().enumerate() {
            self.words.word(HEADER_CLIENTS + i).store(word, Ordering::Relaxed);
        }
    }

    /// What is wrong with an id that names no living object.
    pub(crate) fn stale(&self, id: ObjectId) -> Stale {
        let Some(generation) = self.geometry.generation(id) else {
            return Stale::Foreign(id);
        };
        let now = self.slot(id.index).state().load();
        let unused = matches!(now.phase(), Phase::Free | Phase::Granted);
        if generation > now.generation() || generation == now.generation() && unused {
            Stale::Foreign(id)
        } else {
            Stale::Gone(id)
        }
    }

    /// Marks a settled object in the dirty maps of those who wait for it; who is to be rung.
    pub(crate) fn announce(&self, index: u32, waiters: u64) -> ClientSet {
        let wanted = ClientSet::from_words([waiters; 4]).to_words();
        let admitted = self.clients().to_words();
        let clients = ClientSet::from_words(std::array::from_fn(|i| wanted[i] & admitted[i]));
        for client in clients.iter() {
            self.dirty(client).mark(index);
            self.alarm(client).ring();
        }
        clients
    }
}
