//! A submission as words: how a client hands a task, an actor or a call to the node.
//!
//! | word | holds |
//! | --- | --- |
//! | 0 | cpus, gpus in ten-thousandths, 32 bits each |
//! | 1 | memory, bytes |
//! | 2 | retries (32, signed), priority (16, signed), flags (16) |
//! | 3 | the word of the task or call that submits ([`crate::spec::Submitter::to_word`]), 0 for none |
//! | 4 | references inside values |
//! | 5 … | those references: index, generation |
//! | … | the task's words ([`crate::spec`]), with the extension: names and what only some have |

use rkyv::{Archive, Deserialize, Serialize, rancor};
use rustyray_store::ObjectId;

use crate::{
    options::{ActorOptions, Demand, MAX_CUSTOM_RESOURCES, TaskOptions, UNIT},
    placement::Within,
    spec::Malformed,
};

const FLAG_ON_ERROR: u64 = 1 << 48;
const FLAG_COUNTED: u64 = 1 << 49;

/// Words before the references.
const FIXED_WORDS: usize = 5;

/// What a task or an actor asks for, in a form that owns its names.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) cpus: u32,
    pub(crate) gpus: u32,
    pub(crate) memory_bytes: u64,
    pub(crate) retries: i32,
    pub(crate) on_error: bool,
    pub(crate) priority: i16,
    pub(crate) timeout_ms: u64,
    /// The word of the task or call that submits, 0 for none.
    pub(crate) parent: u64,
    /// Of a call: a place is kept for it among the actor's unfinished ones.
    pub(crate) is_counted: bool,
    pub(crate) extension: Extension,
}

/// The rare part, which travels with the task's own words as far as its worker.
#[derive(Clone, Debug, Default, PartialEq, Archive, Serialize, Deserialize)]
pub(crate) struct Extension {
    pub(crate) name: Option<String>,
    pub(crate) custom: Vec<(String, u32)>,
    pub(crate) actor: Option<ActorWanted>,
    /// What it occupies, for who asks in the worker.
    pub(crate) occupied: Option<Occupied>,
    /// The placement group that it runs in.
    pub(crate) within: Option<WithinWanted>,
}

/// A placement group, one of its bundles or -1, and whether children run there too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(crate) struct WithinWanted {
    index: u32,
    generation: u64,
    bundle: i32,
    capture: bool,
}

impl WithinWanted {
    fn of(within: Option<Within>, capture: bool) -> Option<WithinWanted> {
        within.map(|Within { group, bundle, .. }| WithinWanted {
            index: group.index,
            generation: group.generation,
            bundle,
            capture,
        })
    }

    pub(crate) fn to_within(self) -> Within {
        let WithinWanted { index, generation, bundle, capture } = self;
        Within { group: ObjectId { index, generation }, bundle, capture }
    }
}

/// A placement group to be created.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(crate) struct GroupWanted {
    pub(crate) bundles: Vec<BundleWanted>,
    pub(crate) spread: bool,
    pub(crate) name: Option<String>,
    pub(crate) detached: bool,
    pub(crate) job: u32,
}

/// One of its bundles.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(crate) struct BundleWanted {
    pub(crate) occupied: Occupied,
    pub(crate) custom: Vec<(String, u32)>,
}

impl BundleWanted {
    pub(crate) fn of(demand: &Demand) -> BundleWanted {
        let &Demand { cpus, gpus, memory_bytes, .. } = demand;
        BundleWanted { occupied: Occupied { cpus, gpus, memory_bytes }, custom: custom_of(demand) }
    }
}

fn custom_of(demand: &Demand) -> Vec<(String, u32)> {
    demand.custom.iter().flatten().map(|&(name, parts)| (name.to_owned(), parts)).collect()
}

/// The resources that every node has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(crate) struct Occupied {
    /// In ten-thousandths.
    pub(crate) cpus: u32,
    /// In ten-thousandths.
    pub(crate) gpus: u32,
    pub(crate) memory_bytes: u64,
}

impl Occupied {
    /// What a task occupies whose options say nothing.
    pub(crate) const ORDINARY: Occupied = Occupied { cpus: UNIT, gpus: 0, memory_bytes: 0 };
}

impl Extension {
    /// The bytes that [`Extension::from_bytes`] reads; none where there is nothing to say.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        if *self == Extension::default() {
            return Vec::new();
        }
        // Serialising into memory fails only when memory does.
        rkyv::to_bytes::<rancor::Error>(self).map(|bytes| bytes.into_vec()).unwrap_or_default()
    }

    pub(crate) fn from_bytes(bytes: &rkyv::util::AlignedVec<16>) -> Result<Self, Malformed> {
        if bytes.is_empty() {
            return Ok(Extension::default());
        }
        let extension = rkyv::from_bytes::<Extension, rancor::Error>(bytes)
            .map_err(|_| Malformed("with an extension that cannot be read"))?;
        if extension.custom.len() > MAX_CUSTOM_RESOURCES {
            return Err(Malformed("with more custom resources than a task may ask for"));
        }
        Ok(extension)
    }
}

/// What only an actor's creation has.
#[derive(Clone, Debug, Default, PartialEq, Archive, Serialize, Deserialize)]
pub(crate) struct ActorWanted {
    pub(crate) class: String,
    pub(crate) detached: bool,
    pub(crate) max_restarts: i32,
    pub(crate) max_task_retries: i32,
    pub(crate) max_concurrency: u32,
    pub(crate) max_pending_calls: u64,
    pub(crate) out_of_order: bool,
}

