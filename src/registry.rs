//! What this executable can run: functions and actor classes, collected at link time.
//!
//! Every process of a program is the same executable, so an id, a hash of name and place, means the same
//! function everywhere. Two processes compare the [`digest`] of their registries when they meet; when it
//! differs they compare the names, and the error says which differ.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasherDefault, Hasher},
    sync::OnceLock,
};

use linkme::distributed_slice;
use parking_lot::RwLock;
use rkyv::{Archive, Deserialize, Serialize};

use crate::{
    call::{Call, Failure, Finished},
    error::{Error, Result},
    options::ActorOptions,
};

/// Every remote function of this executable.
#[distributed_slice]
pub static FUNCTIONS: [Function];

/// Every actor class of this executable.
#[distributed_slice]
pub static ACTORS: [ActorClass];

/// The code of a function, constructor or method: decodes its arguments, runs, and gives back the result.
///
/// ```
/// use rustyray::manual::{self, Body, Function, Plain, TaskOptions};
///
/// /// One body for two functions.
/// const LEN: Body = |call| {
///     let text: String = call.arg("text")?;
///     call.finish(Plain(text.len()))
/// };
/// #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
/// # #[linkme(crate = rustyray::manual::linkme)]
/// static LETTERS: Function = Function::new("docs::letters", concat!(file!(), ":", line!()), LEN);
/// #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
/// # #[linkme(crate = rustyray::manual::linkme)]
/// static SIGNS: Function = Function::new("docs::signs", concat!(file!(), ":", line!()), LEN);
///
/// # #[rustyray::main]
/// # async fn main() -> rustyray::Result<()> {
/// for function in [&LETTERS, &SIGNS] {
///     let len = manual::submit::<usize>(function, TaskOptions::new(), |args| {
///         args.push::<String, _>("text", "word".to_owned())
///     });
///     assert_eq!(len.await?.get().await?, 4);
/// }
/// # Ok(())
/// # }
/// ```
pub type Body = fn(&mut Call<'_>) -> Result<Finished, Failure>;

/// A remote function, as it stands in [`FUNCTIONS`].
///
/// ```
/// use rustyray::manual::{self, Function, Plain};
///
/// #[manual::linkme::distributed_slice(manual::FUNCTIONS)]
/// # #[linkme(crate = rustyray::manual::linkme)]
/// static ZERO: Function = Function::new("docs::zero", concat!(file!(), ":", line!()), |call| {
///     call.finish(Plain(0_u64))
/// });
///
/// // Whatever registered itself is there in every process of the program, in any order.
/// assert_eq!(ZERO.name(), "docs::zero");
/// assert!(manual::FUNCTIONS.iter().any(|function| function.name() == ZERO.name()));
/// ```
pub struct Function {
    id: u64,
    name: &'static str,
    site: &'static str,
    body: Body,
}

impl Function {
    /// A function by its path, the place of its definition (`file:line:column`) and its code.
    ///
    /// Name and place together must be unique in the program; the name alone need not be.
    pub const fn new(name: &'static str, site: &'static str, body: Body) -> Self {
        Function { id: id(name, site), name, site, body }
    }

    /// The function's path.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn body(&self) -> Body {
        self.body
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Function({} at {})", self.name, self.site)
    }
}

/// A constructor of an actor class: its name and its code, which ends by constructing the actor.
pub struct Constructor {
    pub(crate) name: &'static str,
    pub(crate) body: Body,
}

impl Constructor {
    /// A constructor by its name and code.
    pub const fn new(name: &'static str, body: Body) -> Self {
        Constructor { name, body }
    }
}

/// A method of an actor class: its name, its options and its code.
pub struct Method {
    pub(crate) name: &'static str,
    pub(crate) body: Body,
    pub(crate) group: Option<&'static str>,
    pub(crate) out_of_order: bool,
    pub(crate) is_exclusive: bool,
    pub(crate) is_threaded: bool,
}

impl Method {
    /// A method by its name and code. As far as it says, it takes `&self` and has to stay on the actor's
    /// own thread.
    pub const fn new(name: &'static str, body: Body) -> Self {
        Method {
            name,
            body,
            group: None,
            out_of_order: false,
            is_exclusive: false,
            is_threaded: false,
        }
    }

