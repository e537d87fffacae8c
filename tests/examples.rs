//! The examples run to their end, and say what they are there to say.

use std::process::Command;

/// What an example may want of the crate.
const FEATURES: &str = if cfg!(feature = "arrow") { "arrow" } else { "" };

/// Runs an example; what it prints.
fn run(name: &str, arguments: &[&str]) -> String {
    // This test lies in `deps`, beside the directory of the examples.
    let here = std::env::current_exe().expect("it runs");
    let profile =
        here.parent().and_then(|deps| deps.parent()).expect("it lies in a target directory");
    let example = profile.join("examples").join(name);
    if !example.exists() {
        // `cargo test --test examples` does not build them.
        let built = Command::new(env!("CARGO"))
            .args(["build", "--features", FEATURES, "--example", name])
            .status();
        assert!(built.expect("cargo runs").success(), "{name} is not built");
    }
    let mut command = Command::new(&example);
    // Where `words` finds the documents that it counts.
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{name}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn what_torture_sets_out_to_do_follows_from_its_seed() {
    let plan = |seed| run("torture", &["--plan", "40", "--seed", seed]);
    let seven = plan("7");
    assert_eq!(seven, plan("7"));
    assert_ne!(seven, plan("8"));
    for wanted in ["step 39: player 1: ", "move 39: ", "LookAgain", "KillWorker", "PauseWorker"] {
        assert!(seven.contains(wanted), "no `{wanted}` in: {seven}");
    }
}

macro_rules! examples {
    ($($name:ident: $($wanted:literal),+;)*) => {$(
        #[test]
        fn $name() {
            let said = run(stringify!($name), &[]);
            for wanted in [$($wanted),+] {
                assert!(said.contains(wanted), "no `{wanted}` in: {said}");
            }
        }
    )*};
}
#[cfg(feature = "arrow")]
examples! {
    arrow_table: "Oslo   8.0 °C", "Cairo  25.0 °C";
}

examples! {
    quickstart: "the squares of 1 to 10 make 385";
    actors: "70 left", "refused: task `actors::Account::withdraw` failed", "Ada has 70, not 1000", "76 after saving";
    pipeline: "crossings in 24 signals";
    words: "the most used words of";
    streaming: "the primes below 1000 make 76127", "11";
    cancellation: "not found yet", "was cancelled", "longer than its timeout of 50 ms", "the first is Some(";
    fault_tolerance: "it worked on attempt 1", "did not run", "failed on worker", "it counts 1 again";
    attach: "sees 8388608 bytes of another's";
}
