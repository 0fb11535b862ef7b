//! How many sessions fit into memory: each one keeps weights of its own, packed for its products, so that memory grows with the cores.
//! Takes what the system says is free, where it says it.

use std::fs;

/// One session a core, but no more than fit into half of what is available, and at least one. `weights` and `available` in bytes. A
/// session is taken to need one and a half times its weights: the packed copy, and space to work in.
pub(super) fn sessions(cores: usize, weights: u64, available: Option<u64>) -> usize {
    let each = weights.saturating_add(weights / 2).max(1);
    let room = available.map_or(u64::MAX, |bytes| bytes / 2 / each);
    usize::try_from(room).unwrap_or(usize::MAX).min(cores).max(1)
}

/// Memory that new work may take, bytes; known on Linux only.
pub(super) fn available() -> Option<u64> {
    parse(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn parse(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_take_no_more_than_half_of_what_is_free() {
        const MIB: u64 = 1 << 20;
        for (cores, weights, available, expected) in [
            (64, 100 * MIB, Some(1000 * MIB), 3),
            (64, 100 * MIB, Some(64 * 300 * MIB), 64),
            (64, 100 * MIB, Some(64 * 300 * MIB - 1), 63),
            (2, 40 * MIB, Some(8000 * MIB), 2),
            // one is started in any case, and all where nothing is known
            (64, 6000 * MIB, Some(1000 * MIB), 1),
            (64, 6000 * MIB, Some(0), 1),
            (64, 6000 * MIB, None, 64),
            (8, 0, Some(MIB), 8),
            (0, 0, None, 1),
            (4, u64::MAX, Some(u64::MAX), 1),
        ] {
            assert_eq!(sessions(cores, weights, available), expected, "{cores} cores, {weights} bytes, {available:?} free");
        }
    }

    #[test]
    fn what_is_free_is_read_where_the_system_says_it() {
        assert_eq!(parse("MemTotal:       4 kB\nMemAvailable:       3 kB\nBuffers: 1 kB\n"), Some(3072));
        for nothing in
            ["", "MemTotal: 4 kB", "MemAvailable: kB", "MemAvailable: 3", "MemAvailable: -3 kB", "MemAvailable: 18446744073709551615 kB"]
        {
            assert_eq!(parse(nothing), None, "{nothing:?}");
        }
        assert_eq!(available().is_some(), cfg!(target_os = "linux"));
    }
}