    /// The method takes `&mut self`: its code ends in [`Call::exclusive`] or [`Call::exclusive_async`].
    #[must_use]
    pub const fn exclusive(mut self) -> Self {
        self.is_exclusive = true;
        self
    }

    /// The method takes `&self` and blocks while it runs: where calls may overlap and the actor can be shared
    /// between threads ([`Residence`](crate::manual::Residence)), it runs on a thread beside the actor's own.
    #[must_use]
    pub const fn threaded(mut self) -> Self {
        self.is_threaded = true;
        self
    }

    /// The method counts in this concurrency group of its class.
    #[must_use]
    pub const fn concurrency_group(mut self, name: &'static str) -> Self {
        self.group = Some(name);
        self
    }

    /// A call that waits for an argument lets later calls of its caller go first.
    #[must_use]
    pub const fn out_of_order(mut self) -> Self {
        self.out_of_order = true;
        self
    }
}

/// An actor class, as it stands in [`ACTORS`].
///
/// ```
/// use rustyray::manual::{self, ActorClass, Constructor, Plain, Residence};
///
/// # struct Idler;
/// #[manual::linkme::distributed_slice(manual::ACTORS)]
/// # #[linkme(crate = rustyray::manual::linkme)]
/// static IDLER: ActorClass = ActorClass::new(
///     "docs::Idler",
///     concat!(file!(), ":", line!()),
///     &[Constructor::new("new", |call| Residence::<Idler>::construct(call, Plain(Idler)))],
///     &[],
/// );
///
/// // Whatever registered itself is there in every process of the program, in any order.
/// assert_eq!(IDLER.name(), "docs::Idler");
/// assert!(manual::ACTORS.iter().any(|class| class.name() == IDLER.name()));
/// ```
pub struct ActorClass {
    id: u64,
    name: &'static str,
    site: &'static str,
    pub(crate) constructors: &'static [Constructor],
    pub(crate) methods: &'static [Method],
    pub(crate) on_start: Option<Body>,
    pub(crate) on_stop: Option<Body>,
    pub(crate) options: Option<&'static ActorOptions>,
}

impl ActorClass {
    /// A class by its path, the place of its definition, its constructors and its methods.
    pub const fn new(
        name: &'static str,
        site: &'static str,
        constructors: &'static [Constructor],
        methods: &'static [Method],
    ) -> Self {
        ActorClass {
            id: id(name, site),
            name,
            site,
            constructors,
            methods,
            on_start: None,
            on_stop: None,
            options: None,
        }
    }

    /// What the class asks for; its concurrency groups are in force for every actor of it.
    #[must_use]
    pub const fn options(mut self, options: &'static ActorOptions) -> Self {
        self.options = Some(options);
        self
    }

    /// Code that runs after the constructor, before the first call.
    #[must_use]
    pub const fn on_start(mut self, body: Body) -> Self {
        self.on_start = Some(body);
        self
    }

    /// Code that runs after the last call, before the process ends in order.
    #[must_use]
    pub const fn on_stop(mut self, body: Body) -> Self {
        self.on_stop = Some(body);
        self
    }

    /// The class's path.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn has_groups(&self) -> bool {
        self.options.is_some_and(|options| options.groups[0].is_some())
    }

    /// Whether calls may overlap on threads, where so many of those that are in no group may overlap.
    pub(crate) fn overlaps_on_threads(&self, max_concurrency: usize) -> bool {
        (max_concurrency > 1 || self.has_groups())
            && self.methods.iter().any(|method| method.is_threaded)
    }

    /// The constructor of this name.
    ///
    /// # Panics
    /// When there is none; in a constant that is a compile error.
    pub const fn constructor(&self, name: &str) -> ConstructorIndex {
        let mut at = 0;
        while at < self.constructors.len() {
            if same(self.constructors[at].name, name) {
                return ConstructorIndex(at as u16);
            }
            at += 1;
        }
        panic!("the class has no constructor of this name")
    }

    /// The method of this name.
    ///
    /// # Panics
    /// When there is none; in a constant that is a compile error.
    pub const fn method(&self, name: &str) -> MethodIndex {
        let mut at = 0;
        while at < self.methods.len() {
            if same(self.methods[at].name, name) {
                return MethodIndex(at as u16);
            }
            at += 1;
        }
        panic!("the class has no method of this name")
    }
}

