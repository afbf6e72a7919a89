//! What a process used, as the kernel counts it.

use std::fs;

use anyhow::{Context, Result};

/// The kernel counts a process's time in these.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time of the process so far.
pub(crate) fn cpu_seconds(id: u32) -> Result<f64> {
    let path = format!("/proc/{id}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let ticks = ticks_of(&stat).with_context(|| format!("understanding {path}"))?;
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

/// Memory of the process; what it shares with others is divided among them.
pub(crate) fn memory_kib(id: u32) -> Result<u64> {
    kib_in(&format!("/proc/{id}/smaps_rollup"), "Pss:")
}

/// The most memory that the process had at once since [`forget_peak`].
pub(crate) fn peak_kib(id: u32) -> Result<u64> {
    kib_in(&format!("/proc/{id}/status"), "VmHWM:")
}

/// Lets [`peak_kib`] begin anew (`proc(5)`, `clear_refs`).
pub(crate) fn forget_peak(id: u32) -> Result<()> {
    let path = format!("/proc/{id}/clear_refs");
    fs::write(&path, "5").with_context(|| format!("writing {path}"))
}

fn kib_in(path: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value
        .and_then(|value| value.trim().trim_end_matches(" kB").parse().ok())
        .with_context(|| format!("no {name} in {path}"))
}

/// Fields 14 and 15 of `/proc/ID/stat`, counted after the name, which may hold anything.
fn ticks_of(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_process_is_found_after_any_name() {
        let stat = "7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 120 45 0 0 20 0";
        assert_eq!(ticks_of(stat), Some(165));
        assert_eq!(ticks_of("7 (a"), None);
    }

    #[test]
    fn our_own_memory_is_known() {
        let id = std::process::id();
        assert!(memory_kib(id).expect("we run") > 0);
        assert!(peak_kib(id).expect("we run") > 0);
    }
}
