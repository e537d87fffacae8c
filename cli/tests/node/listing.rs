//! What the command shows of a node at work.

use std::{
    io::{BufRead, BufReader},
    time::Duration,
};

use crate::bench::{Place, said};

#[rustyray::remote(max_retries = 0)]
fn speak(word: String) -> usize {
    println!("it said {word}");
    eprintln!("and complained");
    word.len()
}

#[derive(Debug)]
struct Outer;

impl std::fmt::Display for Outer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the roof fell in")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&std::fmt::Error)
    }
}

#[rustyray::remote]
fn collapse() -> Result<u8, Outer> {
    Err(Outer)
}

/// Runs until a file appears.
#[rustyray::remote]
fn linger(path: String) {
    while !std::path::Path::new(&path).exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[rustyray::remote]
fn after(_lingered: ()) {}

#[rustyray::remote]
fn last_words(path: String) {
    println!("it is at it");
    linger(path);
    println!("these are the last words");
}

#[test]
fn listings_show_what_there_is() {
    let place = Place::new();
    let node = place.start(&["--resource", "camera=2"]);
    let runtime = rustyray::blocking::connect(&node.socket).expect("it lets us in");
    let go = place.path().join("go");
    let (objects, lingering) = rustyray::block_on(async {
        speak_remote::remote("moo".to_owned()).await?.get().await?;
        let failed = collapse_remote::remote().await?;
        assert!(failed.get().await.is_err());
        let large = rustyray::put(&vec![7_u64; 1 << 16]).await?;
        let view = large.view().await?;
        let busy = linger_remote::remote(go.display().to_string()).await?;
        let behind = after_remote::remote(&busy).await?;
        Ok::<_, rustyray::Error>(((failed, large, view), (busy, behind)))
    })
    .expect("all of it runs");

    let running = place.wait_for(&["list", "tasks", "-f", "state=running"], |rows| {
        rows.as_array().is_some_and(|rows| rows.len() == 1)
    });
    let name = running[0]["name"].as_str().expect("a name");
    assert!(name.ends_with("linger"), "{running:#}");
    // One more while its submission is still at work.
    let waiting = place.wait_for(&["list", "tasks", "--filter", "state=waiting"], |rows| {
        rows.as_array().is_some_and(|rows| rows.len() == 1 && rows[0]["awaits"] == 1)
    });
    assert!(waiting[0]["name"].as_str().expect("a name").ends_with("after"), "{waiting:#}");

    let failed = place.json(&["list", "tasks", "-f", "state=failed"]);
    assert_eq!(failed.as_array().map(Vec::len), Some(1), "{failed:#}");
    let error = failed[0]["error"].as_str().expect("an error");
    assert!(error.contains("the roof fell in"), "{error}");
    let cause = failed[0]["causes"][0].as_str().expect("a cause");
    assert!(cause.contains("an error occurred when formatting an argument"), "{cause}");
    let filtered = place.json(&["list", "tasks", "-f", "name=~collapse", "--limit", "1"]);
    assert_eq!(filtered.as_array().map(Vec::len), Some(1));
    assert_eq!(place.json(&["list", "tasks", "-f", "state=FAILED"]), failed);
    let others = place.json(&["list", "tasks", "-f", "state!=failed", "-f", "name!=~AFTER"]);
    assert_eq!(others.as_array().map(Vec::len), Some(1), "{others:#}");
    assert!(others[0]["name"].as_str().is_some_and(|name| name.ends_with("linger")), "{others:#}");

    let largest = place.json(&["list", "objects", "--limit", "1"]);
    assert!(largest[0]["size_bytes"].as_u64().expect("a size") >= 8 << 16, "{largest:#}");
    let here = u64::from(std::process::id());
    let ours = |list: &serde_json::Value| {
        list.as_array().is_some_and(|pids| pids.iter().any(|pid| *pid == here))
    };
    assert!(ours(&largest[0]["holders"]), "{largest:#}");
    assert!(ours(&largest[0]["pins"]), "{largest:#}");
    assert!(largest[0]["type_name"].as_str().is_some_and(|name| name.contains("u64")));

    let status = place.json(&["status"]);
    let camera =
        status["resources"].as_array().expect("rows").iter().find(|r| r["name"] == "camera");
    assert_eq!(camera.expect("it was given")["total"], 2.0);
    let cpu = status["resources"].as_array().expect("rows").iter().find(|r| r["name"] == "cpu");
    assert_eq!(cpu.expect("there are some")["used"], 1.0, "{status:#}");
    assert_eq!(status["totals"]["failed_tasks"], 1);
    assert_eq!(status["totals"]["tasks"], 2, "{status:#}");
    assert_eq!(status["totals"]["queued_tasks"], 1, "{status:#}");
    assert!(status["store"]["pinned_bytes"].as_u64().expect("bytes") >= 8 << 16, "{status:#}");

    let summary = place.json(&["summary"]);
    assert!(summary.as_array().expect("rows").iter().any(|row| row["states"]["failed"] == 1));
    let failed = place.json(&["summary", "--filter", "state=failed"]);
    assert_eq!(failed.as_array().map(Vec::len), Some(1), "{failed:#}");
    assert_eq!(failed[0]["states"], serde_json::json!({ "failed": 1 }), "{failed:#}");
    let one = place.json(&["summary", "objects", "--limit", "1"]);
    assert_eq!(one.as_array().map(Vec::len), Some(1), "{one:#}");
    let summary = place.json(&["summary", "objects"]);
    assert!(summary[0]["size_bytes"].as_u64().expect("bytes") >= 8 << 16, "{summary:#}");

    // What people see.
    for (arguments, wanted) in [
        (&["status"][..], "Object store"),
        (&["list", "tasks"], "the roof fell in"),
        (&["list", "workers"], "busy"),
        (&["list", "objects"], "512.0 KiB"),
        (&["list", "actors"], "There are none."),
        (&["list", "placement-groups"], "There are none."),
        (&["summary"], "linger"),
        (&["memory"], "512.0 KiB"),
        (&["logs"], "it said moo"),
        (&["logs"], "and complained"),
    ] {
        let output = place.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(wanted), "{arguments:?}: {}", said(&output));
    }
    let last = place.run(&["logs", "-n", "1"]);
    assert_eq!(said(&last).lines().count(), 1, "{}", said(&last));
    std::fs::write(go, "").expect("a file");
    rustyray::block_on(async { lingering.1.get().await }).expect("both end");
    drop(objects);
    rustyray::block_on(runtime.shutdown()).expect("it lets go");
}

