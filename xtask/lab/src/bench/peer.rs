//! Other servers that are measured in the same run: servers at a URL, or WebAssembly hosts that are started here.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use testbed::{Process, free_port, start_program};
use tokio::time::sleep;

use super::Cpus;
use super::startup::{LIMIT, PAUSE, answers};
use xtask::paths;

/// A server that is measured beside the host and its twin.
#[derive(Clone, Debug)]
pub(super) struct Competitor {
    pub(super) name: String,
    pub(super) place: CompetitorAddress,
}

/// How to reach a competitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CompetitorAddress {
    /// It already runs, and serves the store's routes.
    Url(String),
    /// The program `wasmtime serve`. It offers only WASI and none of the store's other imports, so it serves an empty
    /// component.
    Wasmtime(PathBuf),
    /// wasmCloud's program `wash dev`, with the same empty component.
    Wash(PathBuf),
}

impl Competitor {
    /// Reads `NAME=URL`, `wasmtime=PROGRAM` or `wash=PROGRAM`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = "must be NAME=http://…, wasmtime=PROGRAM or wash=PROGRAM";
        let (name, place) = text.split_once('=').ok_or(wrong)?;
        let place = match (name, place) {
            ("", _) | (_, "") => return Err(wrong.to_owned()),
            (_, url) if url.starts_with("http://") => {
                CompetitorAddress::Url(url.trim_end_matches('/').to_owned())
            }
            ("wasmtime", program) => CompetitorAddress::Wasmtime(program.into()),
            ("wash", program) => CompetitorAddress::Wash(program.into()),
            _ => return Err(wrong.to_owned()),
        };
        Ok(Self {
            name: name.to_owned(),
            place,
        })
    }

    /// Starts the competitor on the measured server's processors, unless it already runs. Returns its URL.
    ///
    /// # Errors
    /// If it does not answer.
    pub(super) async fn start(
        &self,
        folder: &Path,
        cpus: &Cpus,
    ) -> Result<(String, Option<Process>)> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let text = address.to_string();
        let component = paths::component("empty").display().to_string();
        let command: Vec<String> = match &self.place {
            CompetitorAddress::Url(url) => return Ok((url.clone(), None)),
            CompetitorAddress::Wasmtime(program) => {
                let program = absolute(program)?;
                let words = [
                    program.as_str(),
                    "serve",
                    "-Wcomponent-model-async",
                    "-Sp3,cli",
                    "--addr",
                    &text,
                    &component,
                ];
                words.map(str::to_owned).into()
            }
            CompetitorAddress::Wash(program) => {
                let project = wash_project(folder, &component, &text)?;
                let program = absolute(program)?;
                let words = [program.as_str(), "-C", &project, "--non-interactive", "dev"];
                words.map(str::to_owned).into()
            }
        };
        let args = [vec!["--cpu-list".to_owned(), cpus.server.clone()], command].concat();
        let log = folder.join(format!("{}.log", self.name));
        let process = start_program(&self.name, "taskset", &args, &log)?;
        let started = Instant::now();
        while !answers(address).await.unwrap_or(false) {
            ensure!(
                process.exit_status()?.is_none() && started.elapsed() < LIMIT,
                "{} does not answer; its log ends with:{}",
                self.name,
                process.log_tail()
            );
            sleep(PAUSE).await;
        }
        Ok((format!("http://{address}"), Some(process)))
    }

    /// Whether it serves the empty component instead of a store.
    pub(super) fn is_empty(&self) -> bool {
        !matches!(self.place, CompetitorAddress::Url(_))
    }
}

fn absolute(program: &Path) -> Result<String> {
    let program = std::path::absolute(program).context("finding a peer's program")?;
    Ok(program.display().to_string())
}

/// A wash project whose component is already built.
fn wash_project(folder: &Path, component: &str, address: &str) -> Result<String> {
    let project = folder.join("wash");
    let settings = project.join(".wash");
    fs::create_dir_all(&settings).with_context(|| format!("creating {}", settings.display()))?;
    let text = format!(
        "build:\n  command: \"true\"\n  component_path: {component}\ndev:\n  address: {address}\n"
    );
    let file = settings.join("config.yaml");
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    Ok(project.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_a_name_and_a_place() {
        for (text, place) in [
            (
                "spin=http://127.0.0.1:3000/",
                CompetitorAddress::Url("http://127.0.0.1:3000".to_owned()),
            ),
            (
                "wasmtime=bin/wasmtime",
                CompetitorAddress::Wasmtime("bin/wasmtime".into()),
            ),
            (
                "wash=/opt/wash",
                CompetitorAddress::Wash("/opt/wash".into()),
            ),
        ] {
            assert_eq!(Competitor::parse(text).expect("it is one").place, place);
        }
        for wrong in ["spin", "=http://x", "spin=127.0.0.1:3000", "wasmtime="] {
            assert!(Competitor::parse(wrong).is_err(), "{wrong}");
        }
    }
}
