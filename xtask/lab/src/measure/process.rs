//! The resources that a process used, as the kernel counts them.

use std::fs;

use anyhow::{Context, Result};
use procfs::process::Process;
use procfs::ticks_per_second;

/// The user and system time of the process so far.
pub(crate) fn cpu_seconds(id: u32) -> Result<f64> {
    let stat = Process::new(i32::try_from(id)?).and_then(|process| process.stat());
    let stat = stat.with_context(|| format!("reading the times of process {id}"))?;
    Ok((stat.utime + stat.stime) as f64 / ticks_per_second() as f64)
}

/// The memory of the process in KiB; shared memory is divided among the processes that share it.
pub(crate) fn memory_kib(id: u32) -> Result<u64> {
    kib_in(&format!("/proc/{id}/smaps_rollup"), "Pss:")
}

/// The peak memory of the process since [`forget_peak`], in KiB.
pub(crate) fn peak_kib(id: u32) -> Result<u64> {
    kib_in(&format!("/proc/{id}/status"), "VmHWM:")
}

/// Resets the peak of [`peak_kib`] (`proc(5)`, `clear_refs`).
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_use_ourselves_is_known() {
        let id = std::process::id();
        assert!(cpu_seconds(id).expect("we run") < 3600.0);
        assert!(memory_kib(id).expect("we run") > 0);
        assert!(peak_kib(id).expect("we run") > 0);
    }
}