/// Keeps what it put, and gives it away.
#[rustyray::remote]
async fn stock(amount: usize) -> rustyray::ObjectRef<Vec<u8>> {
    rustyray::put(&vec![1; amount]).await.expect("there is room") // the worker's put
}

#[rustyray::actor]
struct Shelf;

#[rustyray::actor_methods]
impl Shelf {
    pub fn new() -> Self {
        Shelf
    }

    pub fn fill(&self, amount: usize) -> Vec<u8> {
        vec![2; amount]
    }
}

/// `file:line` of the line of this file that holds `mark`.
fn line_of(mark: &str) -> String {
    let found = include_str!("listing.rs").lines().position(|line| line.contains(mark));
    format!("{}:{}:", file!(), found.expect("it is there") + 1)
}

#[test]
fn memory_says_where_objects_were_made() {
    let place = Place::new();
    let node = place.start(&["--record-call-sites"]);
    let runtime = rustyray::blocking::connect(&node.socket).expect("it lets us in");
    let held = rustyray::block_on(async {
        let put = rustyray::put(&vec![7_u8; 50_000]).await?; // the driver's put
        let shelf = Shelf::remote().await?; // the shelf is made
        let filled = shelf.fill(40_000).await?; // the shelf is filled
        let stocked = stock_remote::remote(30_000).await?; // the stock is asked for
        let stock = stocked.get().await?;
        let bytes = rustyray::put_bytes(vec![3; 20_000]).await?; // the bytes
        rustyray::wait(std::slice::from_ref(&filled), 1, None).await?;
        Ok::<_, rustyray::Error>((put, shelf, filled, stocked, stock, bytes))
    })
    .expect("all of it runs");
    let marks = [
        (held.0.id(), line_of("// the driver's put"), ""),
        (held.1.id(), line_of("// the shelf is made"), "Shelf"),
        (held.2.id(), line_of("// the shelf is filled"), "Shelf::fill"),
        (held.3.id(), line_of("// the stock is asked for"), "stock"),
        (held.4.id(), line_of("// the worker's put"), ""),
        (held.5.id(), line_of("// the bytes"), ""),
    ];
    for (id, at, called) in marks {
        let id = id.to_string();
        let rows = place.wait_for(&["list", "objects", "-f", &format!("id={id}")], |rows| {
            rows[0]["site"].is_string()
        });
        let site = rows[0]["site"].as_str().unwrap_or_default();
        assert!(site.contains(&at), "{site} is not at {at}");
        assert_eq!(site.contains("result of"), !called.is_empty(), "{site}");
        assert!(site.contains(called), "{site} does not name {called}");
    }
    let memory = place.json(&["memory"]);
    let largest = &memory["sites"][0];
    let at = line_of("// the driver's put");
    assert!(largest["site"].as_str().is_some_and(|site| site.contains(&at)), "{memory:#}");
    assert!(largest["bytes"].as_u64().is_some_and(|bytes| bytes >= 50_000), "{memory:#}");
    let output = place.run(&["memory"]);
    assert!(said(&output).contains(&at), "{}", said(&output));
    drop(held);
    rustyray::block_on(runtime.shutdown()).expect("it lets go");
}

