//! The only load driver. `wrk` sends as many requests as the server can answer, `h2load` does so over HTTP/2, and `oha`
//! sends requests at a fixed rate, or a fixed number of them. All three send the requests of a [`Target`] from one
//! address. For clients with addresses of their own, there are [`Clients`] in this process.

mod h2load;
mod oha;
mod paced;
mod stream_result;
mod target;
mod wrk;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use tokio::process::Command;

pub(crate) use self::oha::Stream;
pub(crate) use self::paced::{Clients, Request};
pub(crate) use self::stream_result::StreamResult;
pub(crate) use self::target::Target;
use xtask::setup;

/// The connections of a stream: more than are ever in use, so that no request waits for another.
const STREAM_CONNECTIONS: u32 = 64;

/// The concurrent streams of an HTTP/2 connection: HTTP/2 clients send many requests over few connections.
const STREAMS: u32 = 8;

/// The result of a flood: as many requests as the server can answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Flood {
    pub(crate) requests: f64,
    pub(crate) requests_per_second: f64,
    /// The median time of an answer in milliseconds; `NaN` over HTTP/2, because h2load does not print it.
    pub(crate) p50_ms: f64,
}

/// The load generators.
pub(crate) struct Loaders {
    oha: PathBuf,
    /// The processors that the generators run on, in the form of taskset; `None` for all.
    cpus: Option<String>,
}

impl Loaders {
    /// Finds the generators, and builds `oha` if it does not exist.
    pub(crate) async fn find_or_install() -> Result<Self> {
        Ok(Self {
            oha: setup::oha().await?,
            cpus: None,
        })
    }

    /// The same generators, limited to these processors.
    pub(crate) fn on(&self, cpus: &str) -> Self {
        Self {
            oha: self.oha.clone(),
            cpus: Some(cpus.to_owned()),
        }
    }

    /// The path of `oha`.
    pub(crate) fn oha(&self) -> &Path {
        &self.oha
    }

    /// Sends as many requests as the server can answer over `connections` connections; over HTTP/2, that many at once.
    /// Fails if a request fails.
    pub(crate) async fn flood(
        &self,
        target: &Target,
        connections: u32,
        seconds: u32,
    ) -> Result<Flood> {
        if target.http2 {
            let h2load = self.command(Path::new("h2load"));
            return h2load::flood(h2load, target, connections, seconds).await;
        }
        wrk::flood(self.command(Path::new("wrk")), target, connections, seconds).await
    }

    /// Sends requests at a fixed rate for `seconds` seconds. Fails if a request fails.
    pub(crate) async fn pace(
        &self,
        target: &Target,
        connections: u32,
        seconds: u32,
        rate: u32,
    ) -> Result<StreamResult> {
        let time = Duration::from_secs(seconds.into());
        let oha = self.command(&self.oha);
        let stream = Stream::start(oha, "all", target, connections, rate, time)?;
        stream.measured().await?.without_failures()
    }

    /// Sends `requests` requests, however long they take. Fails if a request fails.
    pub(crate) async fn ask(&self, target: &Target, connections: u32, requests: u32) -> Result<()> {
        let oha = self.command(&self.oha);
        let asking = Stream::asking(oha, target, connections, requests)?;
        asking.measured().await?.without_failures().map(drop)
    }

    /// Sends requests at a fixed rate until it is stopped, for at most `longest`.
    pub(crate) fn stream(
        &self,
        name: &'static str,
        target: &Target,
        rate: u32,
        longest: Duration,
    ) -> Result<Stream> {
        let oha = self.command(&self.oha);
        Stream::start(oha, name, target, STREAM_CONNECTIONS, rate, longest)
    }

    fn command(&self, program: &Path) -> Command {
        let Some(cpus) = &self.cpus else {
            return Command::new(program);
        };
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", cpus]).arg(program);
        command
    }
}
