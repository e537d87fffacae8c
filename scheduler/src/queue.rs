//! A queue of tasks that lies in their records: taking one out of the middle costs as much as at the ends.
//!
//! Only the owner of the token has queues, and a record is in one at a time; [`Place`] says in which kind.

use crate::{
    record::{NONE, Place, Record},
    records::Records,
};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queue {
    first: u32,
    last: u32,
    len: u32,
}

impl Default for Queue {
    fn default() -> Self {
        Queue { first: NONE, last: NONE, len: 0 }
    }
}

impl Queue {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(crate) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    #[inline]
    pub(crate) fn last(&self) -> Option<u32> {
        (self.last != NONE).then_some(self.last)
    }

    #[inline]
    pub(crate) fn push_back<S>(&mut self, all: &Records<S>, index: u32, place: Place) {
        let record = all.at(index);
        record.next.set(NONE);
        record.previous.set(self.last);
        record.set_place(place);
        match self.last {
            NONE => self.first = index,
            last => all.at(last).next.set(index),
        }
        self.last = index;
        self.len += 1;
    }

    pub(crate) fn push_front<S>(&mut self, all: &Records<S>, index: u32, place: Place) {
        let record = all.at(index);
        record.next.set(self.first);
        record.previous.set(NONE);
        record.set_place(place);
        match self.first {
            NONE => self.last = index,
            first => all.at(first).previous.set(index),
        }
        self.first = index;
        self.len += 1;
    }

    /// Puts a record in before the first one that became ready later: for what was taken back.
    pub(crate) fn push_in_order<S>(&mut self, all: &Records<S>, index: u32, place: Place) {
        let order = all.at(index).order.get();
        let Some(after) = self.iter(all).find(|&other| all.at(other).order.get() > order) else {
            return self.push_back(all, index, place);
        };
        let before = all.at(after).previous.get();
        if before == NONE {
            return self.push_front(all, index, place);
        }
        let record = all.at(index);
        record.previous.set(before);
        record.next.set(after);
        record.set_place(place);
        all.at(before).next.set(index);
        all.at(after).previous.set(index);
        self.len += 1;
    }

    /// Takes a record out that is in this queue.
    #[inline]
    pub(crate) fn remove<S>(&mut self, all: &Records<S>, index: u32) {
        let record = all.at(index);
        let (next, previous) = (record.next.get(), record.previous.get());
        match previous {
            NONE => self.first = next,
            previous => all.at(previous).next.set(next),
        }
        match next {
            NONE => self.last = previous,
            next => all.at(next).previous.set(previous),
        }
        record.set_place(Place::Nowhere);
        self.len -= 1;
    }

    #[inline]
    pub(crate) fn pop<S>(&mut self, all: &Records<S>) -> Option<u32> {
        let first = self.first()?;
        self.remove(all, first);
        Some(first)
    }

    /// From the first to the last.
    pub(crate) fn iter<S>(&self, all: &Records<S>) -> impl Iterator<Item = u32> {
        let step = |index: &u32| {
            let record: &Record<S> = all.at(*index);
            Some(record.next.get()).filter(|&next| next != NONE)
        };
        std::iter::successors(self.first(), step)
    }
}
