//! A task as words: what travels through the rings from submitter to node to worker.
//!
//! | word | holds |
//! | --- | --- |
//! | 0 | [`Kind`] (8 bits), flags (8), returns (16), argument words (32) |
//! | 1 | task id, given by the node's scheduler when it dispatches |
//! | 2 | function id, or actor class id |
//! | 3 | timeout in milliseconds, or of a construction how many calls may overlap (32), job (32) |
//! | 4 | attempt (16), constructor or method index (16), argument count (32) |
//! | 5, 6 | of a stream: the grant with which its producer begins, as index and generation |
//! | … | while tasks are recorded: who submitted it, two words ([`Submitter`]), of which a task's worker is not told |
//! | … | return objects: index, generation |
//! | … | arguments, each: tag (8) and length in bytes (56), then the bytes padded to a word; or tag and index, then generation |
//! | … | the extension, where there is one: length in bytes, then the bytes padded to a word |
//!
//! Where that is longer than a ring's entry, the words from 5 on are put into the store as one object, the
//! *body*, and words 5 and 6 name it; the grant follows in words 7 and 8. What a peer wrote is checked by
//! [`Header::parse`] before it is used.

use std::cell::Cell;

use rustyray_scheduler::TaskId;
use rustyray_store::ObjectId;

use crate::{call::Ids, registry};

/// Payload words of an entry of any ring; with its header word an entry fills four cache lines.
pub(crate) const ENTRY_WORDS: usize = 31;

/// Words before the return objects.
pub(crate) const HEADER_WORDS: usize = 5;

/// The most objects that one task may return.
pub(crate) const MAX_RETURNS: usize = 10_000;

/// What an entry asks its reader to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Run a function.
    Task = 1,
    /// Construct an actor; this worker is its process from then on.
    Construct = 2,
    /// Run a method of the actor that lives here.
    Method = 3,
    /// End in order: run `on_stop` first where an actor lives here.
    Stop = 4,
    /// What runs here may use these gpus from now on. Its words after the header are gpus, and parts of them
    /// in ten-thousandths, 32 bits each; its index tells whether more follow.
    Gpus = 5,
    /// Take calls by a direct line from now on; its function names it.
    Attach = 6,
}

impl Kind {
    #[inline]
    pub(crate) fn from_byte(byte: u8) -> Option<Kind> {
        Some(match byte {
            1 => Kind::Task,
            2 => Kind::Construct,
            3 => Kind::Method,
            4 => Kind::Stop,
            5 => Kind::Gpus,
            6 => Kind::Attach,
            _ => return None,
        })
    }
}

const FLAG_BODY: u64 = 1 << 8;
const FLAG_RETRIED: u64 = 1 << 9;
const FLAG_STREAM: u64 = 1 << 10;
const FLAG_EXTENSION: u64 = 1 << 11;
const FLAG_SUBMITTER: u64 = 1 << 12;

const TAG_VALUE: u64 = 1;
const TAG_REFERENCE: u64 = 2;

/// What does not hold of words that should be a task.
#[derive(Debug, thiserror::Error)]
#[error("a task's words are malformed: {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

thread_local! {
    /// Memory for words, from one call to the next: those of most calls are needed until they are in a queue only.
    static SPARE: Cell<Vec<u64>> = const { Cell::new(Vec::new()) };
}

/// Memory for a call's words; room for so many, unless more was given back.
#[inline]
pub(crate) fn spare(room: usize) -> Vec<u64> {
    let spare = SPARE.try_with(Cell::take).unwrap_or_default();
    if spare.capacity() == 0 { Vec::with_capacity(room) } else { spare }
}

/// Keeps the memory of words that are not needed any more for this thread's next call.
#[inline]
pub(crate) fn give_back(words: Vec<u64>) {
    if words.capacity() <= ENTRY_WORDS {
        // A thread that is ending has no next call.
        let _ = SPARE.try_with(|spare| spare.set(words));
    }
}

/// A task's words while they are being written.
#[derive(Debug)]
pub(crate) struct SpecWriter {
    words: Vec<u64>,
    /// Where the returns begin.
    first: usize,
    arguments: u32,
}

