//! The whole against what must hold whatever happens: random submissions, deaths, cancellations, waits, actors
//! and groups; then everything is let go, and nothing may be lost, run too often, or kept.

use std::collections::HashMap;

use proptest::{prelude::*, sample::Index};
use rustyray_scheduler::{
    ActorId, CallerId, CancelMode, Config, Demand, GroupId, JobId, NewActor, NewGroup, ObjectKey,
    Outcome, Placement, Readiness, Strategy as GroupStrategy, TaskId, WorkerId,
};

use crate::fake::{Entry, POOL, Wish, World};

const WORKERS: u16 = 4;

#[derive(Clone, Debug)]
enum Step {
    Submit {
        dependencies: Vec<Index>,
        halves: u8,
        gpu: bool,
        retries: u16,
        priority: i8,
        job: u8,
        parent: Option<Index>,
        group: Option<Index>,
    },
    Object,
    Settle {
        which: Index,
        well: bool,
    },
    Begin(u16),
    Complete {
        worker: u16,
        which: Index,
        how: u8,
    },
    Die(u16),
    Cancel {
        which: Index,
        force: bool,
        recursive: bool,
    },
    Blocked(u16),
    Unblocked(u16),
    Actor {
        restarts: u32,
        retries: u16,
        out_of_order: bool,
        max_handed: usize,
    },
    Call {
        actor: Index,
        caller: u8,
        dependencies: Vec<Index>,
    },
    Kill {
        actor: Index,
        restart: bool,
    },
    Exit(Index),
    Release(Index),
    Forget(Index),
    Group {
        halves: Vec<u8>,
    },
    RemoveGroup(Index),
    CallerLeft(u8),
    JobEnded(u8),
    Full(bool),
    Dispatch,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let worker = || 1..=WORKERS;
    let some = || prop::collection::vec(any::<Index>(), 0..4);
    let submit = (
        some(),
        0..7_u8,
        prop::bool::weighted(0.2),
        0..3_u16,
        -1..2_i8,
        0..3_u8,
        prop::option::weighted(0.3, any::<Index>()),
        prop::option::weighted(0.2, any::<Index>()),
    )
        .prop_map(|(dependencies, halves, gpu, retries, priority, job, parent, group)| {
            Step::Submit { dependencies, halves, gpu, retries, priority, job, parent, group }
        });
    let step = prop_oneof![
        12 => submit,
        2 => Just(Step::Object),
        3 => (any::<Index>(), prop::bool::weighted(0.8))
            .prop_map(|(which, well)| Step::Settle { which, well }),
        10 => worker().prop_map(Step::Begin),
        10 => (worker(), any::<Index>(), 0..8_u8)
            .prop_map(|(worker, which, how)| Step::Complete { worker, which, how }),
        2 => worker().prop_map(Step::Die),
        2 => (any::<Index>(), any::<bool>(), any::<bool>())
            .prop_map(|(which, force, recursive)| Step::Cancel { which, force, recursive }),
        2 => worker().prop_map(Step::Blocked),
        2 => worker().prop_map(Step::Unblocked),
        2 => (0..2_u32, 0..2_u16, any::<bool>(), 0..3_usize)
            .prop_map(|(restarts, retries, out_of_order, max_handed)| {
                Step::Actor { restarts, retries, out_of_order, max_handed }
            }),
        6 => (any::<Index>(), 0..3_u8, some())
            .prop_map(|(actor, caller, dependencies)| Step::Call { actor, caller, dependencies }),
        1 => (any::<Index>(), any::<bool>())
            .prop_map(|(actor, restart)| Step::Kill { actor, restart }),
        1 => any::<Index>().prop_map(Step::Exit),
        1 => any::<Index>().prop_map(Step::Release),
        1 => any::<Index>().prop_map(Step::Forget),
        1 => prop::collection::vec(0..4_u8, 1..3).prop_map(|halves| Step::Group { halves }),
        1 => any::<Index>().prop_map(Step::RemoveGroup),
        1 => (0..3_u8).prop_map(Step::CallerLeft),
        1 => (1..3_u8).prop_map(Step::JobEnded),
        1 => any::<bool>().prop_map(Step::Full),
        1 => Just(Step::Dispatch),
    ];
    prop::collection::vec(step, 1..120)
}

fn pick<T: Clone>(all: &[T], which: &Index) -> Option<T> {
    (!all.is_empty()).then(|| which.get(all).clone())
}

