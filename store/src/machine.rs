//! What this machine has, and what of it this process may have: the defaults of a store.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// No less than this, unless the machine has not twice as much.
const LEAST_BYTES: u64 = 64 << 20;

/// 30% of memory, bounded by half of what is available now. What the control groups of this process
/// allow counts as if the machine had no more.
pub(crate) fn default_capacity_bytes() -> u64 {
    capacity_bytes(Memory::of_machine(Path::new("/")))
}

fn capacity_bytes(memory: Memory) -> u64 {
    let least = LEAST_BYTES.min(memory.total_bytes / 2);
    (memory.total_bytes / 10 * 3).min(memory.available_bytes / 2).max(least)
}

/// Whether so many bytes can be taken without need, and an eighth of what there is still be left.
pub(crate) fn has_spare(len_bytes: u64) -> bool {
    Memory::of_machine(Path::new("/")).has_spare(len_bytes)
}

/// The first directory for temporary files that is on a disk: one in memory would make no room. `None` when
/// there is none.
pub(crate) fn default_spill_dir() -> Option<PathBuf> {
    [std::env::temp_dir(), PathBuf::from("/var/tmp")].into_iter().find(|directory| {
        use nix::{
            sys::statfs::{self, statfs},
            unistd::{AccessFlags, access},
        };
        let in_memory = [statfs::TMPFS_MAGIC];
        statfs(directory).is_ok_and(|found| !in_memory.contains(&found.filesystem_type()))
            && access(directory, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
    })
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Memory {
    total_bytes: u64,
    available_bytes: u64,
}

impl Memory {
    /// What the files below `root` say.
    fn of_machine(root: &Path) -> Self {
        let text = fs::read_to_string(root.join("proc/meminfo")).unwrap_or_default();
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name))
                .and_then(|rest| rest.trim().split(' ').next())
                .and_then(|kib| kib.parse::<u64>().ok())
                .map(|kib| kib * 1024)
        };
        let total_bytes = field("MemTotal:").unwrap_or(1 << 30);
        let available_bytes = field("MemAvailable:").unwrap_or(total_bytes);
        let mut memory = Memory { total_bytes, available_bytes };
        let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        for line in groups.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
            if controllers.is_empty() {
                let top = root.join("sys/fs/cgroup");
                memory.bound(&top, path, ["memory.max", "memory.current"], "inactive_file");
            } else if controllers.split(',').any(|controller| controller == "memory") {
                let top = root.join("sys/fs/cgroup/memory");
                let names = ["memory.limit_in_bytes", "memory.usage_in_bytes"];
                memory.bound(&top, path, names, "total_inactive_file");
            }
        }
        memory
    }

    fn has_spare(self, len_bytes: u64) -> bool {
        self.available_bytes.saturating_sub(len_bytes) >= self.total_bytes / 8
    }

    /// Bounds it by a control group and all that it is in. A process in a namespace of its own sees its group
    /// as the top.
    fn bound(&mut self, top: &Path, path: &str, [limit, usage]: [&str; 2], cache: &str) {
        let number = |group: &Path, name: &str| -> Option<u64> {
            fs::read_to_string(group.join(name)).ok()?.trim().parse().ok()
        };
        let mut group = top.join(path.trim_start_matches('/'));
        if path.split('/').any(|part| part == "..") {
            group = top.to_owned();
        }
        loop {
            // "max", or a group without a limit, says nothing.
            if let Some(limit_bytes) = number(&group, limit) {
                self.total_bytes = self.total_bytes.min(limit_bytes);
                let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
                // Pages of files that were not used for a while make room when it is needed.
                let cache_bytes = stat
                    .lines()
                    .find_map(|line| line.strip_prefix(cache)?.trim().parse::<u64>().ok())
                    .unwrap_or(0);
                let used_bytes = number(&group, usage).unwrap_or(0).saturating_sub(cache_bytes);
                self.available_bytes =
                    self.available_bytes.min(limit_bytes.saturating_sub(used_bytes));
            }
            if group == top || !group.pop() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A directory with the files of a machine.
    struct Machine(PathBuf);

    impl Machine {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let name = format!("rustyray-machine-{name}-{}", std::process::id());
            let root = std::env::temp_dir().join(name);
            let meminfo = "MemTotal:       8388608 kB\nMemFree: 1 kB\nMemAvailable:   6291456 kB\n";
            for (path, text) in [("proc/meminfo", meminfo)].iter().chain(files) {
                let path = root.join(path);
                fs::create_dir_all(path.parent().expect("a directory")).expect("made");
                fs::write(path, text).expect("written");
            }
            Machine(root)
        }

        fn memory_mib(&self) -> (u64, u64) {
            let memory = Memory::of_machine(&self.0);
            (memory.total_bytes / MIB, memory.available_bytes / MIB)
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_machine_without_groups_has_what_it_says() {
        assert_eq!(Machine::new("bare", &[]).memory_mib(), (8192, 6144));
    }

    #[test]
    fn the_tightest_group_of_all_bounds_what_there_is() {
        let machine = Machine::new(
            "v2",
            &[
                ("proc/self/cgroup", "0::/outer/inner\n"),
                ("sys/fs/cgroup/outer/memory.max", "1073741824\n"),
                ("sys/fs/cgroup/outer/memory.current", "536870912\n"),
                ("sys/fs/cgroup/outer/memory.stat", "anon 1\ninactive_file 268435456\n"),
                ("sys/fs/cgroup/outer/inner/memory.max", "max\n"),
                ("sys/fs/cgroup/outer/inner/memory.current", "1\n"),
            ],
        );
        assert_eq!(machine.memory_mib(), (1024, 768));
        let memory = Memory::of_machine(&machine.0);
        assert!(memory.has_spare(640 * MIB) && !memory.has_spare(641 * MIB));
        let machine = Machine::new(
            "v1",
            &[
                ("proc/self/cgroup", "3:cpu:/x\n4:memory:/job\n0::/\n"),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ("sys/fs/cgroup/memory/memory.usage_in_bytes", "7000000000\n"),
                ("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "2147483648\n"),
                ("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "1073741824\n"),
            ],
        );
        assert_eq!(machine.memory_mib(), (2048, 1024));
    }

    #[test]
    fn a_container_sees_its_own_group_as_the_top() {
        let machine = Machine::new(
            "namespace",
            &[
                ("proc/self/cgroup", "0::/../sibling\n"),
                ("sys/fs/cgroup/memory.max", "536870912\n"),
                ("sys/fs/cgroup/memory.current", "0\n"),
            ],
        );
        assert_eq!(machine.memory_mib(), (512, 512));
    }

    #[test]
    fn a_store_takes_a_part_of_what_there_is() {
        let of = |total_mib: u64, available_mib: u64| {
            let (total_bytes, available_bytes) = (total_mib * MIB, available_mib * MIB);
            capacity_bytes(Memory { total_bytes, available_bytes }) / MIB
        };
        assert_eq!(of(10_000, 9_000), 3_000);
        assert_eq!(of(10_000, 1_000), 500);
        assert_eq!(of(1_000, 10), 64);
        assert_eq!(of(100, 100), 50, "not more than half of all");
    }
}