impl SpecWriter {
    /// Begins a task in `words`, whose capacity is used again.
    #[inline]
    pub(crate) fn new(mut words: Vec<u64>, kind: Kind, function: u64, index: u16) -> Self {
        words.clear();
        words.extend_from_slice(&[kind as u64, 0, function, 0, u64::from(index) << 16]);
        SpecWriter { words, first: HEADER_WORDS, arguments: 0 }
    }

    /// Says whose work it is, and its *extra*: of a construction how many calls may overlap, of anything
    /// else for how many milliseconds each attempt may run, 0 for as long as it takes.
    #[inline]
    pub(crate) fn set_terms(&mut self, job: u32, extra: u64) {
        let extra = u32::try_from(extra).unwrap_or(u32::MAX);
        self.words[3] = u64::from(extra) | u64::from(job) << 32;
    }

    /// Makes it a stream that begins with this grant; before the first return.
    pub(crate) fn push_grant(&mut self, grant: ObjectId) {
        debug_assert_eq!(self.words.len(), HEADER_WORDS, "the grant comes first");
        self.words[0] |= FLAG_STREAM;
        self.words.extend_from_slice(&[u64::from(grant.index), grant.generation]);
        self.first += 2;
    }

    /// Says within which task or call it is submitted; before the first return.
    #[cold]
    pub(crate) fn push_submitter(&mut self, submitter: Submitter) {
        debug_assert_eq!(self.words[0] >> 16, 0, "the submitter comes before the returns");
        self.words[0] |= FLAG_SUBMITTER;
        self.words.extend_from_slice(&submitter.to_words());
        self.first += 2;
    }

    /// Names the next return object; all of them come before the first argument.
    #[inline]
    pub(crate) fn push_return(&mut self, id: ObjectId) {
        debug_assert_eq!(self.arguments, 0, "returns come before arguments");
        self.words[0] += 1 << 16;
        self.words.extend_from_slice(&[u64::from(id.index), id.generation]);
    }

    /// Appends a reference as the next argument.
    pub(crate) fn push_reference(&mut self, id: ObjectId) {
        self.words.extend_from_slice(&[TAG_REFERENCE | u64::from(id.index) << 8, id.generation]);
        self.arguments += 1;
    }

    /// Appends `bytes`, an archive, as the next argument.
    pub(crate) fn push_value(&mut self, bytes: &[u8]) {
        self.words.push(TAG_VALUE | (bytes.len() as u64) << 8);
        self.push_bytes(bytes);
        self.arguments += 1;
    }

    fn push_bytes(&mut self, bytes: &[u8]) {
        let (chunks, rest) = bytes.as_chunks::<8>();
        self.words.extend(chunks.iter().map(|&chunk| u64::from_le_bytes(chunk)));
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.words.push(u64::from_le_bytes(last));
        }
    }

    /// The finished words. `extension` is what few tasks have; empty for the others.
    #[inline]
    pub(crate) fn finish(mut self, extension: &[u8]) -> Vec<u64> {
        let returns = (self.words[0] >> 16 & 0xffff) as usize;
        let arguments = self.words.len() - self.first - 2 * returns;
        self.words[0] |= (arguments as u64) << 32;
        self.words[4] |= u64::from(self.arguments) << 32;
        if !extension.is_empty() {
            self.words[0] |= FLAG_EXTENSION;
            self.words.push(extension.len() as u64);
            self.push_bytes(extension);
        }
        self.words
    }
}

/// The bytes of words. Word by word: an iterator over bytes takes forty times as long where it is not optimised.
pub(crate) fn bytes_of(words: &[u64]) -> Vec<u8> {
    let mut bytes = vec![0; 8 * words.len()];
    for (chunk, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *chunk = word.to_le_bytes();
    }
    bytes
}

/// Splits words that do not fit an entry: the head that does, naming `body`, which holds the rest.
pub(crate) fn head_of(words: &[u64], body: ObjectId) -> Vec<u64> {
    let mut head = words[..HEADER_WORDS].to_vec();
    head[0] |= FLAG_BODY;
    head.extend_from_slice(&[u64::from(body.index), body.generation]);
    if words[0] & FLAG_STREAM != 0 {
        head.extend_from_slice(&words[HEADER_WORDS..HEADER_WORDS + 2]);
    }
    head
}

