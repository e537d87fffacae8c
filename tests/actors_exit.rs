//! An actor that ends by `exit_actor`, and those who wait for it: they are told, also by an actor whose process
//! waits for them before it ends.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{path::Path, time::Duration};

use rustyray::prelude::*;

/// More calls than a process makes by way of the node.
const OFTEN: u32 = 60;

#[rustyray::actor]
struct Leaver;

#[rustyray::actor_methods]
impl Leaver {
    pub fn new() -> Self {
        Leaver
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Has the other ask after this actor, waits for nothing, and ends.
    pub async fn leave(
        &self,
        me: LeaverHandle,
        other: AskerHandle,
    ) -> rustyray::Result<ObjectRef<String>> {
        for _ in 0..OFTEN {
            other.nothing().await?.get().await?;
        }
        let asked = other.ask_after(me, None).await?;
        rustyray::exit_actor()?;
        Ok(asked)
    }

    /// Has the other ask after this actor, and waits for what it says.
    pub async fn hear(
        &self,
        me: LeaverHandle,
        other: AskerHandle,
        file: String,
    ) -> rustyray::Result<String> {
        other.ask_after(me, Some(file)).await?.get().await
    }

    /// Ends when the file is there.
    pub async fn leave_when(&self, file: String) -> rustyray::Result<()> {
        while !Path::new(&file).exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        rustyray::exit_actor()
    }
}

#[rustyray::actor]
struct Asker;

#[rustyray::actor_methods]
impl Asker {
    pub fn new() -> Self {
        Asker
    }

    pub fn nothing(&mut self) {}

    pub async fn ask_often(&mut self, leaver: LeaverHandle) -> rustyray::Result<()> {
        for _ in 0..OFTEN {
            leaver.pid().await?.get().await?;
        }
        Ok(())
    }

    /// Calls, then makes the file, and gives what the call ended with.
    pub async fn ask_after(
        &mut self,
        leaver: LeaverHandle,
        file: Option<String>,
    ) -> rustyray::Result<String> {
        let asked = leaver.pid().await;
        if let Some(file) = file {
            std::fs::write(file, "").expect("it can be written");
        }
        let pid = match asked {
            Ok(asked) => asked.get().await,
            Err(refused) => Err(refused),
        };
        Ok(match pid {
            Ok(pid) => format!("process {pid}"),
            Err(error) => error.to_string(),
        })
    }
}

fn is_told_of_the_exit(heard: &str) -> bool {
    heard.contains("Leaver") && heard.ends_with("it exited on its own")
}

#[rustyray::test(num_cpus = 2)]
async fn who_is_asked_by_an_actor_that_exits_does_not_wait_for_it() -> rustyray::Result<()> {
    for by_line in [false, true] {
        let (leaver, asker) = (Leaver::remote().await?, Asker::remote().await?);
        if by_line {
            asker.ask_often(&leaver).await?.get().await?;
        }
        let asked = leaver.leave(&leaver, &asker).await?.get().await?;
        let heard = asked.get().await?;
        assert!(is_told_of_the_exit(&heard), "{heard}");
        let death = leaver.died().await?;
        assert_eq!(death.reason, rustyray::ActorEnd::Exited);
    }
    Ok(())
}

#[rustyray::test(num_cpus = 2)]
async fn a_call_that_is_under_way_does_not_wait_for_one_that_begins_no_more() -> rustyray::Result<()>
{
    for by_line in [false, true] {
        let leaver = Leaver::options().max_concurrency(2).remote().await?;
        let asker = Asker::remote().await?;
        if by_line {
            asker.ask_often(&leaver).await?.get().await?;
        }
        let file = format!("rustyray-exit-{by_line}-{}", std::process::id());
        let file = std::env::temp_dir().join(file);
        let path = file.to_string_lossy().into_owned();
        // Both are under way from here on, and there is room for no third.
        let leaving = leaver.leave_when(path.clone()).await?;
        let heard = leaver.hear(&leaver, &asker, path).await?.get().await?;
        assert!(is_told_of_the_exit(&heard), "{heard}");
        leaving.get().await?;
        std::fs::remove_file(file).expect("it was made");
        assert_eq!(leaver.died().await?.reason, rustyray::ActorEnd::Exited);
    }
    Ok(())
}
