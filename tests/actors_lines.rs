//! Direct lines: calls from one process to an actor in another, past the node.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{path::Path, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rustyray::prelude::*;

/// Keeps what it was told, in order.
#[rustyray::actor]
#[derive(Default)]
struct Listener {
    heard: Vec<u64>,
}

#[rustyray::actor_methods]
impl Listener {
    pub fn new() -> Self {
        Listener::default()
    }

    pub fn hear(&mut self, number: u64) -> u64 {
        self.heard.push(number);
        number
    }

    pub fn hear_both(&mut self, one: u64, other: u64) -> u64 {
        self.hear(one + other)
    }

    pub fn sum(&mut self, numbers: Vec<u64>) -> u64 {
        numbers.iter().sum()
    }

    pub fn first_of(&mut self, numbers: View<Vec<u64>>) -> u64 {
        numbers[0].to_native()
    }

    #[method(out_of_order)]
    pub fn hear_late(&mut self, number: u64) -> u64 {
        self.hear(number)
    }

    /// Hears nothing else until the file is there.
    pub fn wait_for(&mut self, file: String) -> u64 {
        for _ in 0..30_000 {
            if Path::new(&file).exists() {
                return 1;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        0
    }

    /// As [`Self::wait_for`], twice.
    #[method(num_returns = 2)]
    pub fn wait_for_both(&mut self, file: String) -> (u64, u64) {
        (self.wait_for(file.clone()), self.wait_for(file))
    }

    pub fn take(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.heard)
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Ends its process, by a signal or with an exit code.
    pub fn end_process(&self, code: Option<i32>) {
        match code {
            None => drop(kill(Pid::this(), Signal::SIGKILL)),
            Some(code) => std::process::exit(code),
        }
    }
}

#[rustyray::remote(num_cpus = 0.0)]
fn slow(number: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(15));
    number
}

#[rustyray::remote(num_cpus = 0.0)]
fn fails(number: u64) -> Result<u64, String> {
    Err(format!("{number} is too much"))
}

/// Says `first..last`, one by one or all at once, every so often by a reference to something slow.
#[rustyray::remote(num_cpus = 0.0)]
async fn say(
    listener: ListenerHandle,
    first: u64,
    last: u64,
    slow_ones: u64,
    wait: bool,
) -> rustyray::Result<u64> {
    let mut said = Vec::new();
    for number in first..last {
        let call = match slow_ones != 0 && number % slow_ones == 0 {
            true => listener.hear(slow_remote::remote(number).await?).await?,
            false => listener.hear(number).await?,
        };
        match wait {
            true => assert_eq!(call.get().await?, number),
            false => said.push(call),
        }
    }
    let heard = rustyray::get_all(&said).await?;
    assert!(wait || heard.iter().copied().eq(first..last));
    Ok(u64::from(std::process::id()))
}

#[rustyray::remote(num_cpus = 0.0)]
async fn say_past(
    listener: ListenerHandle,
    file: String,
    first: u64,
) -> rustyray::Result<Vec<u64>> {
    say_past_here(listener, file, first).await
}

/// Calls with an argument that is there when a file is, then others, and gives what came of these before the
/// file was there; then makes the file.
async fn say_past_here(
    listener: ListenerHandle,
    file: String,
    first: u64,
) -> rustyray::Result<Vec<u64>> {
    let late = listener.hear(appears_remote::remote(file.clone(), first).await?).await?;
    let mut said = Vec::new();
    for number in first + 1..first + 10 {
        said.push(listener.hear(number).await?);
    }
    let heard = rustyray::get_all(&said).await?;
    assert!(!late.is_ready(), "its argument is not there");
    std::fs::write(file, "").expect("it can be written");
    assert_eq!(late.get().await?, first);
    Ok(heard)
}

/// The same by a direct line.
#[rustyray::remote(num_cpus = 0.0)]
async fn say_past_by_line(listener: ListenerHandle, file: String) -> rustyray::Result<Vec<u64>> {
    for number in 0..60 {
        assert_eq!(listener.hear(number).await?.get().await?, number);
    }
    say_past_here(listener, file, 200).await
}

/// Gives the number once the file is there.
#[rustyray::remote(num_cpus = 0.0)]
fn appears(file: String, number: u64) -> u64 {
    while !std::path::Path::new(&file).exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    number
}

/// How many lines there are once it has become the number that is expected.
async fn lines(expected: usize) -> usize {
    let runtime = rustyray::Runtime::current().expect("one is running");
    for _ in 0..20_000 {
        if runtime.direct_lines() == expected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    runtime.direct_lines()
}

#[rustyray::test(num_cpus = 2)]
async fn a_caller_that_calls_often_gets_a_line_and_its_calls_stay_in_order() -> rustyray::Result<()>
{
    let listener = Listener::remote().await?;
    listener.ready().await?;
    say_remote::remote(&listener, 0, 20, 0, true).await?.get().await?;
    assert_eq!(lines(0).await, 0, "a few calls are not worth a line");
    listener.take().await?.get().await?;
    for wait in [true, false] {
        say_remote::remote(&listener, 0, 400, 0, wait).await?.get().await?;
        assert_eq!(listener.take().await?.get().await?, (0..400).collect::<Vec<_>>());
    }
    assert!(rustyray::Runtime::current()?.direct_lines() >= 1);
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn order_holds_across_slow_arguments_and_the_switching_over() -> rustyray::Result<()> {
    let listener = Listener::remote().await?;
    listener.ready().await?;
    // Slow ones before, at and after the call by which the line is asked for.
    let calls = [(0, 90, 7), (1000, 1200, 31), (2000, 2100, 32)];
    for (first, last, slow_ones) in calls {
        say_remote::remote(&listener, first, last, slow_ones, false).await?.get().await?;
        assert_eq!(listener.take().await?.get().await?, (first..last).collect::<Vec<_>>());
    }
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn in_an_actor_out_of_order_a_call_that_waits_lets_later_ones_pass() -> rustyray::Result<()> {
    let listener = Listener::options().out_of_order(true).remote().await?;
    listener.ready().await?;
    let file = |name: &str| {
        let name = format!("rustyray-passing-{name}-{}", std::process::id());
        std::env::temp_dir().join(name)
    };
    let files = ["node", "line"].map(file);
    // By way of the node, then by a line, in a process that has called often.
    let path = files[0].to_string_lossy().into_owned();
    let heard = say_past_remote::remote(&listener, path, 100).await?.get().await?;
    assert_eq!(heard, (101..110).collect::<Vec<_>>());
    let path = files[1].to_string_lossy().into_owned();
    let heard = say_past_by_line_remote::remote(&listener, path).await?.get().await?;
    assert_eq!(heard, (201..210).collect::<Vec<_>>());
    let mut expected: Vec<u64> = (101..110).chain([100]).chain(0..60).collect();
    expected.extend((201..210).chain([200]));
    assert_eq!(listener.take().await?.get().await?, expected, "the others are in order");
    for file in files {
        std::fs::remove_file(file).expect("it was made");
    }
    Ok(())
}

/// Waits for the file, for a while.
#[rustyray::remote(num_cpus = 0.0)]
fn after(file: String, number: u64) -> Result<u64, String> {
    for _ in 0..30_000 {
        if Path::new(&file).exists() {
            return if number == 0 { Err("nothing".into()) } else { Ok(number) };
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err("the file is not there".into())
}

/// Many calls stand aside, for one argument or several, of which one comes, one fails and one is never there.
#[rustyray::test(num_cpus = 4)]
async fn each_of_many_calls_that_stand_aside_begins_when_it_has_its_arguments()
-> rustyray::Result<()> {
    let listener = Listener::options().out_of_order(true).remote().await?;
    for number in 0..60 {
        assert_eq!(listener.hear(number).await?.get().await?, number);
    }
    listener.take().await?.get().await?;
    let file = |name: &str| {
        let name = format!("rustyray-aside-{name}-{}", std::process::id());
        std::env::temp_dir().join(name)
    };
    let (early, late) = (file("early"), file("late"));
    let path = |file: &Path| file.to_string_lossy().into_owned();
    let first = after_remote::remote(path(&early), 1000).await?;
    let fails = after_remote::remote(path(&early), 0).await?;
    let second = after_remote::remote(path(&late), 2000).await?;
    let never = after_remote::remote(path(&file("never")), 1).await?;
    let (mut on_first, mut on_both, mut on_failed, mut on_never) = (vec![], vec![], vec![], vec![]);
    for _ in 0..700 {
        on_first.push(listener.hear(&first).await?);
        on_both.push(listener.hear_both(&first, &second).await?);
        on_failed.push(listener.hear_both(&second, &fails).await?);
        on_never.push(listener.hear_both(&never, &first).await?);
    }
    assert_eq!(listener.hear(7).await?.get().await?, 7, "it passes them all");
    assert_eq!(listener.take().await?.get().await?, [7]);
    std::fs::write(&early, "").expect("it can be written");
    assert_eq!(rustyray::get_all(&on_first).await?, [1000; 700]);
    assert!(!on_both[0].is_ready() && !on_failed[0].is_ready());
    std::fs::write(&late, "").expect("it can be written");
    assert_eq!(rustyray::get_all(&on_both).await?, [3000; 700]);
    for call in on_failed {
        let error = call.get().await.expect_err("what it waits for failed");
        assert!(matches!(error, rustyray::Error::DependencyFailed { .. }), "{error:?}");
    }
    let mut heard = listener.take().await?.get().await?;
    heard.sort_unstable();
    assert_eq!(heard, [[1000; 700], [3000; 700]].concat(), "each once");
    for call in &on_never {
        assert!(!call.is_ready());
        call.cancel(rustyray::CancelOptions::default()).await?;
    }
    for call in on_never {
        let error = call.get().await.expect_err("cancelled");
        assert!(matches!(error, rustyray::Error::TaskCancelled { .. }), "{error:?}");
    }
    never.cancel(rustyray::CancelOptions { force: true, recursive: false }).await?;
    assert_eq!(listener.hear(8).await?.get().await?, 8);
    for file in [early, late] {
        std::fs::remove_file(file).expect("it was made");
    }
    Ok(())
}

/// Gives what a call by a line is to give to a task, and to an actor by way of the node, before it is there.
#[rustyray::remote(num_cpus = 0.0)]
async fn pass_on(
    listener: ListenerHandle,
    other: ListenerHandle,
    file: String,
) -> rustyray::Result<(u64, u64)> {
    for number in 0..60 {
        assert_eq!(listener.hear(number).await?.get().await?, number);
    }
    let one = listener.wait_for(file.clone()).await?;
    let task = slow_remote::remote(&one).await?;
    let call = other.hear(&one).await?;
    // The node takes what it is told in order: when it has an answer for this, it has both.
    slow_remote::remote(7).await?.get().await?;
    assert!(!one.is_ready(), "the file is not there");
    std::fs::write(file, "").expect("it can be written");
    Ok((task.get().await?, call.get().await?))
}

#[rustyray::test(num_cpus = 2)]
async fn what_comes_by_a_line_is_noticed_by_those_who_wait_at_the_node() -> rustyray::Result<()> {
    let (listener, other) = (Listener::remote().await?, Listener::remote().await?);
    let file = std::env::temp_dir().join(format!("rustyray-pass-on-{}", std::process::id()));
    let path = file.to_string_lossy().into_owned();
    let passed_on = pass_on_remote::remote(&listener, &other, path).await?.get().await;
    std::fs::remove_file(file).expect("it was made");
    assert_eq!(passed_on?, (1, 1));
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn several_callers_have_a_line_each() -> rustyray::Result<()> {
    let listener = Listener::remote().await?;
    listener.ready().await?;
    let mut says = Vec::new();
    for caller in 0..3 {
        let first = caller * 10_000;
        says.push(say_remote::remote(&listener, first, first + 300, 50, false).await?);
    }
    let callers = rustyray::get_all(&says).await?;
    let heard = listener.take().await?.get().await?;
    assert_eq!(heard.len(), 900);
    for caller in 0..3 {
        let of_this: Vec<_> = heard.iter().copied().filter(|n| n / 10_000 == caller).collect();
        assert!(of_this.is_sorted(), "{of_this:?}");
    }
    let processes = callers.iter().collect::<std::collections::HashSet<_>>().len();
    assert_eq!(rustyray::Runtime::current()?.direct_lines(), processes);
    Ok(())
}

#[rustyray::remote(num_cpus = 0.0)]
async fn flood(listener: ListenerHandle, gate: String, calls: u64) -> rustyray::Result<bool> {
    // A line first.
    for number in 0..64 {
        listener.hear(number).await?;
    }
    let first = listener.wait_for(gate.clone()).await?;
    let mut said = Vec::new();
    for number in 64..calls {
        said.push(listener.hear(number).await?);
    }
    let none_answered = !first.is_ready() && said.iter().all(|call| !call.is_ready());
    std::fs::write(&gate, "").expect("it can be written");
    assert_eq!(first.get().await?, 1);
    rustyray::get_all(&said).await?;
    Ok(none_answered)
}

#[rustyray::test(num_cpus = 2)]
async fn two_thousand_calls_are_in_flight_before_the_first_answer() -> rustyray::Result<()> {
    let gate = std::env::temp_dir().join(format!("rustyray-gate-{}", std::process::id()));
    let listener = Listener::remote().await?;
    listener.ready().await?;
    let gate_path = gate.to_string_lossy().into_owned();
    let flooded = flood_remote::remote(&listener, gate_path, 2064).await?.get().await;
    let _ = std::fs::remove_file(&gate);
    assert!(flooded?, "the caller waits for no answer");
    assert_eq!(listener.take().await?.get().await?, (0..2064).collect::<Vec<_>>());
    Ok(())
}

/// Fills a line that is not taken from, cancels all but the last hundred calls, and then lets the actor go on.
#[rustyray::remote(num_cpus = 0.0)]
async fn think_better_of_it(listener: ListenerHandle, gate: String) -> rustyray::Result<Vec<u64>> {
    for number in 0..64 {
        listener.hear(number).await?.get().await?;
    }
    let first = listener.wait_for(gate.clone()).await?;
    let mut said = Vec::new();
    for number in 64..3000 {
        said.push(listener.hear(number).await?);
    }
    let last = said.split_off(said.len() - 100);
    for call in &said {
        call.cancel(CancelOptions::default()).await?;
    }
    std::fs::write(&gate, "").expect("it can be written");
    assert_eq!(first.get().await?, 1);
    for call in said {
        assert!(matches!(call.get().await, Err(Error::TaskCancelled { .. })));
    }
    rustyray::get_all(&last).await
}

#[rustyray::test(num_cpus = 2)]
async fn calls_go_on_behind_a_line_full_of_cancelled_ones() -> rustyray::Result<()> {
    let gate = std::env::temp_dir().join(format!("rustyray-cancelled-{}", std::process::id()));
    let listener = Listener::remote().await?;
    listener.ready().await?;
    let gate_path = gate.to_string_lossy().into_owned();
    let answered = think_better_of_it_remote::remote(&listener, gate_path).await?.get().await;
    let _ = std::fs::remove_file(&gate);
    assert_eq!(answered?, (2900..3000).collect::<Vec<_>>());
    let heard = listener.take().await?.get().await?;
    assert_eq!(heard, (0..64).chain(2900..3000).collect::<Vec<_>>());
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn a_thousand_calls_of_the_node_s_process_are_in_flight_before_the_first_answer()
-> rustyray::Result<()> {
    let gate = std::env::temp_dir().join(format!("rustyray-thousand-{}", std::process::id()));
    let listener = Listener::remote().await?;
    let first = listener.wait_for(gate.to_string_lossy().into_owned()).await?;
    let mut said = Vec::new();
    for number in 0..1000 {
        said.push(listener.hear(number).await?);
    }
    assert!(!first.is_ready() && said.iter().all(|call| !call.is_ready()));
    std::fs::write(&gate, "").expect("it can be written");
    first.get().await?;
    assert_eq!(rustyray::get_all(&said).await?, (0..1000).collect::<Vec<_>>());
    std::fs::remove_file(&gate).expect("it was made");
    Ok(())
}

/// Passes values, references that it drops at once, and views; and meets an argument that fails.
#[rustyray::remote(num_cpus = 0.0)]
async fn pass_everything(listener: ListenerHandle) -> rustyray::Result<String> {
    for number in 0..64 {
        listener.hear(number).await?;
    }
    let mut sums = Vec::new();
    for number in 0..50_u64 {
        let many: Vec<u64> = vec![number; 500];
        sums.push((500 * number, listener.sum(&many).await?));
        let stored = rustyray::put(&many).await?;
        sums.push((500 * number, listener.sum(&stored).await?));
        sums.push((number, listener.first_of(stored).await?));
    }
    for (expected, sum) in sums {
        assert_eq!(sum.get().await?, expected);
    }
    let failing = fails_remote::remote(7).await?;
    let error = listener.hear(&failing).await?.get().await.expect_err("its argument fails");
    assert!(matches!(error, Error::DependencyFailed { .. }), "{error:?}");
    let late = listener.hear_late(slow_remote::remote(100).await?).await?;
    assert_eq!(listener.hear(101).await?.get().await?, 101);
    assert_eq!(late.get().await?, 100);
    Ok(std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default())
}

#[rustyray::test(num_cpus = 2)]
async fn values_references_views_and_failures_go_by_a_line() -> rustyray::Result<()> {
    let listener = Listener::remote().await?;
    listener.ready().await?;
    let cause = pass_everything_remote::remote(&listener).await?.get().await?;
    assert!(cause.contains("7 is too much"), "{cause}");
    assert!(rustyray::Runtime::current()?.direct_lines() >= 1);
    let heard = listener.take().await?.get().await?;
    assert!(heard.ends_with(&[101, 100]), "what is late stands aside: {heard:?}");
    Ok(())
}

/// Says numbers for ever, as fast as it can.
#[rustyray::remote(num_cpus = 0.0, max_retries = 0)]
async fn chatter(listener: ListenerHandle, file: String) -> rustyray::Result<()> {
    std::fs::write(&file, std::process::id().to_string()).expect("it can be written");
    for number in 0.. {
        let call = listener.hear(number).await?;
        if number % 50 == 49 {
            call.get().await?;
        }
    }
    Ok(())
}

#[rustyray::test(num_cpus = 3)]
async fn a_killed_caller_harms_neither_the_actor_nor_other_callers() -> rustyray::Result<()> {
    let listener = Listener::remote().await?;
    listener.ready().await?;
    for round in 0..4 {
        let file =
            std::env::temp_dir().join(format!("rustyray-chat-{}-{round}", std::process::id()));
        let path = file.to_string_lossy().into_owned();
        let chat = chatter_remote::remote(&listener, path).await?;
        let other = say_remote::remote(&listener, 1 << 40, (1 << 40) + 300, 0, false).await?;
        let mut heard = Vec::new();
        while heard.iter().filter(|&&number| number < 1 << 40).count() < 200 {
            heard.extend(listener.take().await?.get().await?);
        }
        let pid: i32 =
            std::fs::read_to_string(&file).expect("it was written").parse().expect("a pid");
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it is alive");
        let _ = std::fs::remove_file(&file);
        assert!(matches!(chat.get().await, Err(Error::WorkerCrashed { .. })));
        match other.get().await {
            Ok(_) => {}
            // It ran in the process that was killed.
            Err(Error::WorkerCrashed { worker, .. }) => assert_eq!(worker, pid as u32),
            Err(other) => return Err(other),
        }
        heard.extend(listener.take().await?.get().await?);
        let of_chat: Vec<_> = heard.iter().filter(|&&number| number < 1 << 40).collect();
        assert!(of_chat.iter().enumerate().all(|(at, &&number)| number == at as u64), "no holes");
        listener.take().await?.get().await?;
    }
    drop(listener);
    assert_eq!(lines(0).await, 0, "every line is given back");
    Ok(())
}

/// Calls and does not wait.
#[rustyray::remote(num_cpus = 0.0)]
async fn fire_and_forget(listener: ListenerHandle, calls: u64) -> rustyray::Result<()> {
    for number in 0..calls {
        listener.hear(number).await?;
    }
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn what_nobody_waits_for_is_done_all_the_same() -> rustyray::Result<()> {
    let listener = Listener::remote().await?;
    listener.ready().await?;
    fire_and_forget_remote::remote(&listener, 1500).await?.get().await?;
    let mut heard = Vec::new();
    while heard.len() < 1500 {
        heard.extend(listener.take().await?.get().await?);
    }
    assert_eq!(heard, (0..1500).collect::<Vec<_>>());
    Ok(())
}

/// Calls until the actor is gone, and gives what came of each call.
#[rustyray::remote(num_cpus = 0.0)]
async fn until_the_end(listener: ListenerHandle) -> rustyray::Result<Vec<String>> {
    let mut came = Vec::new();
    for number in 0..u64::MAX {
        let mut calls = Vec::new();
        for _ in 0..100 {
            match listener.hear(number).await {
                Ok(call) => calls.push(call),
                Err(error) => came.push(error.to_string()),
            }
        }
        for call in calls {
            match call.get().await {
                Ok(_) => {}
                Err(error @ Error::ActorDied { .. }) => came.push(error.to_string()),
                Err(other) => return Err(other),
            }
        }
        if !came.is_empty() {
            return Ok(came);
        }
    }
    Ok(came)
}

#[rustyray::test(num_cpus = 2)]
async fn an_actor_s_death_is_told_to_callers_by_line_with_its_reason() -> rustyray::Result<()> {
    let listener = Listener::remote().await?;
    listener.ready().await?;
    let calls = until_the_end_remote::remote(&listener).await?;
    assert_eq!(lines(1).await, 1);
    listener.kill().await?;
    let came = calls.get().await?;
    assert!(came.iter().all(|error| error.contains("it was killed by `kill`")), "{came:?}");
    assert_eq!(lines(0).await, 0, "the line is given back");
    Ok(())
}

/// Calls by a line for two results, and does not wait for them.
#[rustyray::remote(num_cpus = 0.0)]
async fn ask_for_both(
    listener: ListenerHandle,
    file: String,
) -> rustyray::Result<Vec<ObjectRef<u64>>> {
    for number in 0..60 {
        assert_eq!(listener.hear(number).await?.get().await?, number);
    }
    let (first, second) = listener.wait_for_both(file).await?;
    Ok(vec![first, second])
}

#[test]
#[ignore = "a driver for the test below, which has an actor killed between two results"]
fn driver_whose_actor_is_killed() {
    let file = std::env::temp_dir().join(format!("rustyray-half-{}", std::process::id()));
    rustyray::block_on(async {
        rustyray::Builder::new().num_cpus(2.0).visible(false).start().await?;
        let listener = Listener::remote().await?;
        let path = file.to_string_lossy().into_owned();
        let both = ask_for_both_remote::remote(&listener, path).await?.get().await?;
        std::fs::write(&file, "").expect("it can be written");
        assert_eq!(both[0].get().await?, 1);
        let error = both[1].get().await.expect_err("it was killed before");
        assert!(matches!(error, Error::ActorDied { .. }), "{error:?}");
        // The caller's process goes on.
        assert_eq!(slow_remote::remote(7).await?.get().await?, 7);
        std::fs::remove_file(&file).expect("it was made");
        rustyray::shutdown().await
    })
    .expect("the first is there");
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "there are no points in release builds")]
fn an_actor_killed_between_two_results_fails_the_second_for_its_caller_by_line() {
    let test = std::env::current_exe().expect("this test");
    let output = std::process::Command::new(test)
        .args(["--ignored", "--exact", "driver_whose_actor_is_killed", "--nocapture"])
        .env("RUSTYRAY_WORKER_KILL_AT", "half")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

// --- from the node's own process ---------------------------------------------------------------------------

#[rustyray::test(num_cpus = 2)]
async fn calls_of_the_node_s_process_go_by_a_line_and_stay_in_order() -> rustyray::Result<()> {
    let listener = Listener::remote().await?;
    // Before it is constructed, and across the switching over, with slow arguments before and after.
    for (first, last, slow_ones, wait) in
        [(0, 90, 7, false), (90, 490, 0, true), (490, 890, 31, false)]
    {
        say(listener.clone(), first, last, slow_ones, wait).await?;
        assert_eq!(listener.take().await?.get().await?, (first..last).collect::<Vec<_>>());
    }
    assert_eq!(lines(1).await, 1);
    let error = pass_everything(listener).await?;
    assert!(error.ends_with("7 is too much"), "{error}");
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn in_the_node_s_process_more_calls_than_fit_a_line_are_cancelled_or_answered()
-> rustyray::Result<()> {
    let gate = std::env::temp_dir().join(format!("rustyray-own-cancelled-{}", std::process::id()));
    let listener = Listener::remote().await?;
    let answered = think_better_of_it(listener.clone(), gate.to_string_lossy().into_owned()).await;
    let _ = std::fs::remove_file(&gate);
    assert_eq!(answered?, (2900..3000).collect::<Vec<_>>());
    let heard = listener.take().await?.get().await?;
    assert_eq!(heard, (0..64).chain(2900..3000).collect::<Vec<_>>());
    fire_and_forget(listener.clone(), 1500).await?;
    assert_eq!(listener.take().await?.get().await?, (0..1500).collect::<Vec<_>>());
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn an_actor_s_death_is_told_to_the_node_s_process_with_its_reason() -> rustyray::Result<()> {
    let listener = Listener::remote().await?;
    let killed = async {
        assert_eq!(lines(1).await, 1);
        listener.kill().await
    };
    let (came, killed) = tokio::join!(until_the_end(listener.clone()), killed);
    killed?;
    let came = came?;
    assert!(came.iter().all(|error| error.contains("it was killed by `kill`")), "{came:?}");
    assert_eq!(lines(0).await, 0, "the line is given back");
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn a_restarted_actor_answers_what_its_predecessor_had_not_begun() -> rustyray::Result<()> {
    let gate = std::env::temp_dir().join(format!("rustyray-restarted-{}", std::process::id()));
    let listener = Listener::options().max_restarts(1).remote().await?;
    say(listener.clone(), 0, 64, 0, true).await?;
    let stuck = listener.wait_for(gate.to_string_lossy().into_owned()).await?;
    let mut said = Vec::new();
    for number in 0..2000 {
        said.push(listener.hear(number).await?);
    }
    listener.restart().await?;
    let error = stuck.get().await.expect_err("its process was killed");
    assert!(matches!(error, Error::ActorUnavailable { .. }), "{error:?}");
    assert_eq!(rustyray::get_all(&said).await?, (0..2000).collect::<Vec<_>>());
    assert_eq!(listener.take().await?.get().await?, (0..2000).collect::<Vec<_>>());
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn a_call_is_told_how_its_actor_s_process_ended_whichever_way_it_went() -> rustyray::Result<()>
{
    for calls_before in [0, 64] {
        let listener = Listener::options().max_restarts(1).remote().await?;
        for (code, how) in [(None, "killed by SIGKILL"), (Some(7), "exited with code 7")] {
            for number in 0..calls_before {
                listener.hear(number).await?.get().await?;
            }
            let by_line = usize::from(calls_before > 0);
            assert_eq!(lines(by_line).await, by_line);
            let pid = listener.pid().await?.get().await?;
            let how = format!("process {pid}, {how}");
            let call = listener.end_process(code).await?;
            match call.get().await.expect_err("its process ended") {
                Error::ActorUnavailable { reason, .. } if code.is_none() => assert_eq!(reason, how),
                Error::ActorDied { reason, .. } if code.is_some() => {
                    assert!(reason.contains(&how), "{reason}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn an_actor_ends_with_the_last_handle_though_its_calls_went_by_a_line() -> rustyray::Result<()>
{
    let listener = Listener::remote().await?;
    say(listener.clone(), 0, 64, 0, true).await?;
    let death = listener.death().await?;
    let mut said = Vec::new();
    for number in 0..2000 {
        said.push(listener.hear(number).await?);
    }
    drop(listener);
    assert_eq!(rustyray::get_all(&said).await?, (0..2000).collect::<Vec<_>>());
    assert_eq!(death.get().await?.reason, rustyray::ActorEnd::Unreachable);
    Ok(())
}

#[test]
fn at_shutdown_what_the_node_s_process_called_by_a_line_is_done() {
    let heard = std::env::temp_dir().join(format!("rustyray-last-words-{}", std::process::id()));
    rustyray::block_on(async {
        rustyray::Builder::new().num_cpus(1.0).visible(false).start().await?;
        let scribe = Scribe::remote().await?;
        for number in 0..2000 {
            scribe.write(heard.to_string_lossy().into_owned(), number).await?;
        }
        rustyray::shutdown().await
    })
    .expect("it ends in order");
    let written = std::fs::read_to_string(&heard).expect("it was written");
    assert!(written.lines().map(|line| line.parse::<u64>()).eq((0..2000).map(Ok)), "{written}");
    std::fs::remove_file(&heard).expect("it is there");
}

/// Writes down what it hears, or waits.
#[rustyray::actor]
struct Scribe;

#[rustyray::actor_methods]
impl Scribe {
    pub fn new() -> Self {
        Scribe
    }

    pub fn write(&mut self, file: String, number: u64) {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file);
        let file = file.as_mut().expect("it can be opened");
        writeln!(file, "{number}").expect("it can be written");
    }

    /// Says that it has begun by making the file.
    pub async fn wait_for_ever(&self, begun: String) {
        std::fs::write(begun, "").expect("it can be written");
        std::future::pending().await
    }

    pub fn works_until_cancelled(&self, begun: String) {
        std::fs::write(begun, "").expect("it can be written");
        while !rustyray::context().is_cancelled() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn is_there(&self, begun: String) -> bool {
        Path::new(&begun).exists()
    }
}

/// Calls by a line, and cancels what has begun.
#[rustyray::remote(num_cpus = 0.0)]
async fn interrupts(scribe: ScribeHandle, file: String) -> rustyray::Result<()> {
    for _ in 0..64 {
        assert!(!scribe.is_there(file.clone()).await?.get().await?);
    }
    for waits in [true, false] {
        let call = match waits {
            true => scribe.wait_for_ever(file.clone()).await?,
            false => scribe.works_until_cancelled(file.clone()).await?,
        };
        while !Path::new(&file).exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        call.cancel(CancelOptions::default()).await?;
        let error = call.get().await.expect_err("it would not end by itself");
        assert!(matches!(error, Error::TaskCancelled { .. }), "{error:?}");
        std::fs::remove_file(&file).expect("it was made");
    }
    assert!(!scribe.is_there(file).await?.get().await?, "the actor goes on");
    Ok(())
}

/// Cancels what another process has called.
#[rustyray::remote(num_cpus = 0.0)]
async fn cancels(calls: Vec<ObjectRef<()>>) -> rustyray::Result<()> {
    for call in calls {
        call.cancel(CancelOptions::default()).await?;
    }
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn a_call_by_a_line_that_runs_is_cancelled() -> rustyray::Result<()> {
    let file = std::env::temp_dir().join(format!("rustyray-interrupted-{}", std::process::id()));
    let path = file.to_string_lossy().into_owned();
    let scribe = Scribe::remote().await?;
    interrupts(scribe.clone(), path.clone()).await?;
    interrupts_remote::remote(&scribe, path.clone()).await?.get().await?;
    // By another process than the one that called.
    let calls =
        vec![scribe.wait_for_ever(path.clone()).await?, scribe.works_until_cancelled(path).await?];
    while !file.exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    cancels_remote::remote(&calls).await?.get().await?;
    for call in calls {
        let error = call.get().await.expect_err("it would not end by itself");
        assert!(matches!(error, Error::TaskCancelled { .. }), "{error:?}");
    }
    std::fs::remove_file(&file).expect("it was made");
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn a_call_that_waits_for_its_argument_is_cancelled_though_it_is_claimed()
-> rustyray::Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    for may_be_passed in [false, true] {
        let listener = Listener::remote().await?;
        say(listener.clone(), 0, 64, 0, true).await?;
        listener.take().await?.get().await?;
        let file = directory.path().join(format!("argument-{may_be_passed}"));
        let argument = appears_remote::remote(file.to_string_lossy().into_owned(), 7).await?;
        let call = match may_be_passed {
            true => listener.hear_late(&argument).await?,
            false => listener.hear(&argument).await?,
        };
        // It is claimed meanwhile, and the actor's process goes to sleep.
        tokio::time::sleep(Duration::from_millis(200)).await;
        call.cancel(CancelOptions::default()).await?;
        let error = call.get_timeout(Duration::from_secs(60)).await.expect_err("it is cancelled");
        assert!(matches!(error, Error::TaskCancelled { .. }), "{error:?}");
        let next = listener.hear(8).await?;
        assert_eq!(next.get_timeout(Duration::from_secs(60)).await?, 8, "others go on");
        std::fs::write(file, "").expect("it can be written");
        assert_eq!(argument.get().await?, 7);
        assert_eq!(listener.take().await?.get().await?, [8], "it was never run");
    }
    Ok(())
}

#[rustyray::actor]
struct Single;

#[rustyray::actor_methods]
impl Single {
    pub fn new() -> Self {
        Single
    }

    pub async fn give(&self, value: u64) -> u64 {
        value
    }

    /// Whether it fails.
    pub async fn waits_for(&self, call: Vec<ObjectRef<u64>>) -> bool {
        call[0].get().await.is_err()
    }
}

#[rustyray::remote]
async fn has_it_wait(single: SingleHandle, call: Vec<ObjectRef<u64>>) -> rustyray::Result<bool> {
    single.waits_for(call).await?.get().await
}

/// The one lane is taken by a call that waits for the one that is cancelled.
#[rustyray::test(num_cpus = 2)]
async fn a_call_that_waits_for_its_argument_is_cancelled_though_no_lane_is_free()
-> rustyray::Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let single = Single::remote().await?;
    for value in 0..64 {
        assert_eq!(single.give(value).await?.get().await?, value);
    }
    let file = directory.path().join("argument");
    let argument = appears_remote::remote(file.to_string_lossy().into_owned(), 7).await?;
    let call = single.give(&argument).await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let waiting = has_it_wait_remote::remote(single.clone(), vec![call.clone()]).await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    call.cancel(CancelOptions::default()).await?;
    let error = call.get_timeout(Duration::from_secs(60)).await.expect_err("it is cancelled");
    assert!(matches!(error, Error::TaskCancelled { .. }), "{error:?}");
    assert!(waiting.get_timeout(Duration::from_secs(60)).await?);
    std::fs::write(file, "").expect("it can be written");
    Ok(())
}

/// Calls by a line what does not end by itself, and gives what that is to make.
#[rustyray::remote(num_cpus = 0.0)]
async fn calls_for_ever(
    scribe: ScribeHandle,
    file: String,
) -> rustyray::Result<Vec<ObjectRef<()>>> {
    for _ in 0..64 {
        assert!(!scribe.is_there(file.clone()).await?.get().await?);
    }
    Ok(vec![scribe.wait_for_ever(file).await?])
}

#[rustyray::test(num_cpus = 2)]
async fn a_call_by_a_line_is_cancelled_by_any_process() -> rustyray::Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let scribe = Scribe::remote().await?;
    // By the node's process, and by one that is neither that nor the caller.
    for by_another in [false, true] {
        let file = directory.path().join(format!("begun-{by_another}"));
        let path = file.to_string_lossy().into_owned();
        let calls = calls_for_ever_remote::remote(&scribe, path).await?.get().await?;
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        match by_another {
            true => canceller().await?.cancel(&calls).await?.get().await?,
            false => calls[0].cancel(CancelOptions::default()).await?,
        }
        let error = calls[0].get_timeout(Duration::from_secs(60)).await.expect_err("it waits");
        assert!(matches!(error, Error::TaskCancelled { .. }), "{error:?}");
    }
    Ok(())
}

/// Cancels in a process of its own.
#[rustyray::actor]
struct Canceller;

#[rustyray::actor_methods]
impl Canceller {
    pub fn new() -> Self {
        Canceller
    }

    pub async fn cancel(&self, calls: Vec<ObjectRef<()>>) -> rustyray::Result<()> {
        for call in calls {
            call.cancel(CancelOptions::default()).await?;
        }
        Ok(())
    }
}

async fn canceller() -> rustyray::Result<CancellerHandle> {
    let canceller = Canceller::remote().await?;
    canceller.ready().await?;
    Ok(canceller)
}
