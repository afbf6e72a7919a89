//! The only load driver. `wrk` sends as many requests as the server can answer, `h2load` does so over HTTP/2, and our
//! own sender sends requests at a fixed rate, or a fixed number of them, if need be as clients with addresses of
//! their own. All three send the requests of a [`Target`].
//!
//! The sender is the calling program itself, started once more: the program must have a subcommand `send`, with
//! [`SendOptions`], that calls [`send`].

mod h2load;
mod sender;
mod statistics;
mod stream;
mod stream_result;
mod target;
mod wrk;

use std::env;
use std::path::Path;

use anyhow::{Context, Result};
use tokio::process::Command;

use self::sender::Job;
pub use self::sender::{SendOptions, send};
pub use self::statistics::{Spread, mean, median, quantile, spread};
pub use self::stream::Stream;
pub use self::stream_result::{StreamResult, mostly_unclear};
pub use self::target::{Request, Target};

/// The connections of a stream: more than are ever in use, so that no request waits for another.
const STREAM_CONNECTIONS: u32 = 64;

/// The connections of each client with an address of its own: as many as a browser opens to a server. All are used in
/// turn, so with many more, a large part of the requests would be the first of their connection.
const CLIENT_CONNECTIONS: u32 = 6;

/// The concurrent streams of an HTTP/2 connection: HTTP/2 clients send many requests over few connections.
const STREAMS: u32 = 8;

/// The name of a stream that is alone.
const ALL: &str = "all";

/// The result of a flood: as many requests as the server can answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Flood {
    /// The number of answers.
    pub requests: f64,
    /// Answers per second.
    pub requests_per_second: f64,
    /// The median time of an answer in milliseconds; `NaN` over HTTP/2, because h2load does not print it.
    pub p50_ms: f64,
}

/// The load generators. [`Loaders::pace`], [`Loaders::ask`] and [`Loaders::stream`] start this program with the
/// subcommand `send`, which must call [`send`].
#[derive(Default)]
pub struct Loaders {
    /// The processors that the generators run on, in the form of taskset; `None` for all.
    cpus: Option<String>,
}

impl Loaders {
    /// Generators that are limited to these processors.
    pub fn on(cpus: &str) -> Self {
        Self {
            cpus: Some(cpus.to_owned()),
        }
    }

    /// Sends as many requests as the server can answer over `connections` connections; over HTTP/2, that many at once.
    /// Fails if a request fails.
    pub async fn flood(&self, target: &Target, connections: u32, seconds: u32) -> Result<Flood> {
        if target.http2 {
            let h2load = self.command(Path::new("h2load"));
            return h2load::flood(h2load, target, connections, seconds).await;
        }
        wrk::flood(self.command(Path::new("wrk")), target, connections, seconds).await
    }

    /// Sends the requests of `seconds` seconds at a fixed rate, at most `at_once` at the same time: over HTTP/1.1, over
    /// that many connections. Fails if a request fails, but not if requests were left unsent because the server is too
    /// slow: [`StreamResult::requests_per_second`] shows that.
    pub async fn pace(
        &self,
        target: &Target,
        at_once: u32,
        seconds: u32,
        rate: u32,
    ) -> Result<StreamResult> {
        let requests = u64::from(rate) * u64::from(seconds);
        let job = Job {
            stream: ALL.to_owned(),
            target: target.clone(),
            at_once,
            rate: Some(rate),
            requests: Some(requests),
        };
        self.send(&job).await
    }

    /// Sends `requests` requests, `at_once` at the same time, however long they take. Fails if a request fails.
    pub async fn ask(&self, target: &Target, at_once: u32, requests: u32) -> Result<()> {
        let job = Job {
            stream: ALL.to_owned(),
            target: target.clone(),
            at_once,
            rate: None,
            requests: Some(requests.into()),
        };
        self.send(&job).await.map(drop)
    }

    async fn send(&self, job: &Job) -> Result<StreamResult> {
        let stream = Stream::start(self.sender()?, job).await?;
        stream.measured().await?.without_failures()
    }

    /// Sends requests at a fixed rate until it is stopped.
    pub async fn stream(&self, stream: &str, target: &Target, rate: u32) -> Result<Stream> {
        let at_once = match u32::try_from(target.clients.len())? {
            0 => STREAM_CONNECTIONS,
            clients => clients * CLIENT_CONNECTIONS,
        };
        let job = Job {
            stream: stream.to_owned(),
            target: target.clone(),
            at_once,
            rate: Some(rate),
            requests: None,
        };
        Stream::start(self.sender()?, &job).await
    }

    /// This program, which is the sender too.
    fn sender(&self) -> Result<Command> {
        let program = env::current_exe().context("finding this program")?;
        Ok(self.command(&program))
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