/// Names a constructor of a class.
///
/// ```
/// use rustyray::manual::{ActorClass, Constructor, ConstructorIndex, Plain, Residence};
///
/// # struct Kettle { litres: u64 }
/// static KETTLE: ActorClass = ActorClass::new(
///     "docs::Kettle",
///     concat!(file!(), ":", line!()),
///     &[
///         Constructor::new("new", |call| {
///             Residence::<Kettle>::construct(call, Plain(Kettle { litres: 1 }))
///         }),
///         Constructor::new("with_litres", |call| {
///             let litres = call.arg("litres")?;
///             Residence::<Kettle>::construct(call, Plain(Kettle { litres }))
///         }),
///     ],
///     &[],
/// );
/// # let _ = |kettle: Kettle| kettle.litres;
///
/// // Looked up when the program is compiled, where a wrong name is an error.
/// let with_litres: ConstructorIndex = const { KETTLE.constructor("with_litres") };
/// assert_ne!(with_litres, KETTLE.constructor("new"));
/// assert_eq!(KETTLE.name(), "docs::Kettle");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConstructorIndex(pub(crate) u16);

/// Names a method of a class.
///
/// ```
/// use rustyray::manual::{ActorClass, Method, MethodIndex, Plain};
///
/// # struct Dial(u64);
/// static DIAL: ActorClass = ActorClass::new(
///     "docs::Dial",
///     concat!(file!(), ":", line!()),
///     &[],
///     &[
///         Method::new("turn", |call| call.exclusive(|dial: &mut Dial| Plain(dial.0 += 1))).exclusive(),
///         Method::new("shown", |call| call.shared(|dial: &Dial| Plain(dial.0))),
///     ],
/// );
///
/// // Looked up when the program is compiled, where a wrong name is an error.
/// let shown: MethodIndex = const { DIAL.method("shown") };
/// assert_ne!(shown, DIAL.method("turn"));
/// assert!(std::panic::catch_unwind(|| DIAL.method("show")).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodIndex(pub(crate) u16);

impl fmt::Debug for ActorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorClass({} at {})", self.name, self.site)
    }
}

macro_rules! debug_by_name {
    ($($kind:ident),*) => {$(
        impl fmt::Debug for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($kind), "({})"), self.name)
            }
        }
    )*};
}
debug_by_name!(Constructor, Method);

/// Whether two names are the same; `==` is not const.
pub(crate) const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// FNV-1a over name and place: the id under which processes speak of a function.
const fn id(name: &str, site: &str) -> u64 {
    fnv(fnv(fnv(0xcbf2_9ce4_8422_2325, name.as_bytes()), b"@"), site.as_bytes())
}

const fn fnv(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

/// What has an id. It is looked up for each task and each call.
type ById<T> = HashMap<u64, T, BuildHasherDefault<IsHash>>;

/// Hashes ids, which are hashes.
#[derive(Default)]
struct IsHash(u64);

impl Hasher for IsHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = fnv(self.0, bytes);
    }

    #[inline]
    fn write_u64(&mut self, id: u64) {
        self.0 = id;
    }
}

/// The function with this id.
pub(crate) fn function(id: u64) -> Option<&'static Function> {
    static BY_ID: OnceLock<ById<&'static Function>> = OnceLock::new();
    BY_ID.get_or_init(|| FUNCTIONS.iter().map(|f| (f.id, f)).collect()).get(&id).copied()
}

/// The actor class with this id.
pub(crate) fn actor_class(id: u64) -> Option<&'static ActorClass> {
    static BY_ID: OnceLock<ById<&'static ActorClass>> = OnceLock::new();
    BY_ID.get_or_init(|| ACTORS.iter().map(|a| (a.id, a)).collect()).get(&id).copied()
}

