//! A submission as words: how a client hands a task, an actor or a call to the node.
//!
//! | word | holds |
//! | --- | --- |
//! | 0 | cpus, gpus in ten-thousandths, 32 bits each |
//! | 1 | memory, bytes |
//! | 2 | retries (32, signed), priority (16, signed), flags (16) |
//! | 3 | timeout, milliseconds |
//! | 4 | bytes of the extension (32), references inside values (32) |
//! | 5 … | those references: index, generation |
//! | … | the extension, padded to words: names and what only actors have |
//! | … | the task's words ([`crate::spec`]) |

use rkyv::{Archive, Deserialize, Serialize, rancor};
use rustyray_store::ObjectId;

use crate::{
    options::{ActorOptions, Demand, TaskOptions},
    spec::Malformed,
};

const FLAG_ON_ERROR: u64 = 1 << 48;

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
    pub(crate) extension: Extension,
}

/// The rare part.
#[derive(Clone, Debug, Default, PartialEq, Archive, Serialize, Deserialize)]
pub(crate) struct Extension {
    pub(crate) name: Option<String>,
    pub(crate) custom: Vec<(String, u32)>,
    pub(crate) actor: Option<ActorWanted>,
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
}

impl Wanted {
    fn of(demand: &Demand) -> Wanted {
        let custom = demand.custom.iter().flatten().map(|&(name, parts)| (name.to_owned(), parts));
        Wanted {
            cpus: demand.cpus,
            gpus: demand.gpus,
            memory_bytes: demand.memory_bytes,
            extension: Extension { custom: custom.collect(), ..Extension::default() },
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
        wanted
    }

    /// What an actor of `class` with these options asks for.
    pub(crate) fn actor(class: &str, options: &ActorOptions) -> Wanted {
        let mut wanted = Wanted::of(&options.demand);
        wanted.extension.name.clone_from(&options.name);
        wanted.extension.actor = Some(ActorWanted {
            class: class.to_owned(),
            detached: options.detached,
            max_restarts: options.max_restarts,
            max_task_retries: options.max_task_retries,
            max_concurrency: options.max_concurrency,
            max_pending_calls: options.max_pending_calls,
        });
        wanted
    }

    /// How many calls of the actor may overlap, 0 where it is none.
    pub(crate) fn max_concurrency(&self) -> u64 {
        self.extension.actor.as_ref().map_or(0, |actor| u64::from(actor.max_concurrency))
    }

    /// The words of a submission.
    pub(crate) fn to_words(&self, nested: &[ObjectId], spec: &[u64]) -> Vec<u64> {
        let extension = if self.extension == Extension::default() {
            Vec::new()
        } else {
            rkyv::to_bytes::<rancor::Error>(&self.extension)
                .map(|b| b.into_vec())
                .unwrap_or_default()
        };
        let mut words =
            Vec::with_capacity(5 + 2 * nested.len() + extension.len().div_ceil(8) + spec.len());
        words.extend_from_slice(&[
            u64::from(self.cpus) | u64::from(self.gpus) << 32,
            self.memory_bytes,
            u64::from(self.retries as u32)
                | u64::from(self.priority as u16) << 32
                | if self.on_error { FLAG_ON_ERROR } else { 0 },
            self.timeout_ms,
            extension.len() as u64 | (nested.len() as u64) << 32,
        ]);
        words.extend(nested.iter().flat_map(|id| [u64::from(id.index), id.generation]));
        words.extend(extension.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        }));
        words.extend_from_slice(spec);
        words
    }

    /// Reads what [`Wanted::to_words`] wrote: the wishes, the references inside values, the task's words.
    pub(crate) fn from_words(words: &[u64]) -> Result<(Wanted, Vec<ObjectId>, &[u64]), Malformed> {
        let &[resources, memory_bytes, rest, timeout_ms, lengths, ref tail @ ..] = words else {
            return Err(Malformed("shorter than a submission"));
        };
        let (extension_bytes, nested) = (lengths as u32 as usize, (lengths >> 32) as usize);
        let extension_words = extension_bytes.div_ceil(8);
        if tail.len() < 2 * nested + extension_words {
            return Err(Malformed("a submission shorter than it says"));
        }
        let (nested, tail) = tail.split_at(2 * nested);
        let (extension, spec) = tail.split_at(extension_words);
        let nested = nested.as_chunks::<2>().0.iter().map(|&[index, generation]| {
            u32::try_from(index)
                .map(|index| ObjectId { index, generation })
                .map_err(|_| Malformed("with an object index beyond 32 bits"))
        });
        let extension = if extension_bytes == 0 {
            Extension::default()
        } else {
            let mut bytes = rkyv::util::AlignedVec::<16>::with_capacity(8 * extension_words);
            extension.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
            bytes.resize(extension_bytes, 0);
            rkyv::from_bytes::<Extension, rancor::Error>(&bytes)
                .map_err(|_| Malformed("with an extension that cannot be read"))?
        };
        let wanted = Wanted {
            cpus: resources as u32,
            gpus: (resources >> 32) as u32,
            memory_bytes,
            retries: rest as u32 as i32,
            on_error: rest & FLAG_ON_ERROR != 0,
            priority: (rest >> 32) as u16 as i16,
            timeout_ms,
            extension,
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
        wanted.timeout_ms = u64::MAX;
        let nested = [ObjectId { index: 3, generation: 9 }];
        let words = wanted.to_words(&nested, &[1, 2, 3]);
        let (back, ids, spec) = Wanted::from_words(&words).expect("well formed");
        assert_eq!((back, ids.as_slice(), spec), (wanted, &nested[..], &[1, 2, 3][..]));
        assert!(Wanted::from_words(&words[..6]).is_err());
    }
}
