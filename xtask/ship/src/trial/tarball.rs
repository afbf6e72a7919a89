//! The tarball: its programs in an empty root, and on a Debian as DEPLOY.md says, by a user who is not root.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use xtask::programs::require_program;

use super::document::commands;
use super::machine::Machine;
use super::{PASSWORD, folder, passed};
use crate::contents::of_repository;

/// The user who unpacks it.
const USER: &str = "tester";

/// Unpacks the tarball into an empty root and starts its programs there.
///
/// # Errors
/// If a program does not start.
pub(super) fn try_it(tarball: &Path) -> Result<()> {
    let root = folder().join("empty");
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("removing {}", root.display()))?;
    }
    fs::create_dir_all(&root).with_context(|| format!("creating {}", root.display()))?;
    let unpacked = std::process::Command::new("tar")
        .args(["--strip-components=1", "-xzf"])
        .arg(tarball)
        .arg("-C")
        .arg(&root)
        .status();
    ensure!(unpacked.context("running tar")?.success(), "tar fails");
    for program in ["/bin/store-host", "/bin/store-proxy"] {
        let output = std::process::Command::new(require_program("chroot")?)
            .arg(&root)
            .args([program, "--version"])
            .output()
            .context("running chroot")?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "{program} does not start without libraries"
        );
        println!("    {}", said.trim());
    }
    passed("the tarball's programs run in an empty root");
    Ok(())
}

/// Goes through the commands of DEPLOY.md on a machine whose database has the store's user, with the tarball in
/// `/var/tmp`. Leaves the machine as it was.
///
/// # Errors
/// The first thing that is not as it should be.
pub(super) fn serve(machine: &Machine, name: &str) -> Result<()> {
    let home = format!("/home/{USER}");
    machine.sh(&format!(
        "useradd --create-home {USER} && install -o {USER} -m 0644 /var/tmp/{name} {home}/{name}"
    ))?;
    let deploy = of_repository("docs/DEPLOY.md")?;
    let script = as_documented(&deploy)?;
    let place = format!("{home}/as-documented");
    machine.sh(&format!("cat > {place} <<'THE_END'\n{script}\nTHE_END"))?;
    let run = format!("cd {home} && runuser -u {USER} -- env HOME={home} sh -e {place}");
    machine
        .sh(&format!(
            "{run} > {home}/log 2>&1 < /dev/null || {{ cat {home}/log; false; }}"
        ))
        .context("the commands of DEPLOY.md, Without Debian")?;
    let log = || machine.sh(&format!("cat {home}/log"));
    let serves = machine.wait_for(
        "curl -s --max-time 10 http://127.0.0.1:8080/health-check",
        r#"{"status":"ok"}"#,
    );
    if let Err(error) = serves {
        return Err(error.context(log()?));
    }
    super::tour::fill(machine).with_context(|| log().unwrap_or_default())?;
    // The first reports are news for the proxy, which takes them only with its own token.
    let told = r#"curl -s http://127.0.0.1:5100/metrics | grep -c '^store_purges_total{result="done"} [1-9]'"#;
    machine
        .wait_for(told, "1")
        .with_context(|| log().unwrap_or_default())?;
    machine.sh(&format!("pkill -u {USER}"))?;
    machine.wait_for(&format!("pgrep -c -u {USER}"), "0")?;
    machine.sh(&format!("userdel --remove {USER} 2>&1"))?;
    machine.sh(&format!(
        "rm /var/tmp/{name} && mariadb -e 'DROP DATABASE store' && redis-cli FLUSHALL"
    ))?;
    passed(
        "the tarball's programs serve as DEPLOY.md says, with its example settings, started by a user",
    );
    Ok(())
}

/// The commands as a script. The last one serves in the foreground, where a person watches it.
fn as_documented(deploy: &str) -> Result<String> {
    let commands = commands(deploy, "### Without Debian")?;
    Ok(commands.join("\n").replace("a-secret", PASSWORD) + " &")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_says_how_the_programs_are_started() -> Result<()> {
        let script = as_documented(&of_repository("docs/DEPLOY.md")?)?;
        for part in ["tar -xzf", "store-host migrate", "store-proxy --config"] {
            assert!(script.contains(part), "no `{part}` in {script}");
        }
        assert!(script.ends_with("bin/store-host &"), "{script}");
        Ok(())
    }
}
