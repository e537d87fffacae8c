//! What this machine has.

/// 30% of memory, bounded by half of what is available, never below 64 MiB.
pub(crate) fn default_capacity_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.trim().split(' ').next())
            .and_then(|kib| kib.parse::<u64>().ok())
            .map(|kib| kib * 1024)
    };
    let total = field("MemTotal:").unwrap_or(1 << 30);
    let available = field("MemAvailable:").unwrap_or(total);
    (total / 10 * 3).min(available / 2).max(64 << 20)
}