#[test]
fn without_being_asked_nobody_knows_where_objects_were_made() {
    let place = Place::new();
    let node = place.start(&[]);
    let runtime = rustyray::blocking::connect(&node.socket).expect("it lets us in");
    let kept = [50_000, 60_000].map(|len| rustyray::blocking::put(&vec![7_u8; len]));
    let memory = place.json(&["memory"]);
    assert!(memory["objects"][0]["site"].is_null(), "{memory:#}");
    let output = place.run(&["memory"]);
    assert!(said(&output).contains("--record-call-sites"), "{}", said(&output));
    assert!(!said(&output).contains("the largest"), "all are there: {}", said(&output));
    let output = place.run(&["memory", "--limit", "1"]);
    assert!(said(&output).contains("(the largest 1 of 2; `--limit`"), "{}", said(&output));
    drop(kept);
    rustyray::block_on(runtime.shutdown()).expect("it lets go");
}

#[test]
fn an_empty_list_says_what_it_takes_for_tasks_that_finished_to_be_in_it() {
    for (arguments, hint) in [(&[][..], true), (&["--record"], false)] {
        let place = Place::new();
        let _node = place.start(arguments);
        let said = said(&place.run(&["list", "tasks"]));
        assert!(said.starts_with("There are none.\n"), "{said}");
        assert_eq!(said.contains("as long as tasks are recorded"), hint, "{said}");
    }
}

#[test]
fn a_name_that_was_given_to_a_task_is_its_name_everywhere() {
    let place = Place::new();
    let node = place.start(&["--record"]);
    let runtime = rustyray::blocking::connect(&node.socket).expect("it lets us in");
    let go = place.path().join("go");
    let lingering = rustyray::block_on(async {
        let spoken = speak_remote::options().name("greeting").remote("hello".to_owned()).await?;
        spoken.get().await?;
        let failed = collapse_remote::options().name("demolition").remote().await?;
        let error = failed.get().await.expect_err("it fails").to_string();
        assert!(error.contains("task `demolition` failed"), "{error}");
        linger_remote::options().name("watch").remote(go.display().to_string()).await
    })
    .expect("all of it runs");
    for (name, state) in [("greeting", "finished"), ("demolition", "failed"), ("watch", "running")]
    {
        let filter = format!("name={name}");
        let rows =
            place.wait_for(&["list", "tasks", "-f", &filter], |rows| rows[0]["state"] == state);
        assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows:#}");
        let summary = place.json(&["summary"]);
        let counted = summary.as_array().expect("rows").iter().find(|row| row["name"] == name);
        assert_eq!(counted.expect("it is counted")["states"][state], 1, "{summary:#}");
    }
    let output = place.run(&["timeline", "--out", "-"]);
    let trace: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("events");
    for name in ["greeting", "demolition"] {
        let found = events.iter().any(|event| event["ph"] == "X" && event["name"] == name);
        assert!(found, "{name}: {trace:#}");
    }
    std::fs::write(go, "").expect("a file");
    rustyray::block_on(async { lingering.get().await }).expect("it ends");
    rustyray::block_on(runtime.shutdown()).expect("it lets go");
}