impl Wanted {
    fn of(demand: &Demand) -> Wanted {
        let custom = custom_of(demand);
        let &Demand { cpus, gpus, memory_bytes, .. } = demand;
        let occupied = Occupied { cpus, gpus, memory_bytes };
        let occupied = (occupied != Occupied::ORDINARY).then_some(occupied);
        Wanted {
            cpus,
            gpus,
            memory_bytes,
            extension: Extension { custom, occupied, ..Extension::default() },
            ..Wanted::default()
        }
    }

    /// What a task with these options asks for.
    pub(crate) fn task(options: &TaskOptions) -> Wanted {
        let mut wanted = Wanted::of(&options.demand);
        wanted.retries = options.max_retries;
        wanted.on_error = options.retry_exceptions;
        wanted.priority = options.priority;
        wanted.timeout_ms = options.timeout_ms;
        wanted.extension.name = options.name.map(str::to_owned);
        wanted.extension.within = WithinWanted::of(options.within, options.capture);
        wanted
    }

    /// What an actor of `class` with these options asks for.
    pub(crate) fn actor(class: &str, options: &ActorOptions) -> Wanted {
        let mut wanted = Wanted::of(&options.demand);
        wanted.extension.name.clone_from(&options.name);
        wanted.extension.within = WithinWanted::of(options.within, options.capture);
        wanted.extension.actor = Some(ActorWanted {
            class: class.to_owned(),
            detached: options.detached,
            max_restarts: options.max_restarts,
            max_task_retries: options.max_task_retries,
            max_concurrency: options.max_concurrency,
            max_pending_calls: options.max_pending_calls,
            out_of_order: options.out_of_order,
        });
        wanted
    }

    /// How many calls of the actor may overlap, 0 where it is none.
    pub(crate) fn max_concurrency(&self) -> u64 {
        self.extension.actor.as_ref().map_or(0, |actor| u64::from(actor.max_concurrency))
    }

    /// How many words a submission has.
    #[inline]
    pub(crate) fn words(nested: &[ObjectId], spec: &[u64]) -> usize {
        FIXED_WORDS + 2 * nested.len() + spec.len()
    }

    /// Writes the words of a submission to `out`, which has room for just as many.
    #[inline]
    pub(crate) fn write(&self, nested: &[ObjectId], spec: &[u64], out: &mut [u64]) {
        let (fixed, rest) = out.split_at_mut(FIXED_WORDS);
        let (references, words) = rest.split_at_mut(2 * nested.len());
        fixed.copy_from_slice(&[
            u64::from(self.cpus) | u64::from(self.gpus) << 32,
            self.memory_bytes,
            u64::from(self.retries as u32)
                | u64::from(self.priority as u16) << 32
                | if self.on_error { FLAG_ON_ERROR } else { 0 }
                | if self.is_counted { FLAG_COUNTED } else { 0 },
            self.parent,
            nested.len() as u64,
        ]);
        for (two, id) in references.chunks_exact_mut(2).zip(nested) {
            two.copy_from_slice(&[u64::from(id.index), id.generation]);
        }
        words.copy_from_slice(spec);
    }

    /// Reads what [`Wanted::write`] wrote: the wishes but for the extension, the references inside
    /// values, the task's words.
    pub(crate) fn from_words(words: &[u64]) -> Result<(Wanted, Vec<ObjectId>, &[u64]), Malformed> {
        let &[resources, memory_bytes, rest, parent, nested, ref tail @ ..] = words else {
            return Err(Malformed("shorter than a submission"));
        };
        let nested = usize::try_from(nested).unwrap_or(usize::MAX);
        if tail.len() / 2 < nested {
            return Err(Malformed("a submission shorter than it says"));
        }
        let (nested, spec) = tail.split_at(2 * nested);
        let nested = nested.as_chunks::<2>().0.iter().map(|&[index, generation]| {
            u32::try_from(index)
                .map(|index| ObjectId { index, generation })
                .map_err(|_| Malformed("with an object index beyond 32 bits"))
        });
        let wanted = Wanted {
            cpus: resources as u32,
            gpus: (resources >> 32) as u32,
            memory_bytes,
            retries: rest as u32 as i32,
            on_error: rest & FLAG_ON_ERROR != 0,
            priority: (rest >> 32) as u16 as i16,
            timeout_ms: 0,
            parent,
            is_counted: rest & FLAG_COUNTED != 0,
            extension: Extension::default(),
        };
        Ok((wanted, nested.collect::<Result<_, _>>()?, spec))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_survives_the_way() {
        let mut wanted = Wanted::task(
            &TaskOptions::new()
                .num_cpus(0.5)
                .resource("tpu", 2.0)
                .max_retries(-1)
                .priority(-3)
                .name("x"),
        );
        wanted.on_error = true;
        wanted.is_counted = true;
        wanted.parent = u64::MAX;
        let nested = [ObjectId { index: 3, generation: 9 }];
        let mut words = vec![0; Wanted::words(&nested, &[1, 2, 3])];
        wanted.write(&nested, &[1, 2, 3], &mut words);
        let (back, ids, spec) = Wanted::from_words(&words).expect("well formed");
        let extension = std::mem::take(&mut wanted.extension);
        assert_eq!((back, ids.as_slice(), spec), (wanted, &nested[..], &[1, 2, 3][..]));
        assert!(Wanted::from_words(&words[..6]).is_err());
        let mut bytes = rkyv::util::AlignedVec::new();
        bytes.extend_from_slice(&extension.to_bytes());
        assert_eq!(Extension::from_bytes(&bytes).expect("readable"), extension);
        assert!(Extension::default().to_bytes().is_empty());
    }
}
