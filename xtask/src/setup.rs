//! `cargo xtask setup`: installs what must be on the machine. The other commands install what they need by themselves.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::programs::find_program;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use tokio::process::Command;

use crate::cargo::{run_step, run_step_beside};
use crate::contract;
use crate::deny;
use crate::paths;
use crate::programs::output_of;

/// Install what the other commands need (they do so too): the wasm target, cmake, MariaDB, Redis, Prometheus, Python,
/// newman, cargo-deny
#[derive(Debug, Args)]
pub struct Options {}

/// A program, and the Debian package that contains it.
pub struct Tool {
    program: &'static str,
    package: &'static str,
}

const fn tool(program: &'static str, package: &'static str) -> Tool {
    Tool { program, package }
}

/// Needed to start any server.
pub const PROCESSES: &[Tool] = &[tool("setpriv", "util-linux")];

/// Needed to start our own MariaDB. The last is called by the second.
pub const MARIADB: &[Tool] = &[
    tool("mariadbd", "mariadb-server-core"),
    tool("mariadb-install-db", "mariadb-server-core"),
    tool("my_print_defaults", "mariadb-client-core"),
];

/// The library that makes servers a cluster, at its path in Debian's `galera-4`. The first package of [`GALERA`]
/// installs `galera-4` too.
pub const GALERA_LIBRARY: &str = "/usr/lib/galera/libgalera_smm.so";

/// Where MySQL and MariaDB keep the data of a machine's own server. The package `mariadb-server` moves it away if it is
/// another server's.
const MACHINE_DATA: &str = "/var/lib/mysql";

/// Needed to form a cluster of three MariaDB servers.
pub const GALERA: &[Tool] = &[
    tool("wsrep_sst_rsync", "mariadb-server"),
    tool("rsync", "rsync"),
];

/// Needed to give each member of a cluster its own network.
pub const NAMESPACES: &[Tool] = &[tool("ip", "iproute2"), tool("nsenter", "util-linux")];

/// Needed to start our own Redis.
pub const REDIS: &[Tool] = &[tool("redis-server", "redis-server")];

/// Needed to build the proxy, whose gzip library is C source, and the host, whose allocator is.
pub const COMPILING: &[Tool] = &[tool("cmake", "cmake"), tool("make", "make")];

/// Needed for `fuzz`, in addition: libFuzzer is C++ source.
pub const FUZZING: &[Tool] = &[tool("c++", "g++")];

/// Needed for `bench-proxy`.
pub const BENCH: &[Tool] = &[
    tool("nginx", "nginx-light"),
    tool("wrk", "wrk"),
    tool("h2load", "nghttp2-client"),
    tool("taskset", "util-linux"),
];

/// Needed to count instructions.
pub const COUNTING: &[Tool] = &[tool("valgrind", "valgrind")];

/// Needed for `up --observe`, and for the tests: `promtool` checks our `/metrics`.
pub const PROMETHEUS: &[Tool] = &[
    tool("prometheus", "prometheus"),
    tool("promtool", "prometheus"),
];

/// Needed to install and run newman, which runs the Postman collection.
pub const NODE: &[Tool] = &[tool("node", "nodejs"), tool("npm", "npm")];

/// Needed for the load tests, in addition to the packages that they install in their own folder.
const PYTHON: &[Tool] = &[tool("python3", "python3")];

/// Needed for the tests of the lab's report, which is a page that a browser opens.
pub const BROWSER: &[Tool] = &[tool("chromium", "chromium")];

/// Needed for `bench`.
pub const LOAD: &[Tool] = &[tool("wrk", "wrk"), tool("taskset", "util-linux")];

/// Needed for `package --test`.
pub const TRIAL: &[Tool] = &[
    tool("debootstrap", "debootstrap"),
    tool("systemd-nspawn", "systemd-container"),
    tool("skopeo", "skopeo"),
    tool("runc", "runc"),
];

const WASM_TARGET: &str = "wasm32-wasip2";

/// Runs the command.
///
/// # Errors
/// If something can't be installed.
pub async fn run(_: Options) -> Result<ExitCode> {
    wasm_target().await?;
    tools(&[COMPILING, PROCESSES, MARIADB, REDIS, PROMETHEUS]).await?;
    python().await?;
    contract::ready().await?;
    deny::ready().await?;
    eprintln!("✓ everything is installed");
    Ok(ExitCode::SUCCESS)
}