/// One number for the whole registry: equal in two processes exactly when they can run each other's tasks.
pub(crate) fn digest() -> u64 {
    entries().iter().fold(0x51_7c_c1_b7_27_22_0a_95, |hash, entry| fnv(hash, entry.as_bytes()))
}

/// Whether every entry is one that can be meant: two of the same name and place have one id, by which each process would
/// take one of them, silently.
///
/// # Errors
/// [`Error::InvalidArgument`], which names two that cannot be told from each other.
pub(crate) fn check() -> Result<()> {
    static UNIQUE: OnceLock<Option<String>> = OnceLock::new();
    let twins = UNIQUE.get_or_init(|| {
        twins(FUNCTIONS.iter().map(|f| (f.id, f.name, f.site)))
            .or_else(|| twins(ACTORS.iter().map(|a| (a.id, a.name, a.site))))
    });
    twins.as_ref().map_or(Ok(()), |what| Err(Error::invalid(what.as_str())))
}

/// What is said of two entries with one id.
fn twins(entries: impl Iterator<Item = (u64, &'static str, &'static str)>) -> Option<String> {
    let mut known = ById::default();
    let mut found = entries.filter_map(|(id, name, site)| {
        let (known, its_site) = known.insert(id, (name, site))?;
        Some(format!(
            "`{known}` at {its_site} and `{name}` at {site} cannot be told from each other, as where a `macro_rules!` \
             repeats one: give them different names, or write them in modules of different names"
        ))
    });
    found.next()
}

/// Every entry as `name@place`, with the methods of the classes, sorted.
pub(crate) fn entries() -> Vec<String> {
    let functions = FUNCTIONS.iter().map(|f| format!("{}@{}", f.name, f.site));
    let actors = ACTORS.iter().map(|a| {
        let constructors = a.constructors.iter().map(|c| c.name);
        let methods: Vec<_> = constructors.chain(a.methods.iter().map(|m| m.name)).collect();
        format!("{}@{} {{{}}}", a.name, a.site, methods.join(", "))
    });
    let mut entries: Vec<_> = functions.chain(actors).collect();
    entries.sort();
    entries
}

/// The names of a registry's functions and classes, by id.
#[derive(Clone, Debug, Default, PartialEq, Archive, Serialize, Deserialize)]
pub(crate) struct Names {
    functions: Vec<(u64, String)>,
    classes: Vec<ClassNames>,
}

/// What a node must know of a class, whichever program it is of.
#[derive(Clone, Debug, Default, PartialEq, Archive, Serialize, Deserialize)]
struct ClassNames {
    id: u64,
    name: String,
    has_groups: bool,
    methods: Vec<MethodNames>,
}

/// The same of a method.
#[derive(Clone, Debug, Default, PartialEq, Archive, Serialize, Deserialize)]
struct MethodNames {
    name: String,
    out_of_order: bool,
}

/// The names of this executable's registry.
pub(crate) fn names() -> Names {
    let known = |method: &Method| MethodNames {
        name: method.name.to_owned(),
        out_of_order: method.out_of_order,
    };
    Names {
        functions: FUNCTIONS.iter().map(|f| (f.id, f.name.to_owned())).collect(),
        classes: ACTORS
            .iter()
            .map(|class| ClassNames {
                id: class.id,
                name: class.name.to_owned(),
                has_groups: class.has_groups(),
                methods: class.methods.iter().map(known).collect(),
            })
            .collect(),
    }
}

/// Names of other programs, whose tasks this process only passes on. An id is a hash of name and place, so
/// they do not contradict each other.
static LEARNED: RwLock<Option<Learned>> = RwLock::new(None);

#[derive(Default)]
struct Learned {
    functions: HashMap<u64, String>,
    classes: HashMap<u64, ClassNames>,
}

/// Keeps the names of another program's registry.
pub(crate) fn learn(names: &Names) {
    /// Programs are rebuilt, nodes run for weeks: what is beyond this is spoken of by its id.
    const LIMIT: usize = 1 << 16;
    let mut learned = LEARNED.write();
    let learned = learned.get_or_insert_default();
    if learned.functions.len() + learned.classes.len() < LIMIT {
        learned.functions.extend(names.functions.iter().cloned());
        learned.classes.extend(names.classes.iter().map(|class| (class.id, class.clone())));
    }
}

