//! `cargo xtask console-test`: a browser tries everything that the console offers, and compares the page with what the
//! programs report.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;
use testbed::seed::{Dataset, LAB};
use testbed::{DataStore, Guest, Host, HostOptions, Progress, Proxy, find_program, new_folder};
use tokio::process::Command;

use xtask::build::{HOST_PACKAGE, PROXY_PACKAGE};
use xtask::setup::{self, BROWSER, COMPILING, MARIADB, NODE, PROCESSES, REDIS};
use xtask::stop_signals::{INTERRUPTED, StopSignals};
use xtask::{build, npm, paths};

/// The files that npm reads; the second pins every package.
const NPM_FILES: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

/// The folder of npm's files and of the scripts.
const SOURCE: &str = "xtask/lab/src/console_test";

/// A script of this folder, with its name.
macro_rules! script {
    ($name:literal) => {
        ($name, include_str!($name))
    };
}

/// The scripts that drive the browser; the first starts the others.
const SCRIPTS: [(&str, &str); 12] = [
    script!("console.mjs"),
    script!("clocks.mjs"),
    script!("cost.mjs"),
    script!("host.mjs"),
    script!("judge.mjs"),
    script!("load.mjs"),
    script!("looks.mjs"),
    script!("numbers.mjs"),
    script!("page.mjs"),
    script!("programs.mjs"),
    script!("scrapes.mjs"),
    script!("steps.mjs"),
];

/// An admin token for this run on this machine.
const TOKEN: &str = "the-token-of-one-console-test";

/// The seed of the random data.
const RNG_SEED: u64 = 42;

/// Try everything that the console offers in a browser, and compare its page with metrics and status
///
/// Needs Chromium, and takes playwright-core and axe-core from npm. Exits with 1 if a step fails.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Also write pictures of all views to this folder, at three sizes, light and dark
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
}

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    // Listens before anything is started, so that a signal always ends what was started.
    let mut stop = StopSignals::new()?;
    tokio::select! {
        () = stop.next() => Ok(ExitCode::from(INTERRUPTED)),
        done = test(&options) => done,
    }
}

async fn test(options: &Options) -> Result<ExitCode> {
    setup::wasm_target().await?;
    setup::tools(&[COMPILING, PROCESSES, MARIADB, REDIS, NODE, BROWSER]).await?;
    build::components().await?;
    build::test_guest().await?;
    build::programs(&[HOST_PACKAGE, PROXY_PACKAGE]).await?;
    let packages = npm::ready("console-test", SOURCE, &NPM_FILES).await?;
    let base = paths::target().join("tmp");
    let folder = new_folder(&base, "console-test")?;
    let store = DataStore::start(&base).await?;
    store.migrate(paths::program(HOST_PACKAGE))?;
    let dataset = Dataset::random(LAB, RNG_SEED);
    store.seed(&dataset).await?;
    let step = Progress::detect().step("two hosts and a proxy", 0);
    let hosts = [
        host(&store, &folder, 1).await?,
        host(&store, &folder, 2).await?,
    ];
    let proxy = proxy(&folder, &hosts).await?;
    step.finish();
    let settings = json!({
        "proxy": { "url": proxy.url(""), "admin": proxy.admin_url("") },
        "hosts": hosts.each_ref().map(|host| host.admin_url("")),
        "urls": hosts.each_ref().map(|host| host.url("")),
        "mysql": store.addresses().mysql_url(),
        "pids": {
            "proxy": proxy.process().id(),
            "hosts": hosts.each_ref().map(|host| host.process().id()),
        },
        "token": TOKEN,
        "files": files(&folder)?,
        "pictures": options.pictures.as_ref().map(std::path::absolute).transpose()?,
        "chromium": find_program("chromium").context("there is no chromium")?,
    });
    browse(&packages, &settings.to_string()).await
}

async fn host(store: &DataStore, folder: &Path, number: u8) -> Result<Host> {
    let state = folder.join(format!("state-{number}"));
    let options = HostOptions::new(paths::program(HOST_PACKAGE), paths::app())
        .env("STORE_HOST_ADMIN_TOKEN", TOKEN)
        .arg("--trace-tail")
        .arg("--trace-slow=2ms")
        // So that a version is slow only if it is made so, however busy the machine is.
        .arg("--canary-p99-slack=250ms")
        .arg(format!("--state-folder={}", state.display()));
    store.host(options).await
}