/// Installs the target for compiling components, unless it is installed.
pub async fn wasm_target() -> Result<()> {
    let mut rustc = Command::new("rustc");
    rustc
        .args(["--print", "target-libdir", "--target", WASM_TARGET])
        .current_dir(paths::root());
    let output = rustc
        .output()
        .await
        .context("asking rustc for its targets")?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    // A Rust from a Linux distribution has no rustup, but may have the target.
    if output.status.success() && folder.is_dir() {
        return Ok(());
    }
    ensure!(
        find_program("rustup").is_some(),
        "Rust's target {WASM_TARGET} is not installed, and there is no rustup to add it: see https://rustup.rs"
    );
    rustup(["target", "add", WASM_TARGET]).await
}

/// Installs rustfmt and clippy, unless they are installed.
pub async fn lint_components() -> Result<()> {
    for (program, component) in [("cargo-fmt", "rustfmt"), ("cargo-clippy", "clippy")] {
        let mut command = Command::new(program);
        let found = command
            .arg("--version")
            .current_dir(paths::root())
            .output()
            .await;
        if !found.is_ok_and(|output| output.status.success()) {
            rustup(["component", "add", component]).await?;
        }
    }
    Ok(())
}

/// The path of the program that merges profiles, a component of Rust.
pub async fn llvm_profdata() -> Result<PathBuf> {
    let libraries = PathBuf::from(output_of("rustc", &["--print", "target-libdir"]).await);
    let program = libraries.with_file_name("bin").join("llvm-profdata");
    if !program.exists() {
        rustup(["component", "add", "llvm-tools"]).await?;
    }
    Ok(program)
}

async fn rustup<const N: usize>(args: [&str; N]) -> Result<()> {
    let mut command = Command::new("rustup");
    command.args(args).current_dir(paths::root());
    run_step(&format!("rustup {}", args.join(" ")), command).await
}

