//! How much memory there is for this process and its workers, and how much of it is left.
//!
//! The machine has so much, and a control group may allow less; what counts is the narrower of the two. What
//! the kernel can take back (clean pages of files) is no use of memory.

use std::{fs, path::PathBuf};

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) total_bytes: u64,
    pub(crate) available_bytes: u64,
}

/// What there is now; `None` where the system does not say.
pub(crate) fn memory() -> Option<Memory> {
    let machine = of_machine(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let group = group().and_then(|group| group.memory());
    Some(match group {
        Some(group) => Memory {
            total_bytes: machine.total_bytes.min(group.total_bytes),
            available_bytes: machine.available_bytes.min(group.available_bytes),
        },
        None => machine,
    })
}

fn of_machine(meminfo: &str) -> Option<Memory> {
    let field = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib << 10)
    };
    Some(Memory { total_bytes: field("MemTotal:")?, available_bytes: field("MemAvailable:")? })
}

/// The control group of this process, of either version.
struct Group {
    directory: PathBuf,
    limit: &'static str,
    used: &'static str,
    inactive: &'static str,
}

fn group() -> Option<Group> {
    group_of(&fs::read_to_string("/proc/self/cgroup").ok()?)
}

fn group_of(cgroup: &str) -> Option<Group> {
    cgroup.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
        let in_version_1 = controllers.split(',').any(|controller| controller == "memory");
        if controllers.is_empty() {
            Some(Group {
                directory: PathBuf::from("/sys/fs/cgroup").join(path),
                limit: "memory.max",
                used: "memory.current",
                inactive: "inactive_file ",
            })
        } else if in_version_1 {
            Some(Group {
                directory: PathBuf::from("/sys/fs/cgroup/memory").join(path),
                limit: "memory.limit_in_bytes",
                used: "memory.usage_in_bytes",
                inactive: "total_inactive_file ",
            })
        } else {
            None
        }
    })
}

impl Group {
    /// What the group and those around it allow; `None` where none has a limit.
    fn memory(&self) -> Option<Memory> {
        let read = |directory: &PathBuf, name: &str| -> Option<u64> {
            fs::read_to_string(directory.join(name)).ok()?.trim().parse().ok()
        };
        let mut narrowest: Option<Memory> = None;
        let mut directory = self.directory.clone();
        while directory.starts_with("/sys/fs/cgroup") {
            if let (Some(limit), Some(used)) =
                (read(&directory, self.limit), read(&directory, self.used))
                && limit < 1 << 60
            {
                let stat = fs::read_to_string(directory.join("memory.stat")).unwrap_or_default();
                let inactive = stat.lines().find_map(|line| line.strip_prefix(self.inactive));
                let inactive = inactive.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0);
                let available_bytes = limit.saturating_sub(used.saturating_sub(inactive));
                let here = Memory { total_bytes: limit, available_bytes };
                narrowest = Some(match narrowest {
                    Some(known) if known.available_bytes <= available_bytes => known,
                    _ => here,
                });
            }
            directory.pop();
        }
        narrowest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        let meminfo = "MemTotal:       16316412 kB\nMemFree:         100 kB\n\
                       MemAvailable:    8000000 kB\n";
        let memory = of_machine(meminfo).expect("both are there");
        assert_eq!(memory.total_bytes, 16_316_412 << 10);
        assert_eq!(memory.available_bytes, 8_000_000 << 10);
        assert_eq!(of_machine("MemTotal: 1 kB\n"), None);
        let two = group_of("0::/user.slice/a\n").expect("version 2");
        assert_eq!(two.directory, PathBuf::from("/sys/fs/cgroup/user.slice/a"));
        let one = group_of("5:cpu:/x\n4:memory:/docker/1\n").expect("version 1");
        assert_eq!(one.directory, PathBuf::from("/sys/fs/cgroup/memory/docker/1"));
        assert!(super::memory().is_some_and(|now| now.available_bytes <= now.total_bytes));
    }
}