async fn proxy(folder: &Path, hosts: &[Host; 2]) -> Result<Proxy> {
    fs::write(folder.join("token"), TOKEN).context("writing the token")?;
    let servers = hosts.each_ref().map(|host| {
        let url = host.url("");
        format!("{{ address = \"{}\" }}", url.trim_start_matches("http://"))
    });
    let peers = [1, 2].map(|number| {
        let admin = hosts[number - 1].admin_url("");
        format!("host-{number} = \"{admin}\"")
    });
    // The first host appears under a second name too, which the page has to detect. The name contains colons, as
    // addresses do.
    let again = format!("\"host-1::again\" = \"{}\"", hosts[0].admin_url(""));
    let (servers, peers) = (servers.join(", "), peers.join(", ") + ", " + &again);
    let (proxy, _) = Proxy::start_on_free_ports(&paths::program(PROXY_PACKAGE), folder, |place| {
        let (port, admin) = (place.port, place.admin_port);
        format!(
            "[server]\nadmin = \"127.0.0.1:{admin}\"\nadmin_token_file = \"token\"\n\n\
                 [[listen]]\naddress = \"127.0.0.1:{port}\"\n\n\
                 [trace]\ntail = true\nslow = \"2ms\"\n\n[console]\npeers = {{ {peers} }}\n\n\
                 [upstreams.store]\ncache = {{}}\nhealth = {{ path = \"/readyz\" }}\nservers = [{servers}]\n"
        )
    })
    .await?;
    Ok(proxy)
}

/// Component versions to swap in, and a file that only looks like one.
fn files(folder: &Path) -> Result<serde_json::Value> {
    let write = |name: &str, bytes: Vec<u8>| -> Result<PathBuf> {
        let file = folder.join(name);
        fs::write(&file, bytes).with_context(|| format!("writing {}", file.display()))?;
        Ok(file)
    };
    let labelled = |label: &str| -> Result<Vec<u8>> {
        Ok(Guest::built("reports")?.labelled(label).into_bytes())
    };
    Ok(json!({
        "good": write("good.wasm", labelled("a good version")?)?,
        "better": write("better.wasm", labelled("another")?)?,
        "third": write("third.wasm", labelled("a third")?)?,
        "own": write("own.wasm", labelled("one for a host's own page")?)?,
        "promising": write("promising.wasm", labelled("one that goes through its steps")?)?,
        "slow": write("slow.wasm", Guest::test()?.mode("slow-2000")?.into_bytes())?,
        "obedient": write("obedient.wasm", Guest::test()?.into_bytes())?,
        "failing": write("failing.wasm", Guest::test()?.mode("trap-unless-probe")?.into_bytes())?,
        "hanging": write("hanging.wasm", Guest::test()?.mode("loop-on-probe")?.into_bytes())?,
        "different": write("different.wasm", Guest::test()?.version("answers otherwise")?.into_bytes())?,
        "broken": write("broken.wasm", b"\0asm\x0d\0\x01\0and no component".to_vec())?,
        "text": write("text.wasm", b"a text".to_vec())?,
    }))
}

async fn browse(packages: &Path, settings: &str) -> Result<ExitCode> {
    for (name, text) in SCRIPTS {
        let file = packages.join(name);
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    let mut browse = Command::new("node");
    browse
        .arg(packages.join(SCRIPTS[0].0))
        .arg(settings)
        .kill_on_drop(true);
    let status = browse.status().await.context("running node")?;
    ensure!(status.code().is_some(), "the browser's script was ended");
    Ok(xtask::verdict(status.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_that_another_imports_is_there() {
        for (name, text) in SCRIPTS {
            for imported in text.split('"').filter_map(|text| text.strip_prefix("./")) {
                let is_there = SCRIPTS.iter().any(|(other, _)| *other == imported);
                assert!(is_there, "{imported}, of {name}");
            }
        }
    }
}