/// Installs the missing programs of `groups`.
///
/// # Errors
/// If a program can't be installed.
pub async fn tools(groups: &[&'static [Tool]]) -> Result<()> {
    ensure_installed(groups, Output::Shown).await
}

/// As [`tools`], while other work shows its progress: apt's output is kept, and a line every few seconds says how far
/// apt is.
///
/// # Errors
/// If a program can't be installed.
pub async fn tools_beside(groups: &[&'static [Tool]]) -> Result<()> {
    ensure_installed(groups, Output::Kept).await
}

/// Installs, as [`tools_beside`] does, what MariaDB servers need to form a Galera cluster, unless that takes away a
/// server or data that this machine has.
///
/// # Errors
/// If something can't be installed, or Galera's library is not at Debian's path.
pub async fn galera_beside() -> Result<()> {
    let missing = missing(&[GALERA]);
    if !missing.is_empty() {
        let needs_server = missing.iter().any(|tool| tool.package == "mariadb-server");
        ensure!(
            !needs_server || !Path::new(MACHINE_DATA).exists(),
            "{MACHINE_DATA} holds a database, which the package mariadb-server may move away; install that package \
             yourself if it may"
        );
        install_all(&missing, &["--no-remove"], Output::Kept).await?;
    }
    ensure!(
        Path::new(GALERA_LIBRARY).exists(),
        "there is no {GALERA_LIBRARY}, which Debian's package galera-4 has"
    );
    Ok(())
}

/// Where the output of apt goes.
#[derive(Clone, Copy)]
enum Output {
    Shown,
    /// Into a file, which is named if apt fails.
    Kept,
}

async fn ensure_installed(groups: &[&'static [Tool]], output: Output) -> Result<()> {
    let missing = missing(groups);
    match missing.is_empty() {
        true => Ok(()),
        false => install_all(&missing, &[], output).await,
    }
}

/// Installs these programs. apt-get gets these options.
async fn install_all(tools: &[&Tool], options: &[&str], output: Output) -> Result<()> {
    let programs: Vec<&str> = tools.iter().map(|tool| tool.program).collect();
    let packages = tools.iter().map(|tool| tool.package).collect();
    install(&programs.join(", "), packages, options, output).await?;
    let left = programs
        .into_iter()
        .filter(|program| find_program(program).is_none());
    let left: Vec<&str> = left.collect();
    ensure!(left.is_empty(), "still not installed: {}", left.join(", "));
    Ok(())
}

/// Installs what a Python environment needs.
pub async fn python() -> Result<()> {
    tools(&[PYTHON]).await?;
    if !has_venv().await? {
        // Debian's python3 does not include the module.
        let packages = vec!["python3-venv"];
        install("python3's module venv", packages, &[], Output::Shown).await?;
        ensure!(
            has_venv().await?,
            "python3 still has no module venv: is the python3 on PATH another than Debian's?"
        );
    }
    Ok(())
}

async fn has_venv() -> Result<bool> {
    let mut python = Command::new("python3");
    let output = python.args(["-c", "import ensurepip, venv"]).output().await;
    Ok(output.context("running python3")?.status.success())
}

async fn install(
    missing: &str,
    mut packages: Vec<&str>,
    options: &[&str],
    output: Output,
) -> Result<()> {
    packages.sort_unstable();
    packages.dedup();
    if find_program("apt-get").is_none() {
        bail!(
            "not installed: {missing}. Install them (Debian's packages are {}), then try again",
            packages.join(" ")
        );
    }
    let Some(mut command) = as_root().await? else {
        let arguments = [options, packages.as_slice()].concat().join(" ");
        let by_hand = format!("sudo sh xtask/install-packages.sh {arguments}");
        bail!("not installed: {missing}. Run `{by_hand}`, then try again");
    };
    // Not killed together with us: the script has to clean up, and apt should always finish.
    command
        .arg("xtask/install-packages.sh")
        .args(options)
        .current_dir(paths::root());
    let title = format!("install {}", packages.join(" "));
    match output {
        Output::Shown => {
            command.args(packages);
            run_step(&title, command).await
        }
        Output::Kept => {
            // apt writes the lines that `how_far` reads, among the others.
            command.args(["-o", "APT::Status-Fd=1"]).args(packages);
            let log = paths::target().join("install-packages.log");
            run_step_beside(&title, command, &log, how_far).await
        }
    }
}

/// How far apt is, from lines as `dlstatus:1:14.6157:Retrieving file 1 of 2`: a kind, a number or a name, a percentage
/// of this kind's work, and what is done.
fn how_far(line: &str) -> Option<String> {
    let mut parts = line.splitn(4, ':');
    let kind = parts.next()?;
    let percent: f32 = parts.nth(1)?.parse().ok()?;
    let what = parts.next()?;
    matches!(kind, "dlstatus" | "pmstatus").then(|| format!("{percent:.0} %, {what}"))
}

fn missing(groups: &[&'static [Tool]]) -> Vec<&'static Tool> {
    let tools = groups.iter().flat_map(|group| group.iter());
    tools
        .filter(|tool| find_program(tool.program).is_none())
        .collect()
}

/// A shell with root's rights, if that needs no password.
async fn as_root() -> Result<Option<Command>> {
    let id = Command::new("id")
        .arg("-u")
        .output()
        .await
        .context("asking who we are")?;
    if id.stdout.trim_ascii() == b"0" {
        return Ok(Some(Command::new("sh")));
    }
    let sudo = Command::new("sudo").args(["-n", "true"]).output().await;
    if !sudo.is_ok_and(|output| output.status.success()) {
        return Ok(None);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", "sh"]);
    Ok(Some(command))
}

#[cfg(test)]
mod tests {
    use super::how_far;

    #[test]
    fn apt_says_how_far_it_is() {
        assert_eq!(
            how_far("dlstatus:1:14.6157:Retrieving file 1 of 2").as_deref(),
            Some("15 %, Retrieving file 1 of 2")
        );
        assert_eq!(
            how_far("pmstatus:redis-server:40.0000:Unpacking redis-server (amd64): new").as_deref(),
            Some("40 %, Unpacking redis-server (amd64): new")
        );
        assert_eq!(how_far("Setting up redis-server (5:7.0.15-1) ..."), None);
        assert_eq!(how_far("Get:1 http://a:80 b:c"), None);
    }
}
