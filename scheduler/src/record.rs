//! A task as one record: what was submitted, and where it is.
//!
//! The record is filled by who took it from the free list, published by its [`Gate`], and from then on
//! changed by the owner of the token alone, but for the gate. It is in one place at a time: *nowhere* (it
//! waits for objects, or the event that brings it on is under way), in a *lane* (ready), in a *line* (a call
//! in its actor's mailbox), at a *worker*. The links are those of that place's [`crate::queue::Queue`].

use std::{cell::UnsafeCell, mem::MaybeUninit};

use rustyray_memory::sync::AtomicU32;

use crate::{
    gate::Gate,
    plain::{Plain16, Plain32, Plain64},
};

/// No record: the end of a list.
pub(crate) const NONE: u32 = u32::MAX;

/// Where a record is, for the token's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Nowhere,
    Lane,
    Line,
    Worker,
}

/// A call of an actor.
pub(crate) const CALL: u32 = 1 << 0;
/// An actor's creation.
pub(crate) const CREATION: u32 = 1 << 1;
/// Children run in its group.
pub(crate) const CAPTURES: u32 = 1 << 2;
/// Cancelled while nobody could end it; it is not run again.
pub(crate) const CANCELLED: u32 = 1 << 3;
/// Cancelled because its job ended.
pub(crate) const JOB_ENDED: u32 = 1 << 4;
/// Told to the token's owner before it was ready.
pub(crate) const ENTERED: u32 = 1 << 5;
const PLACE_SHIFT: u32 = 30;

/// Any bundle of the group.
pub(crate) const ANY_BUNDLE: u16 = u16::MAX;

/// See the module.
pub(crate) struct Record<S> {
    pub(crate) gate: Gate,
    /// The free list's link.
    pub(crate) spare: AtomicU32,
    flags: Plain32,
    pub(crate) next: Plain32,
    pub(crate) previous: Plain32,
    pub(crate) kind: Plain32,
    pub(crate) job: Plain32,
    pub(crate) attempt: Plain16,
    pub(crate) max_retries: Plain16,
    /// How many of its attempts ended by no fault of its own.
    pub(crate) spared: Plain16,
    pub(crate) worker: Plain16,
    pub(crate) bundle: Plain16,
    /// Which estimate is for it.
    pub(crate) alike: Plain16,
    /// How long it is expected to run, as it was counted for its worker.
    pub(crate) expected_ns: Plain32,
    /// The entry in the worker's queue.
    pub(crate) ticket: Plain64,
    /// When it became ready, or was pushed: a number that grows.
    pub(crate) order: Plain64,
    /// The actor's bits, for a call or a creation.
    pub(crate) actor: Plain64,
    pub(crate) caller: Plain64,
    /// The group's bits, or zero.
    pub(crate) group: Plain64,
    /// The bits of the task that submitted it, or zero.
    pub(crate) parent: Plain64,
    /// The first of those that it submitted and that have not ended.
    pub(crate) child: Plain32,
    pub(crate) older_sibling: Plain32,
    pub(crate) younger_sibling: Plain32,
    /// Two words of the host's.
    pub(crate) note: [Plain64; 2],
    spec: UnsafeCell<MaybeUninit<S>>,
}

// SAFETY: all but `spec` are atomics. `spec` is written by the record's only user before it is published, read
// while it is live, and taken by who ends it, each handed on by an exchange of the gate or of the token; so
// sharing a record means sharing and sending an `S`.
unsafe impl<S: Send + Sync> Sync for Record<S> {}

impl<S> Record<S> {
    pub(crate) fn new() -> Self {
        Record {
            gate: Gate::new(),
            spare: AtomicU32::new(0),
            flags: Plain32::default(),
            next: Plain32::default(),
            previous: Plain32::default(),
            kind: Plain32::default(),
            job: Plain32::default(),
            attempt: Plain16::default(),
            max_retries: Plain16::default(),
            spared: Plain16::default(),
            worker: Plain16::default(),
            bundle: Plain16::default(),
            alike: Plain16::default(),
            expected_ns: Plain32::default(),
            ticket: Plain64::default(),
            order: Plain64::default(),
            actor: Plain64::default(),
            caller: Plain64::default(),
            group: Plain64::default(),
            parent: Plain64::default(),
            child: Plain32::default(),
            older_sibling: Plain32::default(),
            younger_sibling: Plain32::default(),
            note: [Plain64::default(), Plain64::default()],
            spec: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Sets the flags of a new task, which is nowhere.
    #[inline]
    pub(crate) fn begin(&self, flags: u32) {
        self.flags.set(flags);
        self.child.set(NONE);
    }

    #[inline]
    pub(crate) fn is(&self, flag: u32) -> bool {
        self.flags.get() & flag != 0
    }

    #[inline]
    pub(crate) fn mark(&self, flag: u32) {
        self.flags.set(self.flags.get() | flag);
    }

    #[inline]
    pub(crate) fn place(&self) -> Place {
        match self.flags.get() >> PLACE_SHIFT {
            0 => Place::Nowhere,
            1 => Place::Lane,
            2 => Place::Line,
            _ => Place::Worker,
        }
    }

    #[inline]
    pub(crate) fn set_place(&self, place: Place) {
        let rest = self.flags.get() & ((1 << PLACE_SHIFT) - 1);
        self.flags.set(rest | (place as u32) << PLACE_SHIFT);
    }

    /// Puts the spec in, which [`Record::take_spec`] takes out.
    ///
    /// # Safety
    /// The caller took the record from the free list and has not published it; no spec is in it.
    #[inline]
    pub(crate) unsafe fn put_spec(&self, spec: S) {
        // SAFETY: by the contract nobody else reaches the cell.
        let cell = unsafe { &mut *self.spec.get() };
        cell.write(spec);
    }

    /// What to run.
    ///
    /// # Safety
    /// The record is live, [`Record::put_spec`] happened before, and nobody takes the spec while the reference
    /// lives: the caller owns the token and the record is not ended, or the caller is who ended it.
    #[inline]
    pub(crate) unsafe fn spec(&self) -> &S {
        // SAFETY: by the contract nobody writes the cell.
        let cell = unsafe { &*self.spec.get() };
        // SAFETY: by the contract it was written.
        unsafe { cell.assume_init_ref() }
    }

    /// Takes the spec out.
    ///
    /// # Safety
    /// As for [`Record::spec`], and the caller is who ended the record, or took it and never published it;
    /// it takes the spec once.
    #[inline]
    pub(crate) unsafe fn take_spec(&self) -> S {
        // SAFETY: by the contract nobody else reaches the cell.
        let cell = unsafe { &*self.spec.get() };
        // SAFETY: by the contract it was written, and is not read again.
        unsafe { cell.assume_init_read() }
    }
}

impl<S> std::fmt::Debug for Record<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record").field("gate", &self.gate.load()).finish_non_exhaustive()
    }
}
