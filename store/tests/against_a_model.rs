//! The object table does what a plain table does, step by step: several clients put, refer, view, nest and let
//! go, memory runs short, and clients die between any two steps, with work half done.

mod direct;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use proptest::prelude::*;
use rustyray_store::*;

const CLIENTS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Put {
        client: usize,
        len: usize,
    },
    Contain {
        client: usize,
        of: Vec<prop::sample::Index>,
    },
    Retain {
        client: usize,
        object: prop::sample::Index,
    },
    Release {
        client: usize,
        object: prop::sample::Index,
    },
    View {
        client: usize,
        object: prop::sample::Index,
    },
    DropView(prop::sample::Index),
    Collect,
    /// Dies with a reservation, and with memory that it was writing.
    Kill {
        client: usize,
        reserved: bool,
        writing: Option<usize>,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = 0..CLIENTS;
    let len = prop_oneof![3 => 1..300usize, 2 => 1..20_000usize, 1 => 1..200_000usize];
    let object = any::<prop::sample::Index>;
    let step = prop_oneof![
        6 => (client.clone(), len.clone()).prop_map(|(client, len)| Step::Put { client, len }),
        2 => (client.clone(), prop::collection::vec(object(), 0..4))
            .prop_map(|(client, of)| Step::Contain { client, of }),
        3 => (client.clone(), object()).prop_map(|(client, object)| Step::Retain { client, object }),
        6 => (client.clone(), object()).prop_map(|(client, object)| Step::Release { client, object }),
        3 => (client.clone(), object()).prop_map(|(client, object)| Step::View { client, object }),
        3 => object().prop_map(Step::DropView),
        2 => Just(Step::Collect),
        2 => (client, any::<bool>(), proptest::option::of(len))
            .prop_map(|(client, reserved, writing)| Step::Kill { client, reserved, writing }),
    ];
    prop::collection::vec(step, 0..60)
}

/// What the model knows of one object.
struct Known {
    value: Vec<u8>,
    /// How many references each client has.
    references: [usize; CLIENTS],
    inside: Vec<ObjectId>,
}

struct World {
    node: Arc<Node>,
    clients: Vec<Arc<Client>>,
    objects: BTreeMap<ObjectId, Known>,
    views: Vec<(usize, ObjectId, Pin)>,
    puts: u64,
}

impl World {
    fn new(config: Config) -> World {
        let node = Node::create(config).expect("a store");
        let clients = (0..CLIENTS).map(|_| Self::join(&node)).collect();
        World { node, clients, objects: BTreeMap::new(), views: Vec::new(), puts: 0 }
    }

    fn join(node: &Arc<Node>) -> Arc<Client> {
        direct::join(node).expect("there is room")
    }

    /// The objects that somebody refers to or views, and what they contain.
    fn alive(&self) -> BTreeSet<ObjectId> {
        let held = self.objects.iter().filter(|(_, known)| known.references != [0; CLIENTS]);
        let mut left: Vec<ObjectId> =
            held.map(|(&id, _)| id).chain(self.views.iter().map(|view| view.1)).collect();
        let mut alive = BTreeSet::new();
        while let Some(id) = left.pop() {
            if alive.insert(id) {
                left.extend(&self.objects[&id].inside);
            }
        }
        alive
    }

