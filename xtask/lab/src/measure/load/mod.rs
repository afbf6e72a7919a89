//! The one load driver: `wrk` sends as many requests as the server can answer, `oha` sends them at a fixed rate. Both send what
//! a [`Target`] says, from one address. Clients that are to have addresses of their own are [`Clients`] of this process.

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
pub(crate) use self::wrk::Flood;
use xtask::setup;

/// Connections of a stream: more than are ever busy at once, so that none waits for another.
const STREAM_CONNECTIONS: u32 = 64;

/// Both programs.
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
    pub(crate) fn on(self, cpus: &str) -> Self {
        Self {
            cpus: Some(cpus.to_owned()),
            ..self
        }
    }

    /// Where `oha` is.
    pub(crate) fn oha(&self) -> &Path {
        &self.oha
    }

    /// Sends as many requests as the server can answer on so many connections. A request that fails is an error.
    pub(crate) async fn flood(
        &self,
        target: &Target,
        connections: u32,
        seconds: u32,
    ) -> Result<Flood> {
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
