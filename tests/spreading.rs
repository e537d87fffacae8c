//! Which tasks run side by side: quick ones queue for one worker, and yet none waits behind one that is long.
//!
//! Nothing here is about how long something takes. Tasks *meet*: each says that it runs and waits until the others
//! do, which they never would if one of them were kept behind another.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rustyray::prelude::*;
use tempfile::TempDir;

/// After this nobody comes any more.
const NEVER: Duration = Duration::from_secs(60);

/// With a place it waits there until `of` have come; without one it does nothing.
#[rustyray::remote]
fn attend(place: Option<String>, name: u32, of: u32) -> bool {
    place.is_none_or(|place| meets(Path::new(&place), name, of))
}

fn meets(place: &Path, name: u32, of: u32) -> bool {
    std::fs::write(place.join(name.to_string()), []).expect("the place is there");
    let until = Instant::now() + NEVER;
    while Instant::now() < until {
        let come = std::fs::read_dir(place).expect("the place is there").count();
        if come >= of as usize {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

async fn quick(how_many: u32) -> rustyray::Result<Vec<ObjectRef<bool>>> {
    let mut tasks = Vec::new();
    for name in 0..how_many {
        tasks.push(attend_remote::remote(None, name, 0).await?);
    }
    Ok(tasks)
}

/// Has `of` tasks meet, with that many quick ones of their sort before each.
async fn meeting(of: u32, between: u32) -> rustyray::Result<()> {
    let place = TempDir::new().expect("a directory");
    let path = place.path().to_str().expect("a path in UTF-8");
    let (mut met, mut others) = (Vec::new(), Vec::new());
    for name in 0..of {
        others.extend(quick(between).await?);
        met.push(attend_remote::remote(Some(path.to_owned()), name, of).await?);
    }
    others.extend(quick(between).await?);
    assert_eq!(rustyray::get_all(&met).await?, vec![true; of as usize]);
    assert!(rustyray::get_all(&others).await?.into_iter().all(|done| done));
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn tasks_that_were_known_to_be_quick_run_side_by_side_when_they_are_long()
-> rustyray::Result<()> {
    rustyray::get_all(&quick(10_000).await?).await?;
    for between in [0, 1, 40, 400] {
        meeting(2, between).await?;
        rustyray::get_all(&quick(1_000).await?).await?;
    }
    Ok(())
}

#[rustyray::test(num_cpus = 6)]
async fn as_many_run_at_a_time_as_there_are_cpus() -> rustyray::Result<()> {
    meeting(6, 0).await?;
    rustyray::get_all(&quick(3_000).await?).await?;
    for between in [0, 3, 100] {
        meeting(6, between).await?;
    }
    Ok(())
}

/// Nobody who submits, or waits, is awake in the node's process meanwhile.
#[rustyray::test(num_cpus = 2)]
async fn nothing_waits_behind_a_long_task_while_the_driver_does_something_else()
-> rustyray::Result<()> {
    rustyray::get_all(&quick(10_000).await?).await?;
    let place = TempDir::new().expect("a directory");
    let path = place.path().to_str().expect("a path in UTF-8");
    let mut tasks = Vec::new();
    for name in 0..2 {
        tasks.push(attend_remote::remote(Some(path.to_owned()), name, 3).await?);
    }
    // The third is here.
    assert!(meets(place.path(), 2, 3), "both tasks run");
    assert_eq!(rustyray::get_all(&tasks).await?, [true, true]);
    Ok(())
}