/// Puts together what [`head_of`] split: the words again, from their head and the words of the body.
pub(crate) fn joined(head: &[u64], body: &[u64]) -> Vec<u64> {
    let mut words = [&head[..HEADER_WORDS], body].concat();
    words[0] &= !FLAG_BODY;
    words
}

/// Whether these are the words of a stream.
pub(crate) fn is_stream(words: &[u64]) -> bool {
    words.first().is_some_and(|first| first & FLAG_STREAM != 0)
}

/// Has a stream begin with another grant: its entry, whole or as a head, is about to be dispatched.
pub(crate) fn regrant(entry: &mut [u64], grant: ObjectId) {
    let at = if entry[0] & FLAG_BODY == 0 { HEADER_WORDS } else { HEADER_WORDS + 2 };
    entry[at..at + 2].copy_from_slice(&[u64::from(grant.index), grant.generation]);
}

/// What the node has to know of a task's words, beside the words.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) header: Header,
    pub(crate) returns: Ids,
    /// The objects that it takes as arguments.
    pub(crate) dependencies: Vec<ObjectId>,
    /// The bytes of the extension.
    pub(crate) extension: rkyv::util::AlignedVec<16>,
}

/// Reads all of a task's words.
pub(crate) fn read(words: &[u64]) -> Result<Known, Malformed> {
    let header = Header::parse(words)?;
    let mut parts = header.split(&words[HEADER_WORDS..])?;
    let returns = match header.returns {
        1 => parts.returns().next().transpose()?.map_or_else(Ids::none, Ids::One),
        _ => Ids::Several(parts.returns().collect::<Result<_, _>>()?),
    };
    let extension = parts.extension();
    let mut dependencies = Vec::new();
    while let Some(argument) = parts.arguments.next()? {
        if let Argument::Reference(id) = argument {
            dependencies.push(id);
        }
    }
    Ok(Known { header, returns, dependencies, extension })
}

/// Names the attempt under which the node dispatches `words`, and the scheduler's id of the task. With
/// `retried` a failure of this attempt is only reported, since there will be another.
pub(crate) fn address(words: &mut [u64], task: u64, attempt: u16, retried: bool) {
    words[0] = if retried { words[0] | FLAG_RETRIED } else { words[0] & !FLAG_RETRIED };
    words[1] = task;
    words[4] = words[4] & !0xffff | u64::from(attempt);
}

/// Within what a task was submitted: the words of a [`Submitter`], zeroes where that is not recorded.
pub(crate) fn submitter_of(words: &[u64]) -> [u64; 2] {
    let first = words.first().copied().unwrap_or(0);
    if first & FLAG_SUBMITTER == 0 {
        return [0; 2];
    }
    let at = submitter_at(first);
    words.get(at..at + 2).and_then(|two| two.try_into().ok()).unwrap_or([0; 2])
}

/// Writes the entry for a worker that has room for all of these words, and says how long it is. A task is not told within
/// what it was submitted: who hands it out knows, and without these two words it lies in one cache line.
#[inline]
pub(crate) fn write_entry(words: &[u64], entry: &mut [u64; ENTRY_WORDS]) -> usize {
    let first = words.first().copied().unwrap_or(0);
    if first & FLAG_SUBMITTER == 0 || first & 0xff != Kind::Task as u64 {
        entry[..words.len()].copy_from_slice(words);
        return words.len();
    }
    let at = submitter_at(first).min(words.len());
    let (head, rest) = words.split_at(at);
    let rest = rest.get(2..).unwrap_or_default();
    entry[..at].copy_from_slice(head);
    entry[at..at + rest.len()].copy_from_slice(rest);
    entry[0] = first & !FLAG_SUBMITTER;
    at + rest.len()
}

/// Where the submitter stands in words that begin with this one.
fn submitter_at(first: u64) -> usize {
    if first & FLAG_STREAM == 0 { HEADER_WORDS } else { HEADER_WORDS + 2 }
}

/// The words of an entry that asks a worker to end in order.
pub(crate) fn stop() -> [u64; HEADER_WORDS] {
    [Kind::Stop as u64, 0, 0, 0, 0]
}

