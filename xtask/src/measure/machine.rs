//! Where something was measured, and what.

use tokio::process::Command;

use crate::paths;

/// What a program says of itself on either stream, or nothing.
pub(crate) async fn output_of(program: &str, args: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(args).current_dir(paths::root());
    let Ok(output) = command.output().await else {
        return String::new();
    };
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said).trim().to_owned()
}

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