/// A world, and what is known of it from outside.
struct Run {
    world: World,
    /// How often each may begin at most.
    allowed: HashMap<u64, usize>,
    needs: HashMap<u64, Vec<ObjectKey>>,
    tasks: Vec<TaskId>,
    external: Vec<ObjectKey>,
    objects: Vec<ObjectKey>,
    actors: Vec<ActorId>,
    groups: Vec<GroupId>,
    under_way: HashMap<u16, Vec<Entry>>,
}

impl Run {
    fn new() -> Self {
        let world = World::new(Config {
            cpus: f64::from(WORKERS),
            gpus: 2.0,
            queue_depth: 3,
            max_workers: 16,
            ..Config::default()
        });
        (1..=WORKERS).for_each(|worker| world.join(worker));
        Run {
            world,
            allowed: HashMap::new(),
            needs: HashMap::new(),
            tasks: Vec::new(),
            external: Vec::new(),
            objects: Vec::new(),
            actors: Vec::new(),
            groups: Vec::new(),
            under_way: HashMap::new(),
        }
    }

    fn keys(&self, which: &[Index]) -> Vec<ObjectKey> {
        which.iter().filter_map(|which| pick(&self.objects, which)).collect()
    }

    fn take(&mut self, step: Step) {
        let world = &self.world;
        let scheduler = &world.scheduler;
        match step {
            Step::Submit { dependencies, halves, gpu, retries, priority, job, parent, group } => {
                let dependencies = self.keys(&dependencies);
                let mut demand = Demand::cpus(f64::from(halves) / 2.0);
                if gpu {
                    demand = demand.with_gpus(0.5);
                }
                let group = group.and_then(|which| pick(&self.groups, &which));
                let wish = Wish {
                    pool: POOL,
                    demand,
                    job: u32::from(job),
                    priority: i32::from(priority),
                    alike: 0,
                    retries,
                    placement: group.map_or(Placement::Inherit, |group| Placement::Group {
                        group,
                        bundle: None,
                        capture_children: true,
                    }),
                    parent: parent.and_then(|which| pick(&self.tasks, &which)),
                };
                // A group may be gone or too small.
                if let Ok((name, task, made)) = world.try_submit(&dependencies, wish) {
                    self.allowed.insert(name, 1 + usize::from(retries));
                    self.needs.insert(name, dependencies);
                    self.tasks.push(task);
                    self.objects.push(made);
                }
            }
            Step::Object => {
                let object = world.object();
                self.external.push(object);
                self.objects.push(object);
            }
            Step::Settle { which, well } => {
                if let Some(object) = pick(&self.external, &which)
                    && world.readiness(object) == Readiness::Pending
                {
                    if well { world.seal(object) } else { world.fail(object, "outside") }
                }
            }
            Step::Begin(worker) => self.begin(worker),
            Step::Complete { worker, which, how } => {
                self.complete(worker, |len| which.index(len), how)
            }
            Step::Die(worker) => {
                self.under_way.remove(&worker);
                self.world.die(worker);
                self.world.join(worker);
            }
            Step::Cancel { which, force, recursive } => {
                if let Some(task) = pick(&self.tasks, &which) {
                    let _ = scheduler.cancel(task, CancelMode { force, recursive });
                }
            }
            Step::Blocked(worker) => scheduler.blocked(WorkerId(worker)),
            Step::Unblocked(worker) => scheduler.unblocked(WorkerId(worker)),
            Step::Actor { restarts, retries, out_of_order, max_handed } => {
                let (actor, name, token) = world.actor_with(|new| NewActor {
                    max_restarts: restarts,
                    max_task_retries: retries,
                    out_of_order,
                    max_handed,
                    job: JobId(1),
                    ..new
                });
                self.allowed.insert(name, 1 + restarts as usize);
                self.needs.insert(name, Vec::new());
                self.actors.push(actor);
                self.objects.push(token);
                self.tasks.extend(scheduler.producer(token));
            }
            Step::Call { actor, caller, dependencies } => {
                let dependencies = self.keys(&dependencies);
                let Some(actor) = pick(&self.actors, &actor) else { return };
                if let Ok((name, task)) = world.try_call(actor, u64::from(caller), &dependencies) {
                    self.allowed.insert(name, 2);
                    self.needs.insert(name, dependencies);
                    self.tasks.push(task);
                }
            }
            Step::Kill { actor, restart } => {
                if let Some(actor) = pick(&self.actors, &actor) {
                    scheduler.kill_actor(actor, restart);
                }
            }
            Step::Exit(actor) => {
                pick(&self.actors, &actor).into_iter().for_each(|a| scheduler.exit_actor(a));
            }
            Step::Release(actor) => {
                pick(&self.actors, &actor).into_iter().for_each(|a| scheduler.release_actor(a));
            }
            Step::Forget(actor) => {
                pick(&self.actors, &actor).into_iter().for_each(|a| scheduler.forget_actor(a));
            }
            Step::Group { halves } => {
                let bundles: Vec<Demand> =
                    halves.iter().map(|&halves| Demand::cpus(f64::from(halves) / 2.0)).collect();
                let new = NewGroup {
                    bundles: &bundles,
                    strategy: GroupStrategy::Pack,
                    job: JobId(1),
                    detached: false,
                    by: None,
                };
                self.groups.extend(scheduler.create_group(new));
            }
            Step::RemoveGroup(which) => {
                pick(&self.groups, &which).into_iter().for_each(|g| scheduler.remove_group(g));
            }
            Step::CallerLeft(caller) => scheduler.caller_left(CallerId(u64::from(caller))),
            Step::JobEnded(job) => scheduler.job_ended(JobId(u32::from(job))),
            Step::Full(full) => {
                world.host().room = if full { 1 } else { 256 };
            }
            Step::Dispatch => scheduler.dispatch(),
        }
    }

