//! The dashboard in a real browser: it loads, goes on while a program runs, and shows what failed.
//!
//! Where no Chromium is installed there is nothing to test it with, and the test says so. With
//! `RUSTYRAY_CHROMIUM=required` that is a failure. `RUSTYRAY_PICTURES=directory` keeps what it looked like.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

#[path = "../node/bench.rs"]
#[allow(dead_code)] // what other tests use of it
mod bench;
mod browser;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::Value;

use crate::{bench::Place, browser::Browser};

#[rustyray::remote]
fn resize(picture: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(20 + picture * 37 % 130));
    picture
}

#[rustyray::remote]
fn encode(picture: u64) -> Vec<u8> {
    std::thread::sleep(Duration::from_millis(15 + picture * 53 % 60));
    println!("encoded picture {picture}");
    vec![0; (40_000 + picture * 7919 % 400_000) as usize]
}

#[derive(Debug)]
struct Unreadable;

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("picture 17 cannot be read")
    }
}

impl std::error::Error for Unreadable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&std::fmt::Error)
    }
}

#[rustyray::remote]
fn decode(picture: u64) -> Result<u64, Unreadable> {
    if picture == 17 { Err(Unreadable) } else { Ok(picture) }
}

#[rustyray::actor]
struct Index {
    pictures: u64,
}

#[rustyray::actor_methods]
impl Index {
    pub fn new() -> Self {
        Index { pictures: 0 }
    }

    pub fn add(&mut self, encoded: Vec<u8>) -> u64 {
        std::thread::sleep(Duration::from_millis(encoded.len() as u64 / 20_000));
        self.pictures += 1;
        self.pictures
    }
}

/// The command `rustyray dashboard`, ended when it is dropped.
struct Dashboard {
    process: Child,
    url: String,
    port: u16,
}