    fn any(&self, at: prop::sample::Index) -> Option<ObjectId> {
        let alive: Vec<ObjectId> = self.alive().into_iter().collect();
        (!alive.is_empty()).then(|| alive[at.index(alive.len())])
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Put { client, len } => self.put(client, len, Vec::new())?,
            Step::Contain { client, of } => {
                let inside: BTreeSet<_> = of.into_iter().filter_map(|at| self.any(at)).collect();
                self.put(client, 64, inside.into_iter().collect())?;
            }
            Step::Retain { client, object } => {
                let Some(id) = self.any(object) else { return Ok(()) };
                prop_assert!(self.clients[client].retain(id).is_ok(), "somebody refers to {id}");
                self.objects.get_mut(&id).expect("known").references[client] += 1;
            }
            Step::Release { client, object } => {
                let of_client =
                    self.objects.iter().filter(|(_, known)| known.references[client] > 0);
                let held: Vec<ObjectId> = of_client.map(|(&id, _)| id).collect();
                if held.is_empty() {
                    return Ok(());
                }
                let id = held[object.index(held.len())];
                self.clients[client].release(id);
                self.objects.get_mut(&id).expect("known").references[client] -= 1;
            }
            Step::View { client, object } => {
                let Some(id) = self.any(object) else { return Ok(()) };
                match self.clients[client].pin(id) {
                    Ok(view) => {
                        prop_assert!(*view == self.objects[&id].value[..], "{id} has changed");
                        if self.views.len() < 4 {
                            self.views.push((client, id, view));
                        }
                    }
                    // Spilled, and all that is in memory is viewed.
                    Err(PinError::Restore { .. }) => {}
                    Err(error) => prop_assert!(false, "{id} cannot be read: {error:?}"),
                }
            }
            Step::DropView(at) => {
                if !self.views.is_empty() {
                    let at = at.index(self.views.len());
                    self.views.swap_remove(at);
                }
            }
            Step::Collect => {}
            Step::Kill { client, reserved, writing } => {
                let dead = &self.clients[client];
                if reserved {
                    let _ = dead.reserve();
                }
                let half = writing.map(|len| dead.create(len));
                // From here on it does nothing any more, as a process that was killed.
                dead.abandon();
                drop(half);
                self.views.retain(|view| view.0 != client);
                let _ = direct::end(&self.node, dead);
                self.clients[client] = Self::join(&self.node);
                self.objects.values_mut().for_each(|known| known.references[client] = 0);
            }
        }
        self.check()
    }

    fn put(
        &mut self,
        of_client: usize,
        len: usize,
        inside: Vec<ObjectId>,
    ) -> Result<(), TestCaseError> {
        self.puts += 1;
        let value: Vec<u8> = (0..len as u64).map(|at| ((at * self.puts) >> 3) as u8).collect();
        let client = &self.clients[of_client];
        for &id in &inside {
            prop_assert!(client.retain(id).is_ok(), "somebody refers to {id}");
        }
        let id = client.reserve().expect("there are slots");
        let stored = client.create(len).map_err(SealError::from).and_then(|mut writer| {
            writer.copy_from_slice(&value);
            client.seal(id, 0, writer, 0, &inside)
        });
        inside.iter().for_each(|&id| client.release(id));
        match stored {
            Ok(()) => {
                let mut references = [0; CLIENTS];
                references[of_client] = 1;
                let known = Known { value, references, inside };
                prop_assert!(self.objects.insert(id, known).is_none(), "{id} was used before");
            }
            Err(SealError::Store(Error::StoreFull { .. })) => client.release(id),
            Err(error) => prop_assert!(false, "a put failed: {error:?}"),
        }
        Ok(())
    }

    /// Exactly what somebody refers to is there.
    fn check(&mut self) -> Result<(), TestCaseError> {
        self.node.collect(usize::MAX);
        let alive = self.alive();
        let home = self.node.client();
        for id in self.objects.keys() {
            let found = home.status(*id);
            let expected = if alive.contains(id) { Status::Sealed } else { Status::Gone };
            prop_assert_eq!(found, expected, "{}", id);
        }
        self.objects.retain(|id, _| alive.contains(id));
        for (_, id, view) in &self.views {
            prop_assert!(**view == self.objects[id].value[..], "{id} changed under a view");
        }
        Ok(())
    }

    /// Everybody goes; nothing is left.
    fn end(mut self) -> Result<(), TestCaseError> {
        self.views.clear();
        for client in &self.clients {
            let _ = direct::end(&self.node, client);
        }
        self.node.collect(usize::MAX);
        let stats = self.node.stats();
        prop_assert_eq!((stats.objects, stats.used_bytes, stats.spilled_bytes), (0, 0, 0));
        Ok(())
    }
}

fn run(config: Config, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut world = World::new(config);
    steps.into_iter().try_for_each(|step| world.step(step))?;
    world.end()
}

fn config() -> Config {
    Config {
        capacity_bytes: 16 << 20,
        max_objects: 1024,
        spill_dir: None,
        put_timeout: std::time::Duration::ZERO,
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_is_a_table_of_what_somebody_refers_to(steps in steps()) {
        run(config(), steps)?;
    }

    #[test]
    fn it_is_one_also_when_objects_come_and_go_between_memory_and_disk(steps in steps()) {
        let spill_dir = Some(std::env::temp_dir());
        run(Config { capacity_bytes: 512 << 10, spill_dir, ..config() }, steps)?;
    }
}
