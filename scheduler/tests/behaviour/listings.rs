//! What is listed is what there is, in pages.

use rustyray_scheduler::{ActorState, Cursor, Demand, TaskState};

use crate::fake::World;

#[test]
fn tasks_are_listed_where_they_stand_page_by_page() {
    let world = World::cpus(1);
    let waits = world.object();
    let (_, waiting, _) = world.submit(&[waits, waits]);
    let tasks: Vec<_> = (0..200).map(|_| world.submit(&[]).1).collect();
    let mut listed = Vec::new();
    let mut from = Some(Cursor::default());
    while let Some(cursor) = from {
        let page = world.scheduler.tasks(cursor, 7, |info, spec| (*info, spec.name));
        assert!(page.items.len() <= 7);
        listed.extend(page.items);
        from = page.next;
    }
    assert_eq!(listed.len(), 201);
    let state = |task| listed.iter().find(|(info, _)| info.id == task).expect("listed").0.state;
    assert_eq!(state(waiting), TaskState::Waiting { objects: 2 });
    let worker = rustyray_scheduler::WorkerId(1);
    assert_eq!(state(tasks[0]), TaskState::Running { worker });
    assert_eq!(state(tasks[1]), TaskState::Queued { worker });
    assert_eq!(state(tasks[199]), TaskState::Ready);
    // And without going through the pages.
    assert_eq!(world.scheduler.live(), 201);
    for (info, name) in &listed {
        let found = world.scheduler.task(info.id, |info, spec| (*info, spec.name));
        assert_eq!(found, Some((*info, *name)));
    }
    world.run_all();
    assert_eq!(world.scheduler.live(), 1, "the one that waits");
    assert_eq!(world.scheduler.task(tasks[0], |info, _| *info), None);
}

#[test]
fn workers_actors_and_resources_are_listed() {
    let world = World::cpus(2);
    let (actor, ..) = world.actor(0, 0);
    world.run_all();
    world.call(actor, 1, &[]);
    let actors = world.scheduler.actors(Cursor::default(), 10).items;
    assert_eq!(actors.len(), 1);
    assert_eq!((actors[0].id, actors[0].state), (actor, ActorState::Alive));
    assert_eq!(actors[0].unfinished, 1);
    assert_eq!(world.scheduler.live(), 2, "its creation stays while it lives");
    let workers = world.scheduler.workers();
    let home = workers.iter().find(|worker| worker.actor == Some(actor)).expect("it lives");
    assert_eq!(Some(home.id), actors[0].worker);
    assert!(home.running.is_none() && home.first.is_some(), "{home:?}");
    assert_eq!(world.scheduler.actor_of(home.id), Some(actor));
    let resources = world.scheduler.resources();
    assert_eq!((resources.total.cpu, resources.free.cpu), (20_000, 10_000));
    let bundles = [Demand::cpus(0.5)];
    let new = rustyray_scheduler::NewGroup {
        bundles: &bundles,
        strategy: Default::default(),
        job: Default::default(),
        detached: false,
        by: None,
    };
    let group = world.scheduler.create_group(new).expect("it fits");
    let groups = world.scheduler.groups(Cursor::default(), 10).items;
    assert_eq!((groups[0].id, groups[0].bundles[0].cpu), (group, 5000));
}