impl Dashboard {
    fn start(place: &Place) -> Dashboard {
        let mut process = place
            .command(&["dashboard", "--port", "0", "--json"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it says where it is");
        let said: Value = serde_json::from_str(&line).expect("as JSON");
        Dashboard {
            process,
            url: said["url"].as_str().expect("an address").to_owned(),
            port: said["port"].as_u64().expect("a port") as u16,
        }
    }

    /// What it answers to a request, head and body.
    fn answer(&self, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn only_who_has_the_token_sees_anything() {
    let place = Place::new();
    let _node = place.start(&[]);
    let dashboard = Dashboard::start(&place);
    let host = format!("Host: 127.0.0.1:{}\r\n", dashboard.port);
    for path in ["/", "/api/state", "/api/logs", "/app.js", "/?token=wrong"] {
        let answer = dashboard.answer(path, &host);
        assert!(answer.starts_with("HTTP/1.1 401"), "{path}: {answer}");
    }
    let token = dashboard.url.split("token=").nth(1).expect("a token");
    let bearer = format!("{host}Authorization: Bearer {token}\r\n");
    let answer = dashboard.answer("/api/state", &bearer);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"session\""), "{answer}");
    // Under another name, as a page elsewhere could give this address, it answers nobody.
    let elsewhere = format!("Host: evil.example\r\nAuthorization: Bearer {token}\r\n");
    let answer = dashboard.answer("/api/state", &elsewhere);
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    let answer = dashboard.answer(&format!("/?token={token}"), &host);
    assert!(answer.contains("HttpOnly; SameSite=Strict"), "{answer}");
}

#[test]
fn the_page_shows_a_program_while_it_runs() {
    let Some(program) = browser::chromium() else {
        assert_ne!(
            std::env::var("RUSTYRAY_CHROMIUM").as_deref(),
            Ok("required"),
            "a browser was asked for, and there is none"
        );
        eprintln!("skipped: no Chromium is installed to look at the page with");
        return;
    };
    let place = Place::new();
    let node = place.start(&["--record-call-sites"]);
    let runtime = rustyray::blocking::connect(&node.socket).expect("it lets us in");
    let dashboard = Dashboard::start(&place);
    let over = Arc::new(AtomicBool::new(false));
    let work = {
        let (over, runtime) = (Arc::clone(&over), runtime.clone());
        std::thread::spawn(move || {
            let _runtime = runtime.enter();
            rustyray::block_on(async {
                let index = Index::options().name("index").remote().await?;
                let mut held = Vec::new();
                let mut picture = 0;
                while !over.load(Ordering::Relaxed) {
                    let mut wave = Vec::new();
                    for _ in 0..12 {
                        picture += 1;
                        let decoded = decode_remote::remote(picture).await?;
                        let resized = resize_remote::options().name("thumbnail");
                        let resized = resized.remote(&decoded).await?;
                        let encoded = encode_remote::remote(&resized).await?;
                        wave.push(index.add(&encoded).await?);
                        held.push(encoded);
                    }
                    let _ = rustyray::wait(&wave, wave.len(), None).await?;
                    held.drain(..held.len().saturating_sub(60));
                }
                Ok::<_, rustyray::Error>(())
            })
        })
    };

    let mut page = Browser::start(program);
    page.prefer("light");
    page.open(&dashboard.url);
    // It loads, and the token is not left in the address.
    page.until("document.title === 'RustyRay' && !!document.querySelector('#tiles .tile')");
    page.until("!location.href.includes('token')");
    page.until("document.querySelectorAll('tbody tr').length > 0");

    // It goes on by itself.
    let finished = "Number([...document.querySelectorAll('.tile')].find(t => t.textContent.startsWith('Tasks finished')).querySelector('.value').textContent.replace(/,/g, ''))";
    page.until(&format!("{finished} > 20"));
    let before = page.value(finished).as_f64().expect("a number");
    page.until(&format!("{finished} > {before} + 10"));

    // A failed task with its chain, by keyboard alone.
    page.key("2");
    page.until("document.querySelector('#tab-failed').getAttribute('aria-selected') === 'true'");
    page.until("document.querySelector('#panel').innerText.includes('picture 17 cannot be read')");
    page.key("/");
    "nonesuch".chars().for_each(|letter| page.key(&letter.to_string()));
    page.until("document.querySelector('#panel').innerText.includes('Nothing matches the filter')");
    page.key("Escape");
    page.until("document.querySelectorAll('tbody tr').length > 0");
    page.key("/");
    "::decode\"".chars().for_each(|letter| page.key(&letter.to_string()));
    page.until("document.querySelectorAll('tbody tr').length === 1");
    page.value("document.querySelector('#filter').blur()");
    // A button that was tabbed to before has nothing of it.
    page.value("document.querySelector('#theme').focus()");
    page.key("j");
    page.key("Enter");
    page.until("!document.querySelector('#drawer').hidden");
    page.until("document.activeElement.id === 'drawer'");
    page.until("document.querySelectorAll('#drawer .chain li').length === 2");
    page.until("document.querySelector('#drawer').innerText.includes('an error occurred when formatting an argument')");
    keep(&mut page, "failure-light");
    page.key("Escape");
    page.until("document.querySelector('#drawer').hidden");
    page.value("document.querySelector('#filter').value = ''");

    // The other views have something to show.
    for (key, wanted) in [
        ("3", "index"),
        ("4", "KiB"),
        ("4", "dashboard/main.rs:"),
        ("5", "busy"),
        ("7", "encoded picture"),
    ] {
        page.key(key);
        page.until(&format!("document.querySelector('#panel').innerText.includes('{wanted}')"));
    }
    // The last line is in sight.
    let logs = "document.querySelector('.logs')";
    page.until(&format!("{logs}.scrollHeight > 2 * {logs}.clientHeight"));
    page.until(&format!("{logs}.scrollTop + {logs}.clientHeight > {logs}.scrollHeight - 30"));
    // By the name that it was given.
    page.key("1");
    page.until("document.querySelector('#panel').innerText.includes('thumbnail')");
    page.key("6");
    page.until(
        "!!document.querySelector('#timeline') && document.querySelector('#timeline').width > 0",
    );
    page.until("document.querySelector('#panel .legend').innerText.includes('thumbnail')");
    go_from_bar_to_bar(&mut page);
    keep(&mut page, "bar-light");
    page.key("Escape");
    page.until("!document.querySelector('#chart [role=option]')");
    page.key("+");
    keep(&mut page, "timeline-light");
    page.key("0");

    // Dark, by what the user likes and by the button.
    let ground = "getComputedStyle(document.body).backgroundColor";
    let light = page.value(ground);
    page.prefer("dark");
    page.until(&format!("{ground} !== {light}"));
    keep(&mut page, "timeline-dark");
    page.key("1");
    page.until("document.querySelectorAll('tbody tr').length > 3");
    keep(&mut page, "tasks-dark");
    page.key("t");
    page.until(&format!("{ground} === {light}"));
    keep(&mut page, "tasks-light");

    over.store(true, Ordering::Relaxed);
    work.join().expect("no panic").expect("all of it runs");
    rustyray::block_on(runtime.shutdown()).expect("it lets go");

    // And says so when the node is gone.
    assert!(place.run(&["stop"]).status.success());
    page.until("document.querySelector('#pulse').className === 'gone'");
}

/// The timeline by keyboard alone: to it, within it, to what a bar stands for, and back.
fn go_from_bar_to_bar(page: &mut Browser) {
    const BAR: &str = "document.querySelector('#chart [role=option]')";
    let nth = format!("Number({BAR}.getAttribute('aria-posinset'))");
    let worker = format!("Number({BAR}.textContent.split('worker ')[1])");
    page.value("document.querySelector('#filter').focus()");
    page.key("Tab");
    page.until("document.activeElement.id === 'chart'");
    page.until(&format!(
        "document.activeElement.getAttribute('aria-activedescendant') === {BAR}?.id"
    ));
    page.key("Home");
    page.until(&format!("{nth} === 1"));
    page.key("ArrowRight");
    page.until(&format!("{nth} === 2"));
    let second = page.value(&format!("{BAR}.textContent"));
    page.key("l");
    page.until(&format!("{nth} === 3"));
    page.key("ArrowLeft");
    page.until(&format!("{BAR}.textContent === {second}"));

    // It is painted again and again, and nothing of that is lost.
    let drawn = page.value("Number(document.body.dataset.drawn)").as_f64().expect("a number");
    page.until(&format!("Number(document.body.dataset.drawn) > {drawn} + 1"));
    assert_eq!(page.value("document.activeElement.id"), "chart");
    assert_eq!(page.value(&format!("{BAR}.textContent")), second);
    let second = second.as_str().expect("text");
    assert_eq!(page.told_of(BAR), ("option".to_owned(), second.to_owned()));
    assert!(second.contains("dashboard::") || second.contains("thumbnail"), "{second}");
    let (role, name) = page.told_of("document.querySelector('#chart')");
    assert_eq!(role, "listbox");
    assert!(name.contains(" tasks on ") && name.ends_with(" workers over time"), "{name}");

    // To the other workers, of which the lowest and the highest are the ends.
    let before = page.value(&worker).as_f64().expect("a process id");
    for _ in 0..9 {
        page.key("ArrowUp");
    }
    page.until(&format!("{worker} <= {before}"));
    let highest = page.value(&worker).as_f64().expect("a process id");
    page.key("ArrowDown");
    page.until(&format!("{worker} > {highest}"));

    // A bar that is out of sight is brought into it.
    for _ in 0..6 {
        page.key("+");
    }
    page.until(&format!("!{BAR}.hidden"));
    page.key("Home");
    page.until(&format!("{nth} === 1 && !{BAR}.hidden"));
    page.key("End");
    page.until(&format!("{nth} > 1 && !{BAR}.hidden"));
    page.key("0");

    page.key("Enter");
    page.until("document.activeElement.id === 'drawer'");
    let title = page.value("document.querySelector('#drawer h2').textContent");
    let of_bar = page.value(&format!("{BAR}.textContent"));
    assert!(of_bar.as_str().expect("text").starts_with(title.as_str().expect("text")), "{of_bar}");
    page.key("Escape");
    page.until("document.querySelector('#drawer').hidden");
    page.until("document.activeElement.id === 'chart'");

    // No key opens what a filter has taken away.
    page.value("document.querySelector('#filter').value = 'no task is called so'");
    page.until("document.querySelector('#panel').innerText.includes('Nothing matches the filter')");
    page.key("Enter");
    let drawn = page.value("Number(document.body.dataset.drawn)").as_f64().expect("a number");
    page.until(&format!("Number(document.body.dataset.drawn) > {drawn}"));
    assert_eq!(page.value("document.querySelector('#drawer').hidden"), true);
    page.value("document.querySelector('#filter').value = ''");
    page.until(&format!("!!{BAR}"));
}

/// Keeps a picture of the page, where that was asked for.
fn keep(page: &mut Browser, name: &str) {
    let Some(directory) = std::env::var_os("RUSTYRAY_PICTURES") else { return };
    page.until("sample.history.length > 20"); // lines over time are some time long
    let picture = page.picture();
    let path = std::path::Path::new(&directory).join(format!("{name}.png"));
    std::fs::write(path, picture).expect("the directory is there");
}