/// Beside a million tasks and as many objects with `RUSTYRAY_SCALE=full`, which then prints how long each took.
#[test]
fn many_tasks_are_counted_and_not_all_listed() {
    let full = std::env::var("RUSTYRAY_SCALE").is_ok_and(|scale| scale == "full");
    let many: u64 = if full { 1_000_000 } else { 3_000 };
    let place = Place::new();
    let socket = place.path().join("mine.sock");
    let builder =
        rustyray::Builder::new().num_cpus(1.0).visible(false).socket(&socket).max_workers(4);
    let runtime = rustyray::block_on(builder.start()).expect("a node starts");
    let entered = runtime.enter();
    let go = place.path().join("go");
    let (busy, behind) = rustyray::block_on(async {
        let busy = linger_remote::remote(go.display().to_string()).await?;
        let mut behind = Vec::new();
        for _ in 0..many {
            behind.push(after_remote::remote(&busy).await?);
        }
        Ok::<_, rustyray::Error>((busy, behind))
    })
    .expect("all are submitted");
    let timed = |arguments: &[&str]| {
        let address = ["--address", socket.to_str().expect("text")];
        let started = std::time::Instant::now();
        let said = place.json(&[arguments, &address].concat());
        if full {
            eprintln!("{arguments:?} beside {many} tasks: {:?}", started.elapsed());
        }
        said
    };
    let address = socket.to_str().expect("text");
    place.wait_for(&["list", "tasks", "-f", "state=running", "--address", address], |rows| {
        rows.as_array().is_some_and(|rows| rows.len() == 1)
    });
    let status = timed(&["status"]);
    assert_eq!(status["totals"]["tasks"], many + 1, "{status:#}");
    assert_eq!(status["totals"]["queued_tasks"], many, "{status:#}");
    let listed = timed(&["list", "tasks", "--limit", "10"]);
    let states: Vec<_> = listed.as_array().expect("rows").iter().map(|row| &row["state"]).collect();
    assert_eq!(states.len(), 10);
    assert_eq!(states[0], "running");
    assert!(states[1..].iter().all(|state| *state == "waiting"), "{states:?}");
    assert_eq!(timed(&["list", "tasks", "-f", "state=failed"]).as_array().map(Vec::len), Some(0));
    assert_eq!(timed(&["list", "tasks", "-f", "state=queued"]).as_array().map(Vec::len), Some(0));
    let summary = timed(&["summary"]);
    let of = |name: &str| {
        let mut rows = summary.as_array().expect("rows").iter();
        rows.find(|row| row["name"].as_str().is_some_and(|found| found.ends_with(name)))
    };
    assert_eq!(of("::after").expect("counted")["states"]["waiting"], many, "{summary:#}");
    assert_eq!(of("::linger").expect("counted")["states"]["running"], 1, "{summary:#}");
    assert_eq!(timed(&["list", "objects", "--limit", "10"]).as_array().map(Vec::len), Some(10));
    std::fs::write(go, "").expect("a file");
    rustyray::block_on(async { behind.last().expect("many").get().await }).expect("all run");
    drop((busy, behind, entered));
    rustyray::block_on(runtime.shutdown()).expect("it ends");
}

