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
    let waiting = place.json(&["list", "tasks", "--filter", "state=waiting"]);
    assert!(waiting[0]["name"].as_str().expect("a name").ends_with("after"), "{waiting:#}");
    assert_eq!(waiting[0]["awaits"], 1);

    let failed = place.json(&["list", "tasks", "-f", "state=failed"]);
    assert_eq!(failed.as_array().map(Vec::len), Some(1), "{failed:#}");
    let error = failed[0]["error"].as_str().expect("an error");
    assert!(error.contains("the roof fell in"), "{error}");
    let cause = failed[0]["causes"][0].as_str().expect("a cause");
    assert!(cause.contains("an error occurred when formatting an argument"), "{cause}");
    let filtered = place.json(&["list", "tasks", "-f", "name=~collapse", "--limit", "1"]);
    assert_eq!(filtered.as_array().map(Vec::len), Some(1));

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
    assert!(status["store"]["pinned_bytes"].as_u64().expect("bytes") >= 8 << 16, "{status:#}");

    let summary = place.json(&["summary"]);
    assert!(summary.as_array().expect("rows").iter().any(|row| row["states"]["failed"] == 1));
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
fn what_was_recorded_becomes_a_timeline() {
    let place = Place::new();
    let node = place.start(&["--record"]);
    let runtime = rustyray::blocking::connect(&node.socket).expect("it lets us in");
    rustyray::block_on(async {
        let mut words = Vec::new();
        for at in 0..20 {
            words.push(speak_remote::remote("x".repeat(at)).await?);
        }
        rustyray::get_all(&words).await?;
        let failed = collapse_remote::remote().await?;
        assert!(failed.get().await.is_err());
        Ok::<_, rustyray::Error>(())
    })
    .unwrap_or_else(|error| panic!("{error}: {}", said(&place.run(&["logs"]))));
    // A completion may be on its way after its result was seen.
    let finished = place.wait_for(&["list", "tasks", "-f", "state=finished"], |rows| {
        rows.as_array().is_some_and(|rows| rows.len() == 20)
    });
    assert!(finished[0]["name"].as_str().expect("a name").ends_with("speak"), "{finished:#}");
    assert!(finished[0]["started_us"].as_u64().expect("a time") > 0);
    let failed = place
        .wait_for(&["list", "tasks", "-f", "state=failed"], |rows| rows[0]["duration_us"].is_u64());
    assert!(failed[0]["error"].as_str().expect("an error").contains("the roof fell in"));

    let output = place.run(&["timeline", "--out", "-"]);
    assert!(output.status.success(), "{}", said(&output));
    let trace: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("events");
    let complete: Vec<_> = events.iter().filter(|event| event["ph"] == "X").collect();
    assert_eq!(complete.len(), 21, "{trace:#}");
    assert!(complete.iter().all(|event| event["ts"].is_u64() && event["dur"].is_u64()));
    rustyray::block_on(runtime.shutdown()).expect("it lets go");
}

#[test]
fn metrics_are_served_by_their_conventions() {
    use std::io::{Read, Write};
    let place = Place::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("bound").port().to_string();
    drop(free);
    let node = place.start(&["--metrics-port", &port]);
    let runtime = rustyray::blocking::connect(&node.socket).expect("it lets us in");
    rustyray::block_on(async { speak_remote::remote("x".to_owned()).await?.get().await })
        .expect("it runs");
    let mut stream = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).expect("it listens");
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("application/openmetrics-text"), "{answer}");
    for wanted in [
        "# TYPE rustyray_store_capacity_bytes gauge",
        "# UNIT rustyray_store_used_bytes bytes",
        "# TYPE rustyray_tasks_failed counter",
        "rustyray_tasks_failed_total 0",
        "rustyray_resource_total{resource=\"cpu\"} 2.0",
        "# TYPE rustyray_uptime_seconds gauge",
        "# EOF",
    ] {
        assert!(answer.contains(wanted), "no `{wanted}` in {answer}");
    }
    rustyray::block_on(runtime.shutdown()).expect("it lets go");
}
