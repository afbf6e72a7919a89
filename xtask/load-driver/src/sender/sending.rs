//! Sends the requests of a job over its connections, and times each from when it was due.

use std::cell::{Cell, RefCell};
use std::net::Ipv4Addr;
use std::pin::pin;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use futures::future::try_join_all;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use tokio::time::{sleep, timeout};

use super::connection::{Connection, Server, requests};
use super::schedule::{Schedule, after};
use super::{Job, PATIENCE};
use crate::stream_result::Tally;
use crate::{STREAMS, StreamResult};

/// Does the job, or ends it early when `stop` comes; then sends what is overdue and waits for the answers that are
/// missing.
pub(super) async fn perform(job: &Job, stop: impl Future<Output = ()>) -> Result<StreamResult> {
    let server = Server::of(&job.target)?;
    let requests = requests(&job.target)?;
    ensure!(!requests.is_empty(), "there is nothing to send");
    let streams = if job.target.http2 { STREAMS } else { 1 };
    let mut stop = pin!(stop);
    let connections = tokio::select! {
        opened = open(&server, &job.target.clients, job.at_once.div_ceil(streams)) => opened?,
        () = &mut stop => bail!("stopped before the connections were open"),
    };
    let sending = Sending {
        requests,
        schedule: Schedule::start(job.rate, job.requests).context("making a timer")?,
        gave_up: Cell::new(false),
        tally: RefCell::new(Tally::default()),
    };
    let workers = connections
        .iter()
        .flat_map(|connection| (0..streams).map(move |_| connection))
        .take(job.at_once as usize)
        .map(|connection| sending.work(connection));
    let mut all = pin!(try_join_all(workers));
    tokio::select! {
        done = &mut all => drop(done?),
        () = must_end(job, stop) => {
            sending.schedule.end();
            if let Ok(done) = timeout(PATIENCE, &mut all).await {
                done?;
            } else {
                sending.gave_up.set(true);
                // Each request that was sent has a limit of its own.
                all.await?;
            }
        }
    }
    Ok(sending.measured(job))
}

/// Opens this many connections, which belong to the clients in turn.
async fn open<'a>(
    server: &'a Server,
    clients: &[Ipv4Addr],
    count: u32,
) -> Result<Vec<Connection<'a>>> {
    let mut clients = clients.iter().copied().cycle();
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(Connection::open(server, clients.next()).await?);
    }
    Ok(connections)
}

/// Waits until nothing more may become due: the job is stopped, or all its requests are due.
async fn must_end(job: &Job, stop: impl Future<Output = ()>) {
    match job.requests.zip(job.rate) {
        Some((requests, rate)) => tokio::select! {
            () = stop => {}
            () = sleep(after(requests, rate)) => {}
        },
        None => stop.await,
    }
}

/// A job that is being done.
struct Sending {
    requests: Vec<Request<Full<Bytes>>>,
    schedule: Schedule,
    /// Whether the requests that are still unsent stay so.
    gave_up: Cell<bool>,
    tally: RefCell<Tally>,
}

impl Sending {
    /// Sends one request at a time over this connection. Fails if the clock does.
    async fn work(&self, connection: &Connection<'_>) -> Result<()> {
        loop {
            let free = Instant::now();
            let turn = self.schedule.next().await;
            let Some(turn) = turn.context("waiting for the time")? else {
                return Ok(());
            };
            if self.gave_up.get() {
                return Ok(());
            }
            let index = turn.number as usize % self.requests.len();
            let request = self.requests[index].clone();
            let late = Instant::now().saturating_duration_since(free.max(turn.due));
            let outcome = timeout(PATIENCE, connection.exchange(request)).await;
            let took = turn.due.elapsed();
            let mut tally = self.tally.borrow_mut();
            tally.sent_late(late);
            match outcome {
                Ok(Ok(())) => {
                    tally.answered(took);
                    let (now, length) = (self.schedule.elapsed(), self.schedule.length());
                    if length.is_some_and(|length| now > length) {
                        tally.answered_after_the_end();
                    }
                }
                Ok(Err(error)) => tally.fail(&error.root_cause().to_string(), 1),
                Err(_) => tally.fail("no answer", 1),
            }
        }
    }

    fn measured(&self, job: &Job) -> StreamResult {
        let mut tally = self.tally.take();
        // Of a fixed number, those that were not sent show in the rate.
        if job.requests.is_none() {
            let due = self.schedule.requests().unwrap_or_default();
            tally.fail("not sent in time", due.saturating_sub(tally.requests()));
        }
        let length = self.schedule.length();
        let length = length.unwrap_or_else(|| self.schedule.elapsed());
        tally.measured(&job.stream, length.as_secs_f64())
    }
}

#[cfg(test)]
mod tests;
