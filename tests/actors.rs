//! What users rely on when they keep state in actors.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use rustyray::prelude::*;

#[rustyray::actor]
struct Counter {
    value: i64,
    seen: Vec<i64>,
}

#[rustyray::actor_methods]
impl Counter {
    pub fn new(start: i64) -> Self {
        Counter { value: start, seen: Vec::new() }
    }

    pub fn checked(start: i64) -> Result<Self, String> {
        if start < 0 { Err(format!("{start} is negative")) } else { Ok(Counter::new(start)) }
    }

    pub async fn checked_later(start: i64) -> Result<Self, String> {
        tokio::task::yield_now().await;
        Counter::checked(start)
    }

    pub async fn later(start: i64) -> Self {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        Counter::new(start)
    }

    pub fn add(&mut self, by: i64) -> i64 {
        self.note(by);
        self.value += by;
        self.value
    }

    pub async fn add_later(&mut self, by: i64) -> i64 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        self.add(by)
    }

    pub fn value(&self) -> i64 {
        self.value
    }

    pub fn seen(&self) -> Vec<i64> {
        self.seen.clone()
    }

    pub fn fail(&self) -> Result<i64, std::num::ParseIntError> {
        "x".parse()
    }

    pub fn panic(&mut self) -> i64 {
        panic!("the counter is upset")
    }

    pub fn die(&mut self) -> i64 {
        std::process::abort()
    }

    pub fn leave(&mut self) -> i64 {
        rustyray::exit_actor().expect("this is an actor");
        self.value
    }

    fn note(&mut self, by: i64) {
        self.seen.push(by);
    }
}

#[rustyray::remote]
async fn add_through(counter: CounterHandle, by: i64) -> rustyray::Result<i64> {
    counter.add(by).await?.get().await
}

#[rustyray::remote]
fn pause(ms: u64) -> i64 {
    std::thread::sleep(std::time::Duration::from_millis(ms));
    ms as i64
}

#[rustyray::actor]
struct Relay {
    to: CounterHandle,
}

#[rustyray::actor_methods]
impl Relay {
    pub fn new(to: CounterHandle) -> Self {
        Relay { to }
    }

    pub async fn pass(&mut self, by: i64) -> rustyray::Result<i64> {
        self.to.add(by).await?.get().await
    }
}

#[rustyray::test]
async fn an_actor_keeps_its_state_between_calls() -> rustyray::Result<()> {
    let counter = Counter::remote(10).await?;
    assert_eq!(counter.add(5).await?.get().await?, 15);
    assert_eq!(counter.add_later(5).await?.get().await?, 20);
    assert_eq!(counter.value().await?.get().await?, 20);
    let later = Counter::remote_later(1).await?;
    assert_eq!(later.value().await?.get().await?, 1);
    Ok(())
}

#[rustyray::test]
async fn calls_of_one_caller_run_in_order_also_past_a_slow_argument() -> rustyray::Result<()> {
    let counter = Counter::remote(0).await?;
    let slow = pause_remote::remote(30).await?;
    let mut calls = vec![counter.add(&slow).await?];
    for by in 0..500 {
        calls.push(counter.add(by).await?);
        if by % 7 == 0 {
            calls.push(counter.add_later(-1).await?);
        }
    }
    rustyray::get_all(&calls).await?;
    let seen: Vec<_> =
        counter.seen().await?.get().await?.into_iter().filter(|&by| by != -1).collect();
    assert_eq!(seen[0], 30, "the first call waited for its argument");
    assert_eq!(seen[1..], (0..500).collect::<Vec<_>>());
    Ok(())
}

#[rustyray::test]
async fn a_constructor_that_fails_is_the_cause_of_what_calls_give() -> rustyray::Result<()> {
    let good = [Counter::remote_checked(3).await?, Counter::remote_checked_later(3).await?];
    for good in good {
        assert_eq!(good.value().await?.get().await?, 3);
    }
    let bad = [Counter::remote_checked(-3).await?, Counter::remote_checked_later(-3).await?];
    for bad in bad {
        let error = bad.ready().await.expect_err("it is negative");
        assert!(error.to_string().contains("-3 is negative"), "{error}");
        let error = match bad.value().await {
            Err(error) => error,
            Ok(call) => call.get().await.expect_err("the actor is dead"),
        };
        let Error::ActorDied { cause: Some(cause), .. } = &error else { panic!("{error:?}") };
        assert!(cause.to_string().contains("-3 is negative"), "{cause}");
    }
    Ok(())
}

#[rustyray::test]
async fn an_error_or_a_panic_of_a_method_leaves_the_actor_alive() -> rustyray::Result<()> {
    let counter = Counter::remote(1).await?;
    let error = counter.fail().await?.get().await.expect_err("it fails");
    let Error::TaskFailed { task, message, .. } = &error else { panic!("{error:?}") };
    assert!(task.ends_with("Counter::fail"), "{task}");
    assert_eq!(message, "invalid digit found in string");
    let error = counter.panic().await?.get().await.expect_err("it panics");
    assert!(error.to_string().contains("the counter is upset"), "{error}");
    assert_eq!(counter.value().await?.get().await?, 1);
    Ok(())
}

