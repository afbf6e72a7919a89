//! The machine and the commit of a measurement.

use xtask::programs::output_of;

/// The commit that is checked out.
pub(crate) async fn commit() -> String {
    output_of("git", &["describe", "--always", "--dirty"]).await
}

/// The processor's name.
pub(crate) fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(": "))
        .map_or("unknown processor", |(_, name)| name)
        .to_owned()
}
