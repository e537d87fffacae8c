//! The main job, run as a user would run it: does it end well, say what is wrong with a bad file,
//! and leave nothing behind?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use cargo_metadata::Message;
use tempfile::TempDir;

const HEADER: &str = "month,dep_delay,arr_delay,carrier,air_time,distance\n";

/// The example's executable. `cargo test` has built all that it needs; this adds the last step.
fn executable() -> &'static Path {
    static EXECUTABLE: OnceLock<PathBuf> = OnceLock::new();
    EXECUTABLE.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["build", "--workspace", "--example", "flights"])
            .args(["--quiet", "--message-format", "json-render-diagnostics"])
            .args((!cfg!(debug_assertions)).then_some("--release"))
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        let Output { status, stdout, stderr } = cargo.output().unwrap();
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        Message::parse_stream(&stdout[..])
            .filter_map(|message| match message.unwrap() {
                Message::CompilerArtifact(artifact) if artifact.target.name == "flights" => {
                    artifact.executable
                }
                _ => None,
            })
            .next()
            .expect("cargo names what it has built")
            .into()
    })
}

/// A run of the example in surroundings of its own, which [`Run::leaves_nothing`] looks at.
struct Run {
    /// The executable under a name of its own: its workers are the same file, so this tells them
    /// from those of other runs.
    link: TempDir,
    /// Where it may put sockets and other files.
    files: TempDir,
    /// Where its input lies.
    input: TempDir,
}

impl Run {
    fn new() -> Self {
        let link = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        // A copy would be open for writing in whatever another thread forks meanwhile, and could
        // not be executed until that is gone.
        fs::hard_link(executable(), link.path().join("flights")).unwrap();
        Run { link, files: tempfile::tempdir().unwrap(), input: tempfile::tempdir().unwrap() }
    }

    fn executable(&self) -> PathBuf {
        self.link.path().join("flights")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.executable());
        let files = self.files.path();
        command.args(arguments).env("TMPDIR", files).env("XDG_RUNTIME_DIR", files);
        command
    }

    fn output(&self, arguments: &[&str]) -> Ended {
        Ended::from(self.command(arguments).output().unwrap())
    }

    fn with_file(&self, content: &str) -> (String, Ended) {
        let path = self.input.path().join("own.csv");
        fs::write(&path, content).unwrap();
        let path = path.to_str().unwrap().to_string();
        let ended = self.output(&["--input", &path]);
        (path, ended)
    }

    /// No process still runs the executable, and no file lies where it may put some.
    fn leaves_nothing(&self) {
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            let processes = self.processes();
            if processes.is_empty() {
                break;
            }
            assert!(Instant::now() < patience, "still running: {processes:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(files_below(self.files.path()), [""; 0].map(PathBuf::from));
    }

    fn processes(&self) -> Vec<String> {
        let executable = self.executable();
        fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter(|entry| {
                fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == executable)
            })
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect()
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_below(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ended {
    #[track_caller]
    fn well(&self) {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        assert!(self.stdout.contains("Both give the same table."), "{self:?}");
    }

    #[track_caller]
    fn refused(&self, error: &str) {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert_eq!((self.stdout.as_str(), self.stderr.as_str()), ("", error));
    }

    /// The first cells of the table's line for a group.
    #[track_caller]
    fn row(&self, group: &str) -> Vec<&str> {
        let mut lines = self.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        lines
            .find(|cells| cells.first() == Some(&group))
            .unwrap_or_else(|| panic!("no row for {group}: {self:?}"))
    }
}

#[test]
fn carriers_of_2013_as_they_were() {
    let run = Run::new();
    let ended = run.output(&["--resamples", "3"]);
    ended.well();
    // Means over the same data computed with awk.
    assert_eq!(ended.row("UA")[..4], ["UA", "58665", "12.11", "3.56"]);
    assert_eq!(ended.row("all"), ["all", "336776", "12.64", "6.90", "–", "2.45", "1040", "417"]);
    run.leaves_nothing();
}

#[test]
fn months_of_2013_as_they_were() {
    let run = Run::new();
    let ended = run.output(&["--by", "month", "--resamples", "0", "--cpus", "1"]);
    ended.well();
    assert_eq!(ended.row("Feb")[..4], ["Feb", "24951", "10.82", "5.61"]);
    assert_eq!(ended.row("all"), ["all", "336776", "12.64", "6.90", "–", "2.45", "1040", "417"]);
    run.leaves_nothing();
}

#[test]
fn runs_at_the_same_time_do_not_disturb_each_other() {
    let runs = [Run::new(), Run::new()];
    let content = format!("{HEADER}1,2,11,UA,227,1400\n1,NA,NA,AA,NA,700\n");
    std::thread::scope(|scope| {
        for run in &runs {
            scope.spawn(|| {
                for _ in 0..3 {
                    let (_, ended) = run.with_file(&content);
                    ended.well();
                    assert_eq!(ended.row("AA")[1..], ["1", "–", "–", "–", "100.00", "700", "–"]);
                    assert_eq!(ended.row("UA")[..4], ["UA", "1", "2.00", "11.00"]);
                    run.leaves_nothing();
                }
            });
        }
    });
}

#[test]
fn bad_files_are_refused_with_the_place() {
    let run = Run::new();
    let (path, ended) = run.with_file(&format!("{HEADER}1,2,11,UA,227,1400\n1,2,11,UA,227,far\n"));
    ended.refused(&format!(
        "error: {path}, line 3, column `distance`: \"far\" is not a whole number or NA\n"
    ));
    let (path, ended) = run.with_file("month,carrier\n1,UA\n");
    ended.refused(&format!(
        "error: {path} has no column `dep_delay`; its columns are month, carrier\n"
    ));
    let (path, ended) = run.with_file("");
    ended.refused(&format!(
        "error: {path} is empty; it should begin with a header such as\n  {HEADER}"
    ));
    run.output(&["--input", "/nowhere/flights.csv"]).refused(
        "error: cannot open /nowhere/flights.csv\n  \
         caused by: No such file or directory (os error 2)\n",
    );
    run.leaves_nothing();
}

#[test]
fn bad_options_are_refused_and_help_is_given() {
    let run = Run::new();
    let refused = run.output(&["--by", "colour"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{refused:?}");
    assert!(refused.stderr.contains("possible values: carrier, month"), "{refused:?}");
    let help = run.output(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""), "{help:?}");
    assert!(help.stdout.contains("--input <PATH>"), "{help:?}");
    run.leaves_nothing();
}
