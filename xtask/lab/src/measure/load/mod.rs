//! The one load driver: `wrk` sends as many requests as the server can answer, `h2load` the same over HTTP/2, `oha` sends them
//! at a fixed rate, or a fixed number. All send what a [`Target`] says, from one address. Clients that are to have addresses of
//! their own are [`Clients`] of this process.

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

/// Connections of a stream: more than are ever busy at once, so that none waits for another.
const STREAM_CONNECTIONS: u32 = 64;

/// Streams of one connection of HTTP/2: its clients ask for much at once on few connections.
const STREAMS: u32 = 8;

/// As much as goes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Flood {
    pub(crate) requests: f64,
    pub(crate) requests_per_second: f64,
    /// Half of the answers took no longer, in milliseconds; `NaN` over HTTP/2, where h2load does not say it.
    pub(crate) p50_ms: f64,
}

/// The programs.
pub(crate) struct Loaders {
    oha: PathBuf,
    /// The processors that they are kept to, as taskset names them; all of the machine's otherwise.
    cpus: Option<String>,
}

impl Loaders {
    /// Builds `oha` if it is not there.
    pub(crate) async fn find_or_install() -> Result<Self> {
        Ok(Self {
            oha: setup::oha().await?,
            cpus: None,
        })
    }

    /// The same, kept to these processors.
    pub(crate) fn on(&self, cpus: &str) -> Self {
        Self {
            oha: self.oha.clone(),
            cpus: Some(cpus.to_owned()),
        }
    }

    /// Where `oha` is.
    pub(crate) fn oha(&self) -> &Path {
        &self.oha
    }

    /// Sends as many requests as the server can answer on so many connections; over HTTP/2, so many at once. A request that
    /// fails is an error.
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

    /// Sends requests at a fixed rate for so many seconds. A request that fails is an error.
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

    /// Sends so many requests in all, however long they take. A request that fails is an error.
    pub(crate) async fn ask(&self, target: &Target, connections: u32, requests: u32) -> Result<()> {
        let oha = self.command(&self.oha);
        let asking = Stream::asking(oha, target, connections, requests)?;
        asking.measured().await?.without_failures().map(drop)
    }

    /// Sends requests at a fixed rate until it is interrupted, for `longest` at most.
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