#[test]
fn logs_are_followed_until_the_node_ends() {
    let place = Place::new();
    let node = place.start(&[]);
    let mut follower = place
        .command(&["logs", "--follow", "--json"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let runtime = rustyray::blocking::connect(&node.socket).expect("it lets us in");
    rustyray::block_on(async { speak_remote::remote("boo".to_owned()).await?.get().await })
        .expect("it runs");
    let lines = BufReader::new(follower.stdout.take().expect("it is piped")).lines();
    let heard = lines.map(|line| line.expect("text")).find(|line| line.contains("it said boo"));
    assert!(heard.expect("it is followed").contains("\"text\":\"it said boo\""));
    rustyray::block_on(runtime.shutdown()).expect("it lets go");
    assert!(place.run(&["stop"]).status.success());
    assert!(follower.wait().expect("it ends with the node").success());
}

#[test]
fn who_follows_hears_the_last_words() {
    let place = Place::new();
    let socket = place.path().join("mine.sock");
    let builder = rustyray::Builder::new().num_cpus(1.0).visible(false).socket(&socket);
    let builder = builder.shutdown_grace(Duration::from_secs(60));
    let runtime = rustyray::block_on(builder.start()).expect("a node starts");
    let entered = runtime.enter();
    let go = place.path().join("go");
    let path = go.display().to_string();
    let last = rustyray::block_on(last_words_remote::remote(path)).expect("it is submitted");
    let address = socket.to_str().expect("text");
    let mut follower = place
        .command(&["logs", "--follow", "--address", address])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(follower.stdout.take().expect("it is piped")).lines();
    let mut next = || lines.next().map(|line| line.expect("text"));
    assert!(next().is_some_and(|line| line.ends_with(" it is at it")));
    std::thread::scope(|scope| {
        scope.spawn(|| rustyray::block_on(runtime.shutdown()).expect("it ends"));
        // The node has closed, and waits for what its worker has begun.
        crate::bench::until("nobody is let in any more", || !socket.exists());
        std::fs::write(&go, "").expect("a file");
    });
    assert!(next().is_some_and(|line| line.ends_with(" these are the last words")));
    assert_eq!(next(), None);
    assert!(follower.wait().expect("it ends with the node").success());
    drop((last, entered));
}

#[test]
fn metrics_are_served_by_their_conventions() {
    use std::io::{Read, Write};
    let place = Place::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("bound").port().to_string();
    drop(free);
    let node = place.start(&["--metrics-port", &port]);
    let another = place.run(&["start", "--daemon", "--metrics-port", &port]);
    assert_eq!(another.status.code(), Some(1), "{}", said(&another));
    assert!(said(&another).contains("Address already in use"), "{}", said(&another));
    let runtime = rustyray::blocking::connect(&node.socket).expect("it lets us in");
    rustyray::block_on(async { speak_remote::remote("x".to_owned()).await?.get().await })
        .expect("it runs");
    let scrape = |accept: &str| {
        let address = format!("127.0.0.1:{port}");
        let mut stream = std::net::TcpStream::connect(address).expect("it listens");
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
        write!(stream, "{request}{accept}\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        (head.to_owned(), body.to_owned())
    };
    let prometheus = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2\r\n";
    let (head, body) = scrape(prometheus);
    assert!(head.contains("application/openmetrics-text"), "{head}");
    for wanted in [
        "# TYPE rustyray_store_capacity_bytes gauge",
        "# UNIT rustyray_store_used_bytes bytes",
        "# TYPE rustyray_tasks_failed counter",
        "rustyray_tasks_failed_total 0",
        "rustyray_resource_capacity{resource=\"cpu\"} 2.0",
        "# TYPE rustyray_uptime_seconds gauge",
        "# EOF",
    ] {
        assert!(body.contains(wanted), "no `{wanted}` in {body}");
    }
    // What ends like a counter is one.
    for kind in body.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        assert!(!kind.contains("_total"), "{kind}");
    }

    // Who does not ask for that gets the text in which all that there is of a metric has one name.
    let (head, body) = scrape("");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(!body.contains("# UNIT") && !body.contains("# EOF"), "{body}");
    let described = |what: &str, name: &str| body.contains(&format!("# {what} {name} "));
    let samples: Vec<_> = body.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(samples.contains(&"rustyray_tasks_failed_total 0"), "{body}");
    for sample in samples {
        let name = sample.split(['{', ' ']).next().expect("a name");
        assert!(described("HELP", name) && described("TYPE", name), "{name} in {body}");
        let is_counter = body.contains(&format!("# TYPE {name} counter\n"));
        assert_eq!(is_counter, name.ends_with("_total"), "{name} in {body}");
    }
    rustyray::block_on(runtime.shutdown()).expect("it lets go");
}

#[rustyray::remote(max_retries = 2)]
fn fall() {
    std::process::abort();
}

#[rustyray::actor]
struct Bystander;

#[rustyray::actor_methods]
impl Bystander {
    pub fn new() -> Self {
        Bystander
    }

    pub fn look(&self) {}

    pub fn linger(&self, path: String) {
        linger(path);
    }
}

#[test]
fn what_died_by_itself_is_told_from_what_was_killed() {
    let place = Place::new();
    let node = place.start(&[]);
    let runtime = rustyray::blocking::connect(&node.socket).expect("it lets us in");
    rustyray::block_on(async {
        let fallen = fall_remote::remote().await?.get().await;
        assert!(
            matches!(fallen, Err(rustyray::Error::WorkerCrashed { attempt: 2, .. })),
            "{fallen:?}"
        );
        let bystander = Bystander::remote().await?;
        bystander.look().await?.get().await?;
        bystander.kill().await?;
        bystander.died().await?;
        Ok::<_, rustyray::Error>(())
    })
    .expect("all of it runs");
    // Each attempt took a worker with it, and the last was the last.
    let status = place.wait_for(&["status"], |status| status["totals"]["crashed_workers"] == 3);
    assert_eq!(status["totals"]["retried_tasks"], 2, "{status:#}");
    rustyray::block_on(runtime.shutdown()).expect("it lets go");
    place.wait_for(&["status"], |status| status["totals"]["workers"] == 0);
    assert_eq!(place.json(&["status"])["totals"]["crashed_workers"], 3);
}

#[test]
fn a_dead_actor_is_forgotten_with_its_last_handle() {
    let place = Place::new();
    let node = place.start(&[]);
    let runtime = rustyray::blocking::connect(&node.socket).expect("it lets us in");
    rustyray::block_on(async {
        let bystander = Bystander::remote().await?;
        bystander.kill().await?;
        bystander.died().await?;
        let dead = place.json(&["list", "actors"]);
        assert_eq!(dead[0]["state"], "dead", "{dead:#}");
        assert_eq!(dead[0]["reason"], "it was killed by `kill`", "{dead:#}");
        drop(bystander);
        // What a call refers to is held by who made it until it makes another.
        speak_remote::remote("so".to_owned()).await?.get().await
    })
    .expect("all of it runs");
    place.wait_for(&["list", "actors"], |rows| *rows == serde_json::json!([]));
    // Nor is what was kept to tell of its death.
    place.wait_for(&["list", "objects"], |rows| *rows == serde_json::json!([]));
    rustyray::block_on(runtime.shutdown()).expect("it lets go");
}

#[test]
fn what_is_listed_has_the_name_that_programs_know_it_by() {
    use rustyray::{Bundle, PlacementGroup, PlacementStrategy};
    let place = Place::new();
    let node = place.start(&[]);
    let runtime = rustyray::blocking::connect(&node.socket).expect("it lets us in");
    let go = place.path().join("go");
    rustyray::block_on(async {
        let bundles = [Bundle::new().num_cpus(0.5), Bundle::new().memory(1024)];
        let named = PlacementGroup::options().name("pair");
        let group = named.create(bundles, PlacementStrategy::Pack).await?;
        group.ready().await?;
        let listed = place.json(&["list", "placement-groups", "-f", "name=pair"]);
        assert_eq!(listed[0]["id"], group.id().to_string(), "{listed:#}");
        let shown = said(&place.run(&["list", "placement-groups"]));
        assert!(shown.contains("{0.5 cpu}, {1024 bytes of memory}"), "{shown}");

        let texts = rustyray::put(&vec!["a".to_owned()]).await?;
        let id = format!("id={texts}");
        let listed = place.json(&["list", "objects", "-f", &id]);
        assert_eq!(listed[0]["type_name"], "Vec<String>", "{listed:#}");

        // A kind is called the same in a filter and in what comes of it.
        let bystander = Bystander::remote().await?;
        let lingering = bystander.linger(go.display().to_string()).await?;
        let calls =
            place.wait_for(&["list", "tasks", "-f", "kind=call"], |rows| rows[0].is_object());
        assert_eq!(calls[0]["kind"], "call", "{calls:#}");
        std::fs::write(&go, "").expect("a file");
        lingering.get().await
    })
    .expect("all of it runs");
    rustyray::block_on(runtime.shutdown()).expect("it lets go");
}

#[test]
fn the_log_has_both_streams_of_the_workers() {
    let place = Place::new();
    let log = place.path().join("log");
    let node = place.start(&["--log", log.to_str().expect("text")]);
    let runtime = rustyray::blocking::connect(&node.socket).expect("it lets us in");
    rustyray::block_on(async { speak_remote::remote("baa".to_owned()).await?.get().await })
        .expect("it runs");
    crate::bench::until("both lines are there", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.contains("it said baa") && text.contains("and complained")
    });
    rustyray::block_on(runtime.shutdown()).expect("it lets go");
}