#[rustyray::test]
async fn handles_are_arguments_and_parts_of_actors() -> rustyray::Result<()> {
    let counter = Counter::remote(0).await?;
    assert_eq!(add_through_remote::remote(&counter, 2).await?.get().await?, 2);
    let relay = Relay::remote(counter.clone()).await?;
    assert_eq!(relay.pass(3).await?.get().await?, 5);
    assert_eq!(counter.value().await?.get().await?, 5);
    Ok(())
}

/// A value of the user's with handles in it.
#[derive(rustyray::rkyv::Archive, rustyray::rkyv::Serialize, rustyray::rkyv::Deserialize)]
#[rkyv(crate = rustyray::rkyv)]
struct Team {
    name: String,
    lead: CounterHandle,
    others: Vec<CounterHandle>,
    spare: Option<CounterHandle>,
}

#[rustyray::remote]
async fn add_to_all(team: Team, by: i64) -> rustyray::Result<Team> {
    for counter in team.others.iter().chain([&team.lead]).chain(&team.spare) {
        counter.add(by).await?.get().await?;
    }
    Ok(team)
}

#[rustyray::test]
async fn handles_travel_inside_values_and_keep_their_actors_alive_there() -> rustyray::Result<()> {
    let make = async |start| Counter::remote(start).await;
    let team = Team {
        name: "red".to_owned(),
        lead: make(1).await?,
        others: vec![make(2).await?, make(3).await?],
        spare: None,
    };
    // As part of a stored value, of an argument, and of a result; nowhere else.
    let stored = rustyray::put(&team).await?;
    drop(team);
    let passed = add_to_all_remote::remote(&stored, 10).await?.get().await?;
    drop(stored);
    let back = add_to_all_remote::remote(passed, 100).await?;
    let team = back.get().await?;
    drop(back);
    assert_eq!(team.name, "red");
    assert_eq!(team.lead.value().await?.get().await?, 111);
    for (counter, expected) in team.others.iter().zip([112, 113]) {
        assert_eq!(counter.value().await?.get().await?, expected);
    }
    let death = team.lead.death().await?;
    drop(team);
    assert_eq!(death.get().await?.reason, rustyray::ActorEnd::Unreachable);
    Ok(())
}

#[rustyray::test]
async fn an_actor_ends_with_the_value_that_its_last_handle_is_in() -> rustyray::Result<()> {
    let lead = Counter::remote(1).await?;
    let death = lead.death().await?;
    let team = Team { name: "blue".to_owned(), lead, others: Vec::new(), spare: None };
    let stored = rustyray::put(&team).await?;
    drop(team);
    // Meanwhile the node tidies up, as it does once a second: it has to be told of what ends later.
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    assert!(!death.is_ready());
    drop(stored);
    assert_eq!(death.get().await?.reason, rustyray::ActorEnd::Unreachable);
    Ok(())
}

#[rustyray::test]
async fn a_killed_actor_says_that_it_was_killed() -> rustyray::Result<()> {
    let counter = Counter::remote(0).await?;
    assert_eq!(counter.add(1).await?.get().await?, 1);
    counter.kill().await?;
    let error = loop {
        if let Err(error) = counter.value().await?.get().await {
            break error;
        }
    };
    assert!(matches!(error, Error::ActorDied { .. } | Error::ActorUnavailable { .. }), "{error:?}");
    let error = counter.value().await?.get().await.expect_err("it is known to be dead by now");
    assert!(matches!(error, Error::ActorDied { .. }), "{error:?}");
    Ok(())
}

#[rustyray::test]
async fn an_actor_whose_process_dies_fails_its_calls() -> rustyray::Result<()> {
    let counter = Counter::remote(0).await?;
    let error = counter.die().await?.get().await.expect_err("it aborts");
    assert!(matches!(error, Error::ActorDied { .. } | Error::ActorUnavailable { .. }), "{error:?}");
    Ok(())
}

#[rustyray::test]
async fn an_actor_may_exit_on_its_own() -> rustyray::Result<()> {
    let counter = Counter::remote(7).await?;
    assert_eq!(counter.leave().await?.get().await?, 7);
    loop {
        match counter.value().await?.get().await {
            Err(Error::ActorDied { .. }) => return Ok(()),
            Err(other) => return Err(other),
            Ok(_) => {}
        }
    }
}

#[rustyray::test]
async fn a_named_actor_is_found_and_its_name_is_taken() -> rustyray::Result<()> {
    let counter = Counter::options().name("global").remote(5).await?;
    let found = Counter::get("global").await?;
    found.add(1).await?.get().await?;
    assert_eq!(counter.value().await?.get().await?, 6);
    let taken = Counter::options().name("global").remote(5).await;
    assert!(matches!(taken, Err(Error::ActorNameTaken { .. })), "{taken:?}");
    let same = Counter::options().name("global").get_if_exists(true).remote(5).await?;
    assert_eq!(same.value().await?.get().await?, 6);
    assert!(matches!(Counter::get("other").await, Err(Error::ActorNotFound { .. })));
    Ok(())
}

#[rustyray::test]
async fn an_actor_ends_with_its_last_handle() -> rustyray::Result<()> {
    let counter = Counter::options().name("short-lived").remote(5).await?;
    let clone = counter.clone();
    drop(counter);
    assert_eq!(clone.value().await?.get().await?, 5);
    drop(clone);
    loop {
        match Counter::get("short-lived").await {
            Err(Error::ActorNotFound { .. }) => return Ok(()),
            Err(other) => return Err(other),
            Ok(_) => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
        }
    }
}