/// The words of the entries that tell a worker which gpus it may use.
pub(crate) fn gpus(gpus: impl IntoIterator<Item = (u32, u32)>) -> Vec<Vec<u64>> {
    let words: Vec<u64> =
        gpus.into_iter().map(|(gpu, share)| u64::from(gpu) | u64::from(share) << 32).collect();
    let mut chunks = words.chunks(ENTRY_WORDS - HEADER_WORDS).peekable();
    let mut entries = Vec::new();
    loop {
        let chunk = chunks.next().unwrap_or_default();
        let more = u64::from(chunks.peek().is_some());
        let head = [Kind::Gpus as u64, 0, 0, 0, more << 16 | (chunk.len() as u64) << 32];
        entries.push([&head[..], chunk].concat());
        if more == 0 {
            return entries;
        }
    }
}

/// The words of an entry that attaches an actor to a direct line.
pub(crate) fn attach(line: u64) -> [u64; HEADER_WORDS] {
    [Kind::Attach as u64, 0, line, 0, 0]
}

/// The name of what is run: a function's path, a class's, or `Class::method`.
pub(crate) fn name_of(kind: Kind, function: u64, index: u16) -> String {
    let known = match kind {
        Kind::Task => registry::function_name(function),
        Kind::Construct => registry::class_name(function),
        Kind::Method | Kind::Stop | Kind::Gpus | Kind::Attach => {
            registry::method_name(function, index)
        }
    };
    known.unwrap_or_else(|| format!("{function:016x}"))
}

/// Marks the word of a call that came by a direct line; no task of the scheduler, nor on top of another, has this bit.
pub(crate) const BY_LINE: u64 = 1 << TaskId::BITS;

/// Within what a task was submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Submitter {
    /// A task, or a call that the scheduler knows, by its number.
    Task(u64),
    /// A call that came by a direct line and has no number, by the first object that it returns.
    Call(ObjectId),
}

impl Submitter {
    /// The second word of a task; no generation is that large.
    const NUMBERED: u64 = u64::MAX;
    /// The same where the first is a word of [`Submitter::to_word`].
    const SHORT: u64 = u64::MAX - 1;

    /// Two words, never both 0.
    pub(crate) fn to_words(self) -> [u64; 2] {
        match self {
            Submitter::Task(number) => [number, Submitter::NUMBERED],
            Submitter::Call(ObjectId { index, generation }) => [u64::from(index), generation],
        }
    }

    /// The one word by which what it submits names it: a task's number; of a call the slot of what it returns, and as much
    /// of the generation as there is room for, so that two of one word are 2^30 uses of that slot apart.
    pub(crate) fn to_word(self) -> u64 {
        match self {
            Submitter::Task(number) => number,
            Submitter::Call(ObjectId { index, generation }) => {
                BY_LINE | (generation & ((1 << 30) - 1)) << 32 | u64::from(index)
            }
        }
    }

    /// That word where there is room for two, and it is all that is known.
    pub(crate) fn note_of(word: u64) -> [u64; 2] {
        [word, Submitter::SHORT]
    }

    /// The word in what [`Submitter::note_of`] gave, or of what [`Submitter::to_words`] wrote.
    pub(crate) fn noted(words: [u64; 2]) -> Option<u64> {
        match words {
            [word, Submitter::SHORT] => Some(word),
            [first, second] => Submitter::from_words(first, second).map(Submitter::to_word),
        }
    }

    /// Whether all that is known is the word.
    pub(crate) fn is_short(words: [u64; 2]) -> bool {
        words[1] == Submitter::SHORT
    }

    /// Reads what [`Submitter::to_words`] wrote; `None` for two zeroes, and for what it did not write.
    pub(crate) fn from_words(first: u64, second: u64) -> Option<Submitter> {
        match (first, second) {
            (0, 0) => None,
            (number, Submitter::NUMBERED) => Some(Submitter::Task(number)),
            (_, Submitter::SHORT) => None,
            (index, generation) => Some(Submitter::Call(object_id(index, generation).ok()?)),
        }
    }
}

/// The fixed part of a task, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) task: u64,
    pub(crate) function: u64,
    pub(crate) attempt: u16,
    pub(crate) index: u16,
    pub(crate) arguments: u32,
    pub(crate) returns: u32,
    argument_words: u32,
    /// A failure is reported and not sealed: another attempt follows.
    pub(crate) retried: bool,
    /// The object that holds the words from [`HEADER_WORDS`] on, where they did not fit.
    pub(crate) body: Option<ObjectId>,
    /// Of a stream: the grant with which its producer begins.
    pub(crate) grant: Option<ObjectId>,
    /// Whose work it is.
    pub(crate) job: u32,
    /// See [`SpecWriter::set_terms`].
    pub(crate) extra: u32,
    extended: bool,
    has_submitter: bool,
}

