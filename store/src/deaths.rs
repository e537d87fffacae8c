//! Tests: the allocator (blocks, leases and extents) against a plain list of what is whose, while clients die
//! between any two steps.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;

use crate::{
    Admission, Client, ClientId, ClientSet, Config, Error, Node, ObjectId, Reply, Request, Status,
    Transport, TransportError, Wake, Writer,
    fault::{self, death},
    place::Place,
};

/// A client's requests, answered at once; it may die before and after each.
struct Direct {
    node: Arc<Node>,
    client: ClientId,
}

impl Transport for Direct {
    fn call(&self, request: Request) -> Result<Reply, TransportError> {
        fault::point("request.asked");
        // SAFETY: this is the transport of the client that has this number.
        let reply = death::spares(|| unsafe { self.node.serve(self.client, request) });
        fault::point("request.answered");
        Ok(reply)
    }
}

struct Silent;

impl Wake for Silent {
    fn wake(&self, _clients: ClientSet) {}
}

const CLIENTS: usize = 2;

/// After how many points of a step its client dies; most do not.
type Death = Option<u32>;

#[derive(Clone, Debug)]
enum Step {
    /// Gets memory and writes to it; somebody else may refer to the object that it is for.
    Create {
        client: usize,
        len: usize,
        other: Option<usize>,
        death: Death,
    },
    /// Seals it, perhaps much shorter than was thought.
    Seal {
        which: prop::sample::Index,
        shrinks: bool,
        death: Death,
    },
    /// Gives it back.
    Abort {
        which: prop::sample::Index,
        death: Death,
    },
    Release {
        client: usize,
        which: prop::sample::Index,
    },
    Kill {
        client: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = 0..CLIENTS;
    let len = prop_oneof![1 => 1..500usize, 5 => 1000..4000usize, 1 => 1..20_000usize, 1 => 1..60_000usize];
    let which = any::<prop::sample::Index>;
    let death = prop_oneof![8 => Just(None), 1 => (0..12_u32).prop_map(Some)];
    let step = prop_oneof![
        8 => (client.clone(), len, proptest::option::of(client.clone()), death.clone())
            .prop_map(|(client, len, other, death)| Step::Create { client, len, other, death }),
        6 => (which(), any::<bool>(), death.clone())
            .prop_map(|(which, shrinks, death)| Step::Seal { which, shrinks, death }),
        4 => (which(), death).prop_map(|(which, death)| Step::Abort { which, death }),
        5 => (client.clone(), which()).prop_map(|(client, which)| Step::Release { client, which }),
        1 => client.prop_map(|client| Step::Kill { client }),
    ];
    prop::collection::vec(step, 0..120)
}

fn pick(which: prop::sample::Index, of: usize) -> Option<usize> {
    (of > 0).then(|| which.index(of))
}

/// The bytes that `seed` stands for.
fn pattern(seed: u64) -> impl Iterator<Item = u8> {
    (0..).map(move |at: u64| (at.wrapping_mul(2 * seed + 1) >> 3) as u8)
}

fn is_pattern(bytes: &[u8], seed: u64) -> bool {
    pattern(seed).zip(bytes).all(|(expected, &found)| expected == found)
}

/// Memory that is being written.
struct Draft {
    client: usize,
    id: ObjectId,
    other: Option<usize>,
    writer: Writer,
    seed: u64,
}

/// A sealed object, and who refers to it.
struct Object {
    id: ObjectId,
    holders: BTreeSet<usize>,
    seed: u64,
}

struct World {
    node: Arc<Node>,
    clients: Vec<Arc<Client>>,
    drafts: Vec<Draft>,
    objects: Vec<Object>,
    seeds: u64,
}

impl World {
    fn new() -> Self {
        let config = Config {
            capacity_bytes: 1 << 20,
            max_objects: 512,
            put_timeout: Duration::ZERO,
            ..Config::default()
        };
        let node = Node::create(config).expect("a store");
        let clients = (0..CLIENTS).map(|_| Self::join(&node)).collect();
        World { node, clients, drafts: Vec::new(), objects: Vec::new(), seeds: 0 }
    }

