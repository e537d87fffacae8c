//! A task against its objects: the last one releases it, exactly once; none that settles is missed; whoever
//! remembers an earlier task or object touches neither.
#![cfg(rustyray_loom)]

use std::sync::Arc;

use loom::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};
use rustyray_scheduler::{
    ObjectKey, TaskId,
    models::{Dependents, FreeList, Gate, Met, Phase},
};

const TASK: TaskId = TaskId::from_bits(1 << 28);

fn key(generation: u64) -> ObjectKey {
    ObjectKey { index: 0, generation }
}

/// One slot's objects, of two generations, and one task.
struct World {
    dependents: Dependents,
    sealed: [AtomicBool; 3],
    gate: Gate,
    released: AtomicUsize,
}

impl World {
    fn new() -> Arc<World> {
        Arc::new(World {
            dependents: Dependents::new(),
            sealed: [(); 3].map(|()| AtomicBool::new(false)),
            gate: Gate::new(),
            released: AtomicUsize::new(0),
        })
    }

    fn meet(&self) {
        if self.gate.meet(1, 1) == Met::Released {
            self.released.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_sealed(&self, object: ObjectKey) -> bool {
        self.sealed[object.generation as usize].load(Ordering::Acquire)
    }

    fn settled(&self, object: ObjectKey) {
        let mut settled = vec![object];
        while let Some(object) = settled.pop() {
            let later = self.dependents.drain(object, |task, awaited| {
                if task == TASK && awaited == object {
                    self.meet();
                }
            });
            settled.extend(later.into_iter().filter(|&later| self.is_sealed(later)));
        }
    }

    fn seal(&self, object: ObjectKey) {
        self.sealed[object.generation as usize].store(true, Ordering::Release);
        self.settled(object);
    }

    /// As the scheduler submits a task that waits.
    fn submit(&self, object: ObjectKey) {
        self.gate.publish(1, 2);
        self.dependents.add(object, TASK).expect("there is room");
        if self.is_sealed(object) {
            self.settled(object);
        }
        self.meet();
    }
}

#[test]
fn an_object_that_settles_releases_who_waits_for_it_once() {
    loom::model(|| {
        let world = World::new();
        let settler = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.seal(key(1)))
        };
        world.submit(key(1));
        settler.join().unwrap();
        assert_eq!(world.released.load(Ordering::Relaxed), 1);
        assert_eq!(world.gate.phase(1), Some(Phase::Released));
    });
}

#[test]
fn who_settles_an_earlier_object_hides_nobody_from_a_later_one() {
    loom::model(|| {
        let world = World::new();
        let late = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.settled(key(1)))
        };
        let settler = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.seal(key(2)))
        };
        world.submit(key(2));
        late.join().unwrap();
        settler.join().unwrap();
        assert_eq!(world.released.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn one_of_release_failure_and_cancellation_ends_the_waiting() {
    loom::model(|| {
        let gate = Arc::new(Gate::new());
        gate.publish(1, 1);
        let failing = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || usize::from(gate.fail(1)))
        };
        let cancelling = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || usize::from(gate.cancel(1)))
        };
        let released = usize::from(gate.meet(1, 1) == Met::Released);
        assert_eq!(released + failing.join().unwrap() + cancelling.join().unwrap(), 1);
    });
}

#[test]
fn a_record_that_is_used_again_is_not_touched_by_who_knew_the_one_before() {
    loom::model(|| {
        let gate = Arc::new(Gate::new());
        gate.publish(1, 1);
        let stale = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || gate.meet(1, 1))
        };
        if gate.cancel(1) {
            gate.end();
            assert!(gate.free());
            gate.publish(2, 1);
            assert_eq!(stale.join().unwrap(), Met::Not);
            assert_eq!(gate.phase(2), Some(Phase::Waiting));
        } else {
            assert_eq!(stale.join().unwrap(), Met::Released);
        }
    });
}

#[test]
fn an_index_is_in_the_list_or_somebodys() {
    loom::model(|| {
        let list = Arc::new(FreeList::default());
        let links = Arc::new([(); 2].map(|()| loom::sync::atomic::AtomicU32::new(0)));
        list.push(0, &links[0]);
        list.push(1, &links[1]);
        let other = {
            let (list, links) = (Arc::clone(&list), Arc::clone(&links));
            thread::spawn(move || {
                let first = list.pop(|index| links.get(index as usize));
                let second = list.pop(|index| links.get(index as usize));
                // One goes back, the other is kept.
                match (first, second) {
                    (Some(first), second) => {
                        list.push(first, &links[first as usize]);
                        second
                    }
                    (None, kept) => kept,
                }
            })
        };
        let mut mine = Vec::new();
        for _ in 0..2 {
            mine.extend(list.pop(|index| links.get(index as usize)));
        }
        let kept = other.join().unwrap();
        mine.extend(list.pop(|index| links.get(index as usize)));
        mine.extend(kept);
        mine.sort_unstable();
        assert_eq!(mine, [0, 1], "each once");
    });
}