impl Header {
    /// What names this task or call, which returns `first` and perhaps more; `None` of what nobody can ask for.
    #[inline]
    pub(crate) fn who(&self, first: Option<ObjectId>) -> Option<Submitter> {
        match self.task {
            0 => first.map(Submitter::Call),
            number => Some(Submitter::Task(number)),
        }
    }

    /// The name of what is run: a function's path, a class's, or `Class::method`.
    pub(crate) fn name(&self) -> String {
        name_of(self.kind, self.function, self.index)
    }

    /// Reads the fixed part of `words`.
    #[inline]
    pub(crate) fn parse(words: &[u64]) -> Result<Header, Malformed> {
        let &[first, task, function, terms, fifth, ..] = words else {
            return Err(Malformed("shorter than its header"));
        };
        let kind = Kind::from_byte(first as u8).ok_or(Malformed("of an unknown kind"))?;
        let body = if first & FLAG_BODY == 0 {
            None
        } else {
            let &[index, generation, ..] = &words[HEADER_WORDS..] else {
                return Err(Malformed("shorter than the name of its body"));
            };
            Some(object_id(index, generation)?)
        };
        let grant = if first & FLAG_STREAM == 0 {
            None
        } else {
            let at = if body.is_some() { HEADER_WORDS + 2 } else { HEADER_WORDS };
            let &[index, generation, ..] = &words[at.min(words.len())..] else {
                return Err(Malformed("shorter than the name of its grant"));
            };
            Some(object_id(index, generation)?)
        };
        let returns = (first >> 16 & 0xffff) as u32;
        if returns as usize > MAX_RETURNS {
            return Err(Malformed("with more return objects than a task may have"));
        }
        Ok(Header {
            kind,
            task,
            function,
            attempt: fifth as u16,
            index: (fifth >> 16) as u16,
            arguments: (fifth >> 32) as u32,
            returns,
            argument_words: (first >> 32) as u32,
            retried: first & FLAG_RETRIED != 0,
            body,
            grant,
            job: (terms >> 32) as u32,
            extra: terms as u32,
            extended: first & FLAG_EXTENSION != 0,
            has_submitter: first & FLAG_SUBMITTER != 0,
        })
    }

    /// Splits `rest`, the words after the header, into return objects and arguments.
    pub(crate) fn split<'a>(&self, rest: &'a [u64]) -> Result<Parts<'a>, Malformed> {
        let grant = if self.grant.is_some() { 2 } else { 0 };
        let first = grant + if self.has_submitter { 2 } else { 0 };
        let (returns, argument_words) = (2 * self.returns as usize, self.argument_words as usize);
        if rest.len() < first + returns + argument_words {
            return Err(Malformed("shorter than it says"));
        }
        let submitter = match &rest[grant..first] {
            &[first, second] => Submitter::from_words(first, second),
            _ => None,
        };
        let (returns, rest) = rest[first..].split_at(returns);
        let (arguments, rest) = rest.split_at(argument_words);
        let extension = match rest.split_first() {
            Some((&len, rest)) if self.extended => {
                if (len as usize).div_ceil(8) > rest.len() {
                    return Err(Malformed("with an extension longer than itself"));
                }
                Some((rest, len as usize))
            }
            _ if self.extended => return Err(Malformed("without the extension it announced")),
            _ => None,
        };
        let arguments = Arguments { words: arguments, left: self.arguments };
        Ok(Parts { submitter, returns, arguments, extension })
    }
}

fn object_id(index: u64, generation: u64) -> Result<ObjectId, Malformed> {
    let index =
        u32::try_from(index).map_err(|_| Malformed("with an object index beyond 32 bits"))?;
    Ok(ObjectId { index, generation })
}

/// The variable part of a task.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    /// Within what it was submitted, where that was recorded.
    pub(crate) submitter: Option<Submitter>,
    returns: &'a [u64],
    pub(crate) arguments: Arguments<'a>,
    extension: Option<(&'a [u64], usize)>,
}

