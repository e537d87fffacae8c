//! The bar of `progress` on a real terminal, while workers write.

use std::{
    fs::File,
    io::Read,
    process::{Command, Stdio},
    time::Duration,
};

use nix::pty::{Winsize, openpty};

const TASKS: usize = 12;
/// Narrower than what workers write, and than the bar.
const WIDTH: usize = 40;

#[rustyray::remote]
fn speaks(number: u64) {
    let said = format!("task {number} says what has no room in one line");
    if number.is_multiple_of(2) {
        println!("{said}")
    } else {
        eprintln!("{said}")
    }
    std::thread::sleep(Duration::from_millis(30));
}

#[test]
#[ignore = "a driver for the tests below"]
fn driver_that_shows_progress() {
    let builder = rustyray::Builder::new().num_cpus(1.0).visible(false);
    rustyray::block_on(builder.start()).expect("a node starts");
    rustyray::block_on(async {
        let mut speaking = Vec::new();
        for number in 0..TASKS as u64 {
            speaking.push(speaks_remote::remote(number).await?);
        }
        rustyray::progress("speaking", &speaking).await
    })
    .expect("they run");
    rustyray::blocking::shutdown().expect("it ends");
}

fn driver() -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this executable"));
    command.args(["driver_that_shows_progress", "--exact", "--ignored", "--nocapture"]);
    command
}

/// What a terminal shows, as far as it is asked for here.
struct Screen {
    rows: Vec<Vec<char>>,
    column: usize,
    wraps: bool,
}

impl Screen {
    fn showing(written: &str) -> Vec<String> {
        let mut screen = Screen { rows: vec![Vec::new()], column: 0, wraps: true };
        let mut letters = written.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '\r' => screen.column = 0,
                '\n' => screen.rows.push(Vec::new()),
                '\x1b' if letters.next() == Some('[') => {
                    let mut order = String::new();
                    while !order.ends_with(char::is_alphabetic) {
                        order.extend(letters.next());
                    }
                    screen.obey(&order);
                }
                '\x1b' => drop(letters.next()), // a set of characters
                letter => screen.put(letter),
            }
        }
        screen.rows.iter().map(|row| row.iter().collect()).collect()
    }

    fn obey(&mut self, order: &str) {
        let row = self.rows.last_mut().expect("there is one");
        match order {
            "K" => row.truncate(self.column),
            "?7l" => self.wraps = false,
            "?7h" => self.wraps = true,
            _ => {} // colours of the tests' own report
        }
    }

    fn put(&mut self, letter: char) {
        if self.column == WIDTH {
            if self.wraps {
                self.rows.push(Vec::new());
                self.column = 0;
            } else {
                self.column -= 1;
            }
        }
        let row = self.rows.last_mut().expect("there is one");
        row.resize(row.len().max(self.column + 1), ' ');
        row[self.column] = letter;
        self.column += 1;
    }
}

#[test]
fn what_workers_write_goes_above_the_bar() {
    let size = Winsize { ws_row: 100, ws_col: WIDTH as u16, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(Some(&size), None).expect("a terminal");
    let same = || terminal.slave.try_clone().expect("one more descriptor");
    let mut child = driver()
        .stdin(Stdio::null())
        .stdout(same())
        .stderr(same())
        .spawn()
        .expect("the driver starts");
    drop(terminal.slave);
    let mut written = Vec::new();
    // When nobody has it open any more, a terminal says so by an error.
    let _ = File::from(terminal.master).read_to_end(&mut written);
    assert!(child.wait().expect("it ends").success());
    let rows = Screen::showing(&String::from_utf8_lossy(&written));
    let shown = rows.join("\n");

    let bars: Vec<_> = rows.iter().filter(|row| row.contains(['█', '░'])).collect();
    assert_eq!(bars.len(), 1, "the others were in the way of lines:\n{shown}");
    assert!(bars[0].starts_with(&format!("speaking {TASKS}/{TASKS} █")), "{shown}");
    for number in 0..TASKS {
        let said = format!(") task {number} says what has no room in one line");
        let at = rows.iter().position(|row| row.contains(&format!(") task {number} says")));
        let at = at.unwrap_or_else(|| panic!("task {number} is not heard:\n{shown}"));
        let line = rows[at..].iter().take(2).map(String::as_str).collect::<String>();
        assert!(line.starts_with("(worker ") && line.ends_with(&said), "{line}\n{shown}");
    }
}

#[test]
fn where_there_is_no_terminal_there_is_no_bar() {
    let output = driver().stdin(Stdio::null()).output().expect("the driver starts");
    assert!(output.status.success());
    for stream in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(stream);
        assert!(text.contains(" says what has no room in one line\n"), "{text}");
        assert!(!text.contains(['█', '░', '\x1b']), "{text}");
    }
}
