//! Clients that ask without pause on kept-alive connections, and hold every answer to account.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::client::Client;
use super::wire::{Kind, Message};
use super::{PATIENCE, eventually};

/// Load that goes on until it is stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    workers: JoinSet<Vec<Record>>,
}

/// One request and what became of it.
#[derive(Debug)]
pub(crate) struct Record {
    /// What the request was called when it was made.
    pub(crate) label: String,
    /// The answer, or what came instead of one.
    pub(crate) outcome: Result<Message, String>,
    /// From the first byte sent to the last one read, a new connection included.
    pub(crate) elapsed: Duration,
}

/// All that happened under a load.
#[derive(Debug)]
pub(crate) struct Tally(pub(crate) Vec<Record>);

impl Load {
    /// `workers` clients; the `n`th request of all is `make(n)`, a label and its bytes.
    pub(crate) fn start(
        address: SocketAddr,
        workers: usize,
        make: impl Fn(usize) -> (String, String) + Clone + Send + 'static,
    ) -> Self {
        Self::paced(address, workers, Duration::ZERO, make)
    }

    /// The same, each client with a pause between requests.
    pub(crate) fn paced(
        address: SocketAddr,
        workers: usize,
        pause: Duration,
        make: impl Fn(usize) -> (String, String) + Clone + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let next = Arc::new(AtomicUsize::new(0));
        let mut set = JoinSet::new();
        for _ in 0..workers {
            let (stop, answered, next) = (stop.clone(), answered.clone(), next.clone());
            let make = make.clone();
            set.spawn(async move {
                let mut client = None;
                let mut records = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let (label, bytes) = make(next.fetch_add(1, Ordering::SeqCst));
                    let started = Instant::now();
                    let outcome = ask(&mut client, address, &bytes).await;
                    answered.fetch_add(usize::from(outcome.is_ok()), Ordering::SeqCst);
                    records.push(Record {
                        label,
                        outcome,
                        elapsed: started.elapsed(),
                    });
                    sleep(pause).await;
                }
                records
            });
        }
        Self {
            stop,
            answered,
            workers: set,
        }
    }

    /// Waits until `count` more requests were answered.
    pub(crate) async fn answers(&self, count: usize) {
        let goal = self.answered.load(Ordering::SeqCst) + count;
        eventually("the load makes progress", async || {
            self.answered.load(Ordering::SeqCst) >= goal
        })
        .await;
    }

    /// Lets every client finish its request, and gives all that happened.
    pub(crate) async fn stop(mut self) -> Tally {
        self.stop.store(true, Ordering::SeqCst);
        let mut records = Vec::new();
        while let Some(of_one) = self.workers.join_next().await {
            records.extend(of_one.unwrap());
        }
        Tally(records)
    }
}

/// A client keeps its connection as long as it is told it may, and gets a new one after a failure.
async fn ask(
    client: &mut Option<Client>,
    address: SocketAddr,
    bytes: &str,
) -> Result<Message, String> {
    let reused = client.is_some();
    let mut connection = match client.take() {
        Some(connection) => connection,
        None => Client::try_connect(address)
            .await
            .map_err(|error| format!("connecting: {error}"))?,
    };
    connection.send(bytes).await;
    let kind = if bytes.starts_with("HEAD") {
        Kind::HeadResponse
    } else {
        Kind::Response
    };
    let answer = connection.try_answer(kind).await;
    let answer = answer.map_err(|error| format!("{error} (connection reused: {reused})"))?;
    if !answer.closes() {
        *client = Some(connection);
    }
    Ok(answer)
}

impl Tally {
    /// Every request was answered with one of these statuses.
    #[track_caller]
    pub(crate) fn assert_only(&self, statuses: &[u16]) {
        let wrong: Vec<String> = self
            .0
            .iter()
            .filter(|r| !matches!(&r.outcome, Ok(a) if statuses.contains(&a.status())))
            .map(|r| match &r.outcome {
                Ok(answer) => format!("{}: {} {}", r.label, answer.status(), answer.text()),
                Err(error) => format!("{}: {error}", r.label),
            })
            .collect();
        let (of, some) = (self.0.len(), wrong.iter().take(10).collect::<Vec<_>>());
        assert!(
            wrong.is_empty(),
            "{} of {of} requests went wrong: {some:#?}",
            wrong.len()
        );
    }

    /// The latency that this share of the requests stayed under.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let mut all: Vec<Duration> = self.0.iter().map(|r| r.elapsed).collect();
        all.sort_unstable();
        let last = all.len().saturating_sub(1);
        let index = (last as f64 * share).round() as usize;
        all.get(index).copied().unwrap_or(PATIENCE)
    }
}