/// The name of the function with this id, of whichever program.
pub(crate) fn function_name(id: u64) -> Option<String> {
    if let Some(known) = function(id) {
        return Some(known.name.to_owned());
    }
    LEARNED.read().as_ref()?.functions.get(&id).cloned()
}

/// The name of the class with this id, of whichever program.
pub(crate) fn class_name(id: u64) -> Option<String> {
    if let Some(known) = actor_class(id) {
        return Some(known.name.to_owned());
    }
    LEARNED.read().as_ref()?.classes.get(&id).map(|class| class.name.clone())
}

/// The name of a method, as `Class::method`, of whichever program.
pub(crate) fn method_name(class: u64, index: u16) -> Option<String> {
    if let Some(known) = actor_class(class) {
        let method = known.methods.get(usize::from(index))?;
        return Some(format!("{}::{}", known.name, method.name));
    }
    let learned = LEARNED.read();
    let known = learned.as_ref()?.classes.get(&class)?;
    Some(format!("{}::{}", known.name, known.methods.get(usize::from(index))?.name))
}

/// Whether calls of the class may overlap by group, in whichever program.
pub(crate) fn has_groups(class: u64) -> bool {
    match actor_class(class) {
        Some(known) => known.has_groups(),
        None => {
            let learned = LEARNED.read();
            let known = learned.as_ref().and_then(|learned| learned.classes.get(&class));
            known.is_some_and(|known| known.has_groups)
        }
    }
}

/// Whether a call of the method may go before earlier ones that wait, in whichever program.
pub(crate) fn is_out_of_order(class: u64, index: u16) -> bool {
    match actor_class(class) {
        Some(known) => {
            known.methods.get(usize::from(index)).is_some_and(|method| method.out_of_order)
        }
        None => {
            let learned = LEARNED.read();
            let known = learned.as_ref().and_then(|learned| learned.classes.get(&class));
            let method = known.and_then(|known| known.methods.get(usize::from(index)));
            method.is_some_and(|method| method.out_of_order)
        }
    }
}

/// What differs between two registries, in words; `None` when nothing does. `ours` is what the node starts
/// workers of.
pub(crate) fn difference(ours: &[String], theirs: &[String]) -> Option<String> {
    let missing = |of: &[String], from: &[String]| -> Vec<String> {
        of.iter().filter(|&entry| !from.contains(entry)).cloned().collect()
    };
    let only_theirs = missing(theirs, ours);
    let only_ours = missing(ours, theirs);
    let mut said = Vec::new();
    if !only_theirs.is_empty() {
        said.push(format!("only it has {}", only_theirs.join(", ")));
    }
    if !only_ours.is_empty() {
        said.push(format!("only the node has {}", only_ours.join(", ")));
    }
    (!said.is_empty()).then(|| said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_different_places_have_different_ids() {
        assert_ne!(id("a::f", "src/a.rs:1:1"), id("a::f", "src/a.rs:9:1"));
        assert_ne!(id("a::f", "src/x.rs:1:1"), id("b::f", "src/x.rs:1:1"));
    }

    #[test]
    fn two_that_cannot_be_told_apart_are_named() {
        let known = [(1, "a::f", "src/a.rs:1:1"), (2, "a::g", "src/a.rs:2:1")];
        assert_eq!(twins(known.into_iter()), None);
        let said = twins(known.into_iter().chain([(2, "b::g", "src/b.rs:3:1")])).expect("two");
        assert!(said.contains("`a::g` at src/a.rs:2:1 and `b::g` at src/b.rs:3:1"), "{said}");
    }

    #[test]
    fn a_difference_names_what_only_one_side_has() {
        let mut theirs = entries();
        assert_eq!(difference(&entries(), &theirs), None);
        theirs.push("other::f@x.rs:1:1".into());
        let said = difference(&entries(), &theirs).expect("one side has more");
        assert!(said.contains("only it has other::f@x.rs:1:1"), "{said}");
    }
}
