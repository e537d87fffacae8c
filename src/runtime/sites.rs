//! Where in the program objects were made, while that is recorded: for whoever asks what keeps memory.
//!
//! It is recorded for a whole session or not at all ([`crate::Builder::record_call_sites`]); a process asks
//! once, when it joins. Without it a `put` and a call carry the place along, which is a constant, and look at
//! one pointer of their process.
//!
//! The node keeps the place of the newest object of each slot, with the generation that it was said of, so
//! what is kept is bounded by the object table, and an object never appears with the place of another.

use std::{collections::HashMap, panic::Location};

use parking_lot::Mutex;
use rustyray_store::ObjectId;

use super::{Core, Link, texts::Texts, uplink::UP_SITE};

/// A place in a source file.
pub(crate) type Site = &'static Location<'static>;

/// What a process has told of places: by the place, and by what was called there.
#[derive(Debug, Default)]
pub(crate) struct Sites(Mutex<HashMap<(usize, u64), u64>>);

impl Sites {
    /// Notes where an object was put.
    #[cold]
    pub(crate) fn note_put(&self, core: &Core, id: ObjectId, site: Site) {
        self.note(core, &[id], site, 0, |site| site.to_string());
    }

    /// Notes where something was called that makes these objects. `called` tells it from others that may be
    /// called at the place, and `name` is its name.
    #[cold]
    pub(crate) fn note_result(
        &self,
        core: &Core,
        ids: &[ObjectId],
        site: Site,
        called: u64,
        name: impl FnOnce() -> String,
    ) {
        self.note(core, ids, site, called, |site| format!("{site} (result of {})", name()));
    }

    fn note(
        &self,
        core: &Core,
        ids: &[ObjectId],
        site: Site,
        called: u64,
        text: impl FnOnce(Site) -> String,
    ) {
        let key = (std::ptr::from_ref(site).addr(), called);
        let number = *self.0.lock().entry(key).or_insert_with(|| core.tell(&text(site)));
        for &id in ids {
            match &core.link {
                Link::Node(node) => node.made_at.keep(id, number),
                Link::Uplink(uplink) => {
                    uplink.publish(&[UP_SITE, u64::from(id.index), id.generation, number]);
                }
            }
        }
    }
}

/// The places of objects, at the node: by slot, with the generation and the number of the text.
#[derive(Debug, Default)]
pub(crate) struct MadeAt(Mutex<HashMap<u32, (u64, u64)>>);

impl MadeAt {
    pub(super) fn keep(&self, id: ObjectId, text: u64) {
        self.0.lock().insert(id.index, (id.generation, text));
    }

    /// Where the object was made, where that is known.
    pub(crate) fn get(&self, id: ObjectId, texts: &Texts) -> Option<String> {
        let (generation, text) = *self.0.lock().get(&id.index)?;
        if generation == id.generation { texts.get(text) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_does_not_appear_with_the_place_of_another() {
        let (places, texts) = (MadeAt::default(), Texts::default());
        texts.hear(&[0, 5, 1, u64::from(b'x')]).expect("a text");
        let id = ObjectId { index: 3, generation: 8 };
        places.keep(id, 5);
        assert_eq!(places.get(id, &texts).as_deref(), Some("x"));
        assert_eq!(places.get(ObjectId { index: 3, generation: 9 }, &texts), None);
        assert_eq!(places.get(ObjectId { index: 4, generation: 8 }, &texts), None);
    }
}