    fn begin(&mut self, worker: u16) {
        let Some(entry) = self.world.begin(worker) else { return };
        let name = entry.job.name;
        for &object in &self.needs[&name] {
            assert_eq!(self.world.readiness(object), Readiness::Ready, "its arguments are there");
        }
        let begun = self.world.host().begun[&name];
        assert!(begun <= self.allowed[&name], "{name} began {begun} times");
        self.under_way.entry(worker).or_default().push(entry);
    }

    fn complete(&mut self, worker: u16, which: impl Fn(usize) -> usize, how: u8) {
        let Some(entries) = self.under_way.get_mut(&worker) else { return };
        if entries.is_empty() {
            return;
        }
        let entry = entries.swap_remove(which(entries.len()));
        let outcome = match how {
            0 => Outcome::Failed { retry: true },
            1 => Outcome::Failed { retry: false },
            2 => Outcome::Cancelled,
            _ => Outcome::Done,
        };
        self.world.complete(worker, &entry, outcome);
    }

    /// Those whom the scheduler had killed die.
    fn reap(&mut self) -> bool {
        let condemned: Vec<WorkerId> = {
            let inner = self.world.host();
            inner.killed.iter().chain(&inner.stopped).copied().collect()
        };
        for worker in &condemned {
            self.under_way.remove(&worker.0);
        }
        self.world.reap() > 0
    }

    /// Everything is let go: in the end nothing is left.
    fn let_go(&mut self) {
        self.world.host().room = 256;
        (1..=WORKERS).for_each(|worker| self.world.scheduler.unblocked(WorkerId(worker)));
        (1..=WORKERS).for_each(|worker| self.world.scheduler.unblocked(WorkerId(worker)));
        for group in std::mem::take(&mut self.groups) {
            self.world.scheduler.remove_group(group);
        }
        for object in self.external.clone() {
            if self.world.readiness(object) == Readiness::Pending {
                self.world.seal(object);
            }
        }
        self.world.scheduler.dispatch();
        let mut quiet = 0;
        // First all that can go on; then the actors are ended, and the rest goes on.
        while quiet < 2 {
            let mut went_on = self.reap();
            for worker in 1..=WORKERS {
                self.begin(worker);
                while self.under_way.get(&worker).is_some_and(|entries| !entries.is_empty()) {
                    self.complete(worker, |_| 0, 9);
                    went_on = true;
                }
            }
            if went_on {
                continue;
            }
            quiet += 1;
            for actor in std::mem::take(&mut self.actors) {
                self.world.scheduler.kill_actor(actor, false);
                quiet = 0;
            }
        }
        let finished = self.world.host().finished.len();
        assert_eq!(finished, self.allowed.len(), "each ends once");
        for object in &self.objects {
            assert_ne!(self.world.readiness(*object), Readiness::Pending, "{object:?}");
        }
        self.world.assert_at_rest();
    }

    fn assert_sound(&self) {
        let resources = self.world.scheduler.resources();
        assert!(resources.free.gpu <= resources.total.gpu);
        assert!(resources.free.cpu <= resources.total.cpu);
        let workers = self.world.scheduler.workers();
        let queued: usize = workers.iter().map(|worker| worker.queued).sum();
        let there: usize = self.world.host().queues.values().map(|queue| queue.len()).sum();
        assert_eq!(queued, there, "what is handed out is what is there");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_or_run_too_often_or_kept(steps in steps()) {
        let mut run = Run::new();
        for step in steps {
            run.take(step);
            run.reap();
            run.assert_sound();
        }
        run.let_go();
    }
}

/// A few hundred, or as many as asked for.
fn cases() -> u32 {
    std::env::var("SCHEDULER_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(256)
}