    fn join(node: &Arc<Node>) -> Arc<Client> {
        let Admission { client, geometry, segments, .. } = node.admit().expect("there is room");
        let transport = Arc::new(Direct { node: Arc::clone(node), client });
        // SAFETY: all of it is of this admission; and `Direct` has the node answer on the spot.
        let client =
            unsafe { Client::attach(geometry, segments, client, transport, Arc::new(Silent)) };
        client.expect("attached")
    }

    /// A step of a client, which may die in it: then it is reaped, and `None` is the outcome.
    fn dying<R>(
        &mut self,
        client: usize,
        death: Death,
        step: impl FnOnce(&Arc<Client>) -> R,
    ) -> Option<R> {
        let acting = Arc::clone(&self.clients[client]);
        let outcome = match death {
            Some(points) => death::after(&acting, points, || step(&acting)),
            None => Some(step(&acting)),
        };
        if outcome.is_none() {
            self.kill(client);
        }
        outcome
    }

    fn kill(&mut self, client: usize) {
        let dead = &self.clients[client];
        dead.abandon();
        let number = dead.id();
        let (lost, drafts): (Vec<_>, Vec<_>) =
            self.drafts.drain(..).partition(|draft| draft.client == client);
        self.drafts = drafts;
        self.objects.iter_mut().for_each(|object| {
            object.holders.remove(&client);
        });
        // SAFETY: what it was writing is dropped below, after it was abandoned; nobody had a view of its, nor uses it
        // any more. It has been replaced by another before its number is reaped again.
        let _ = unsafe { self.node.reap(number) };
        self.clients[client] = Self::join(&self.node);
        for draft in &mut self.drafts {
            draft.other.take_if(|other| *other == client);
        }
        // What will never be sealed is let go of.
        for draft in lost {
            draft.other.into_iter().for_each(|other| self.clients[other].release(draft.id));
        }
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Create { client, len, other, death } => {
                self.seeds += 1;
                let seed = self.seeds;
                let made = self.dying(client, death, |client| {
                    let mut writer = client.create(len)?;
                    for (byte, value) in writer.reserved_mut().iter_mut().zip(pattern(seed)) {
                        *byte = value;
                    }
                    Ok((client.reserve()?, writer))
                });
                match made {
                    Some(Ok((id, writer))) => {
                        let other = other.filter(|&other| other != client);
                        if let Some(other) = other {
                            let held = self.clients[other].retain(id);
                            prop_assert!(held.is_ok(), "{id} is reserved");
                        }
                        self.drafts.push(Draft { client, id, other, writer, seed });
                    }
                    None | Some(Err(Error::StoreFull { .. })) => {}
                    Some(Err(error)) => prop_assert!(false, "{error:?}"),
                }
            }
            Step::Seal { which, shrinks, death } => {
                let Some(at) = pick(which, self.drafts.len()) else { return Ok(()) };
                let Draft { client, id, other, mut writer, seed } = self.drafts.swap_remove(at);
                if shrinks {
                    writer.truncate(1 + writer.len() / 8);
                }
                let sealed = self.dying(client, death, |client| client.seal(id, 0, writer, 0, &[]));
                if let Some(sealed) = &sealed {
                    prop_assert!(sealed.is_ok(), "{sealed:?}");
                }
                let holders = sealed.is_some().then_some(client).into_iter().chain(other);
                if self.node.client().status(id) == Status::Sealed {
                    self.objects.push(Object { id, holders: holders.collect(), seed });
                } else {
                    prop_assert!(sealed.is_none(), "a seal that went well is one");
                    holders.for_each(|holder| self.clients[holder].release(id));
                }
            }
            Step::Abort { which, death } => {
                let Some(at) = pick(which, self.drafts.len()) else { return Ok(()) };
                let Draft { client, id, other, writer, .. } = self.drafts.swap_remove(at);
                let lived = self.dying(client, death, |_| drop(writer)).is_some();
                let holders = lived.then_some(client).into_iter().chain(other);
                holders.for_each(|holder| self.clients[holder].release(id));
            }
            Step::Release { client, which } => {
                let held = self.objects.iter_mut().filter(|of| of.holders.contains(&client));
                let mut held: Vec<_> = held.collect();
                let Some(at) = pick(which, held.len()) else { return Ok(()) };
                let object = &mut held[at];
                object.holders.remove(&client);
                self.clients[client].release(object.id);
            }
            Step::Kill { client } => self.kill(client),
        }
        self.check()
    }