impl Parts<'_> {
    /// The bytes of the extension; empty where there is none.
    pub(crate) fn extension(&self) -> rkyv::util::AlignedVec<16> {
        let Some((words, len)) = self.extension else { return rkyv::util::AlignedVec::new() };
        let mut bytes = rkyv::util::AlignedVec::with_capacity(8 * len.div_ceil(8));
        words[..len.div_ceil(8)]
            .iter()
            .for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        bytes.resize(len, 0);
        bytes
    }

    /// The objects that the task returns.
    pub(crate) fn returns(&self) -> impl Iterator<Item = Result<ObjectId, Malformed>> {
        self.returns
            .as_chunks::<2>()
            .0
            .iter()
            .map(|&[index, generation]| object_id(index, generation))
    }
}

/// The arguments that are still to be read.
#[derive(Clone, Debug)]
pub(crate) struct Arguments<'a> {
    words: &'a [u64],
    left: u32,
}

/// One argument.
#[derive(Debug)]
pub enum Argument<'a> {
    /// An archive: `len` bytes at the start of these words.
    Value { words: &'a [u64], len: usize },
    /// An object that holds the value.
    Reference(ObjectId),
}

impl<'a> Arguments<'a> {
    /// No arguments.
    pub(crate) fn none() -> Arguments<'static> {
        Arguments { words: &[], left: 0 }
    }

    /// The next argument, `None` after the last.
    pub(crate) fn next(&mut self) -> Result<Option<Argument<'a>>, Malformed> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let (&head, rest) =
            self.words.split_first().ok_or(Malformed("without an argument it announced"))?;
        match head & 0xff {
            TAG_VALUE => {
                let len = (head >> 8) as usize;
                let words = len.div_ceil(8);
                if words > rest.len() {
                    return Err(Malformed("with an argument longer than itself"));
                }
                let (value, rest) = rest.split_at(words);
                self.words = rest;
                Ok(Some(Argument::Value { words: value, len }))
            }
            TAG_REFERENCE => {
                let (&generation, rest) =
                    rest.split_first().ok_or(Malformed("with a reference cut in two"))?;
                self.words = rest;
                Ok(Some(Argument::Reference(object_id(head >> 8, generation)?)))
            }
            _ => Err(Malformed("with an argument of an unknown kind")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_submits_has_one_word_however_it_was_noted() {
        let call = Submitter::Call(ObjectId { index: u32::MAX, generation: (1 << 39) - 1 });
        let other = Submitter::Call(ObjectId { index: u32::MAX, generation: 1 });
        let task = Submitter::Task(7);
        for who in [call, other, task] {
            let word = who.to_word();
            assert_eq!(word & BY_LINE != 0, who != task);
            assert_eq!(word >> 63, 0, "it is no task on top of another");
            assert_eq!(Submitter::noted(Submitter::note_of(word)), Some(word));
            assert_eq!(Submitter::noted(who.to_words()), Some(word));
            assert!(Submitter::is_short(Submitter::note_of(word)));
            assert!(!Submitter::is_short(who.to_words()));
        }
        assert_ne!(call.to_word(), other.to_word());
        assert_eq!(Submitter::noted([0; 2]), None);
        let [word, short] = Submitter::note_of(call.to_word());
        assert_eq!(Submitter::from_words(word, short), None, "it is not all of it");
    }

    fn written() -> Vec<u64> {
        let mut spec = SpecWriter::new(Vec::new(), Kind::Method, 77, 3);
        spec.set_terms(12, 1_500);
        spec.push_grant(ObjectId { index: 4, generation: 8 });
        spec.push_submitter(Submitter::Task(99));
        spec.push_return(ObjectId { index: 9, generation: 2 });
        spec.push_value(b"eleven byte");
        spec.push_reference(ObjectId { index: u32::MAX, generation: 1 << 39 });
        let mut words = spec.finish(b"an extension");
        address(&mut words, 1234, 6, true);
        words
    }

    #[test]
    fn what_is_written_is_read_back() {
        let words = written();
        let header = Header::parse(&words).expect("well formed");
        assert_eq!((header.kind, header.task, header.function), (Kind::Method, 1234, 77));
        assert_eq!((header.attempt, header.index, header.retried), (6, 3, true));
        assert_eq!((header.job, header.extra), (12, 1_500));
        assert_eq!(header.grant, Some(ObjectId { index: 4, generation: 8 }));
        let mut parts = header.split(&words[HEADER_WORDS..]).expect("well formed");
        assert_eq!(parts.submitter, Some(Submitter::Task(99)));
        let returns: Vec<_> = parts.returns().map(|id| id.expect("an id")).collect();
        assert_eq!(returns, [ObjectId { index: 9, generation: 2 }]);
        match parts.arguments.next().expect("well formed") {
            Some(Argument::Value { words, len: 11 }) => {
                assert_eq!(words[0].to_le_bytes(), *b"eleven b")
            }
            other => panic!("expected a value of 11 bytes, got {other:?}"),
        }
        match parts.arguments.next().expect("well formed") {
            Some(Argument::Reference(id)) => assert_eq!(id.index, u32::MAX),
            other => panic!("expected a reference, got {other:?}"),
        }
        assert!(parts.arguments.next().expect("well formed").is_none());
        assert_eq!(&parts.extension()[..], b"an extension");
    }

    #[test]
    fn a_submitter_survives_the_way() {
        let call = Submitter::Call(ObjectId { index: 0, generation: 1 });
        for submitter in [Submitter::Task(7), Submitter::Task(u64::MAX), call] {
            let [first, second] = submitter.to_words();
            assert_eq!(Submitter::from_words(first, second), Some(submitter));
        }
        assert_eq!(Submitter::from_words(0, 0), None);
    }

    #[test]
    fn a_task_is_not_told_within_what_it_was_submitted_and_a_call_is() {
        let id = ObjectId { index: 9, generation: 2 };
        for grant in [None, Some(ObjectId { index: 4, generation: 8 })] {
            for (kind, told) in [(Kind::Task, None), (Kind::Method, Some(Submitter::Task(99)))] {
                let mut spec = SpecWriter::new(Vec::new(), kind, 77, 3);
                if let Some(grant) = grant {
                    spec.push_grant(grant);
                }
                spec.push_submitter(Submitter::Task(99));
                spec.push_return(id);
                spec.push_value(b"eleven byte");
                let words = spec.finish(b"an extension");
                assert_eq!(submitter_of(&words), Submitter::Task(99).to_words());
                let mut entry = [0; ENTRY_WORDS];
                let len = write_entry(&words, &mut entry);
                let header = Header::parse(&entry[..len]).expect("well formed");
                assert_eq!((header.kind, header.grant), (kind, grant));
                let mut parts = header.split(&entry[HEADER_WORDS..len]).expect("well formed");
                assert_eq!(parts.submitter, told);
                assert_eq!(parts.returns().next().and_then(Result::ok), Some(id));
                assert!(matches!(
                    parts.arguments.next(),
                    Ok(Some(Argument::Value { len: 11, .. }))
                ));
                assert_eq!(&parts.extension()[..], b"an extension");
            }
        }
        let plain = SpecWriter::new(Vec::new(), Kind::Task, 77, 3).finish(b"");
        assert_eq!(submitter_of(&plain), [0; 2]);
        let mut entry = [0; ENTRY_WORDS];
        assert_eq!(write_entry(&plain, &mut entry), plain.len());
        assert_eq!(entry[..plain.len()], plain);
    }

    #[test]
    fn a_stream_can_be_told_to_begin_with_another_grant() {
        let (body, grant) =
            (ObjectId { index: 1, generation: 2 }, ObjectId { index: 6, generation: 7 });
        let mut whole = written();
        let mut head = head_of(&whole, body);
        regrant(&mut whole, grant);
        regrant(&mut head, grant);
        assert_eq!(Header::parse(&whole).expect("well formed").grant, Some(grant));
        let header = Header::parse(&head).expect("well formed");
        assert_eq!((header.body, header.grant), (Some(body), Some(grant)));
        assert!(header.split(&whole[HEADER_WORDS..]).is_ok());
    }

    #[test]
    fn words_cut_short_anywhere_are_refused() {
        let words = written();
        for len in 0..words.len() {
            let outcome = Header::parse(&words[..len])
                .and_then(|header| header.split(&words[HEADER_WORDS..len]).map(|_| ()));
            assert!(outcome.is_err(), "{len} of {} words were taken for a task", words.len());
        }
    }
}
