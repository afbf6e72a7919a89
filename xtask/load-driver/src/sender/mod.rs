//! Requests at a fixed rate, evenly spaced, or a fixed number of them: the program `lab send`, which only [`Stream`]
//! starts, so that it has the processors of the load generators and shares its runtime with nothing else.
//!
//! It is our own because no maintained program does this: `oha` and others on tokio's timer send in bursts of a millisecond,
//! `h2load --rps` times a request from when it was sent instead of from when it was due, and `wrk2` is in neither Debian
//! nor crates.io. HTTP itself is hyper's.
//!
//! [`Stream`]: super::Stream

mod connection;
mod schedule;
mod sending;

use std::io::{self, BufRead};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{StreamResult, Target};

/// How many tasks run before the timer and the sockets are looked at again. With tokio's default of 61, a request that is
/// due would wait for the tasks of many answers.
const EVENT_INTERVAL: u32 = 4;

/// How long to wait for a connection, for an answer, and until all requests that are due have been sent: longer than the
/// servers' own limit.
const PATIENCE: Duration = Duration::from_secs(40);

/// Send the requests that standard input describes in one line of JSON, until it ends
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct SendOptions {}

/// What to send.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Job {
    /// The name of its requests in the [`StreamResult`].
    pub(super) stream: String,
    pub(super) target: Target,
    /// The highest number of requests under way at the same time.
    pub(super) at_once: u32,
    /// Requests per second; `None` for as fast as they are answered.
    pub(super) rate: Option<u32>,
    /// The number of requests; `None` for until stopped.
    pub(super) requests: Option<u64>,
}

/// Reads a job from standard input, does it, and prints a [`StreamResult`] in JSON. The end of standard input stops
/// it, so it also ends when its parent does.
///
/// # Errors
/// If the input is no job, or the server can't be reached.
#[expect(clippy::print_stdout, reason = "the parent reads the result there")]
pub async fn send(_: SendOptions) -> Result<ExitCode> {
    let measured = tokio::task::spawn_blocking(work).await;
    let measured = measured.context("waiting for the requests")??;
    println!("{}", serde_json::to_string(&measured)?);
    Ok(ExitCode::SUCCESS)
}

fn work() -> Result<StreamResult> {
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.context("reading standard input")?;
    let job: Job = serde_json::from_str(&line).context("reading what to send")?;
    let stop = Arc::new(Notify::new());
    let stopped = stop.clone();
    thread::spawn(move || {
        // A failure to read is an end too.
        _ = io::copy(&mut io::stdin(), &mut io::sink());
        stop.notify_one();
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .event_interval(EVENT_INTERVAL)
        .enable_all()
        .build()
        .context("starting a runtime")?;
    runtime.block_on(sending::perform(&job, stopped.notified()))
}