    /// What is lent is what somebody writes or refers to, each at a place of its own and unharmed.
    fn check(&mut self) -> Result<(), TestCaseError> {
        self.node.collect(usize::MAX);
        let home = self.node.client();
        let mut pieces = Vec::new();
        for draft in &self.drafts {
            let writer = &draft.writer;
            prop_assert!(is_pattern(writer, draft.seed), "what is being written has changed");
            pieces.push((writer.place(), writer.capacity() as u64));
        }
        self.objects
            .retain(|object| !object.holders.is_empty() || home.status(object.id) != Status::Gone);
        for object in &self.objects {
            prop_assert!(!object.holders.is_empty(), "{} outlives who referred to it", object.id);
            let Ok(pin) = home.pin(object.id) else {
                return Err(TestCaseError::fail(format!("{} is lost", object.id)));
            };
            prop_assert!(is_pattern(&pin, object.seed), "{} has changed", object.id);
            let header = home.table().slot(object.id.index).header();
            let place = Place::from_word(header.location).expect("a sealed object has a place");
            pieces.push((place, header.len_bytes));
        }

        let geometry = self.node.geometry();
        let mut spans: Vec<_> = pieces
            .iter()
            .map(|(place, len)| (place.offset_bytes(), place.offset_bytes() + len))
            .collect();
        spans.sort_unstable();
        for pair in spans.windows(2) {
            prop_assert!(pair[0].1 <= pair[1].0, "{pair:?} overlap");
        }
        let mut blocks = BTreeSet::new();
        let mut extents = BTreeMap::new();
        for (place, len) in pieces {
            match place {
                Place::Block { offset_bytes } => {
                    blocks.insert((offset_bytes / geometry.block_bytes) as u32);
                }
                Place::Extent { offset_bytes } => drop(extents.insert(offset_bytes, len)),
                Place::Empty | Place::Inline { .. } | Place::File { .. } => {}
            }
        }
        let ledger = self.node.core.ledger.lock();
        let living: BTreeSet<_> = self.clients.iter().map(|client| client.id()).collect();
        let mut open = BTreeSet::new();
        for (block, lease) in ledger.blocks.iter().filter(|(_, lease)| lease.is_open) {
            let client = lease.client.expect("an open block is somebody's");
            prop_assert!(living.contains(&client), "block {block} is lent to the dead");
            prop_assert!(open.insert(client), "{client:?} has two open blocks");
            blocks.insert(*block);
        }
        let lent: BTreeSet<u32> = ledger.blocks.keys().copied().collect();
        prop_assert_eq!(&lent, &blocks, "the blocks in use");
        prop_assert!(ledger.extents.keys().eq(extents.keys()), "the extents in use");
        for ((offset, extent), (_, &len)) in ledger.extents.iter().zip(&extents) {
            prop_assert!(extent.len_bytes >= len, "{} bytes at {offset}", extent.len_bytes);
        }
        let extents: u64 = ledger.extents.values().map(|extent| extent.len_bytes).sum();
        let used = lent.len() as u64 * geometry.block_bytes + extents;
        prop_assert_eq!(ledger.space.used_bytes(), used);
        Ok(())
    }

    /// Everybody dies; the whole store is one piece again.
    fn end(mut self) -> Result<(), TestCaseError> {
        (0..CLIENTS).for_each(|client| self.kill(client));
        self.check()?;
        let capacity_bytes = self.node.geometry().capacity_bytes;
        let mut ledger = self.node.core.ledger.lock();
        prop_assert!(ledger.space.allocate(capacity_bytes, 1 << 12, 1).is_some());
        ledger.space.release(0, capacity_bytes, None.into());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn what_is_lent_is_what_somebody_writes_or_refers_to(steps in steps()) {
        let mut world = World::new();
        steps.into_iter().try_for_each(|step| world.step(step))?;
        world.end()?;
    }
}

/// Some dozens, or as many as asked for.
fn cases() -> u32 {
    std::env::var("STORE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64)
}
