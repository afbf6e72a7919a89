//! Sends finished traces from a thread of its own. If the receiver is slow, gone or refuses, spans are lost, but no
//! request waits or fails.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use parking_lot::Mutex;
use prometheus::{IntCounter, IntCounterVec};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::finished_trace::FinishedTrace;
use super::otlp;
use super::settings::{Batch, Destination};
use crate::metrics::Declare;

/// Time between two log lines about a receiver that takes nothing.
const LOG_PAUSE: Duration = Duration::from_secs(30);

/// Counters of spans, by what happened to them.
#[derive(Clone, Debug)]
pub struct SpanCounters {
    sent: IntCounter,
    /// Spans for which there was no room in the queue.
    dropped: IntCounter,
    /// Spans that the receiver did not take.
    failed: IntCounter,
}

impl SpanCounters {
    /// Declares the metric `name`.
    ///
    /// # Errors
    /// There already is a metric of this name.
    pub fn declare(declare: &Declare<'_>, name: &str) -> prometheus::Result<Self> {
        let help = "Spans for the trace receiver: sent, dropped as too many waited, or failed as it did not take them";
        let spans: IntCounterVec = declare.counters(name, help, &["result"])?;
        let of = |result| spans.with_label_values(&[result]);
        Ok(Self {
            sent: of("sent"),
            dropped: of("dropped"),
            failed: of("failed"),
        })
    }
}

/// The sending end of the queue to the thread.
#[derive(Debug)]
pub(super) struct Exporter {
    trees: mpsc::UnboundedSender<Arc<FinishedTrace>>,
    /// Number of spans that are not sent yet. Increased when a trace is queued, decreased by the thread.
    waiting: Arc<AtomicUsize>,
    /// Notified when the spans that wait fill a batch. Of the other traces, only the first of each batch wakes the
    /// thread: on a busy machine that costs more than to record them.
    is_full: Arc<Notify>,
    batch: Batch,
    counters: SpanCounters,
    end: Mutex<Option<ShutdownHandle>>,
}

/// Tells the thread to end, and learns when it has.
#[derive(Debug)]
struct ShutdownHandle {
    stop: oneshot::Sender<()>,
    done: oneshot::Receiver<()>,
}

/// The state of the thread.
struct Sender<E> {
    exporter: E,
    trees: mpsc::UnboundedReceiver<Arc<FinishedTrace>>,
    stop: oneshot::Receiver<()>,
    waiting: Arc<AtomicUsize>,
    is_full: Arc<Notify>,
    batch: Batch,
    counters: SpanCounters,
    logged: Option<Instant>,
}

impl Exporter {
    /// Starts the thread.
    ///
    /// # Errors
    /// The settings of the destination can't be used.
    pub(super) fn start(
        destination: Destination,
        program: &'static str,
        counters: SpanCounters,
    ) -> Result<Self, String> {
        let (trees, queue) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let (tell_done, done) = oneshot::channel();
        let (tell_ready, ready) = std::sync::mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let is_full = Arc::new(Notify::new());
        let batch = destination.batch;
        let (of_thread, fullness, count) = (waiting.clone(), is_full.clone(), counters.clone());
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell_ready.send(Err(error.to_string()))),
            };
            runtime.block_on(async move {
                let exporter = match otlp::exporter(&destination, program) {
                    Ok(exporter) => exporter,
                    Err(reason) => return drop(tell_ready.send(Err(reason))),
                };
                _ = tell_ready.send(Ok(()));
                let sender = Sender {
                    exporter,
                    trees: queue,
                    stop: stopped,
                    waiting: of_thread,
                    is_full: fullness,
                    batch,
                    counters: count,
                    logged: None,
                };
                sender.run().await;
                _ = tell_done.send(());
            });
        };
        let thread = std::thread::Builder::new().name("traces".into());
        thread.spawn(run).map_err(|error| error.to_string())?;
        ready
            .recv()
            .unwrap_or_else(|_| Err("it can't be set up".into()))?;
        Ok(Self {
            trees,
            waiting,
            is_full,
            batch,
            counters,
            end: Mutex::new(Some(ShutdownHandle { stop, done })),
        })
    }

    /// Queues a trace to be sent, in several batches if it is large, or counts it as dropped if too many spans wait.
    /// Returns whether it is queued.
    pub(super) fn push(&self, tree: Arc<FinishedTrace>) -> bool {
        let spans = tree.spans.len();
        let before = self.waiting.fetch_add(spans, Ordering::Relaxed);
        let is_sent = has_room(before, spans, self.batch.queue) && self.trees.send(tree).is_ok();
        if !is_sent {
            self.waiting.fetch_sub(spans, Ordering::Relaxed);
            self.counters.dropped.inc_by(spans as u64);
        } else if before < self.batch.size && before + spans >= self.batch.size {
            self.is_full.notify_one();
        }
        is_sent
    }

    /// Sends what waits, as far as `limit` allows.
    pub(super) async fn finish(&self, limit: Duration) {
        let Some(ShutdownHandle { stop, done }) = self.end.lock().take() else {
            return;
        };
        _ = stop.send(());
        if timeout(limit, done).await.is_err() {
            let spans = self.waiting.load(Ordering::Relaxed);
            tracing::warn!(spans, "Traces were not sent in time, and are lost");
        }
    }
}

/// Whether a trace of `spans` spans may wait, if `before` spans wait already and `most` may wait. A trace larger than
/// the whole queue would never fit, so it may wait if the queue is not full. So the queue exceeds its limit by one such
/// trace at most, and a trace has no more than a few hundred spans.
fn has_room(before: usize, spans: usize, most: usize) -> bool {
    before + spans <= most || (spans > most && before < most)
}

impl<E: SpanExporter> Sender<E> {
    async fn run(mut self) {
        let mut is_stopped = false;
        while !is_stopped {
            let mut trees = Vec::new();
            is_stopped = self.gather(&mut trees).await;
            self.send(&trees).await;
        }
        let mut left = Vec::new();
        while let Ok(tree) = self.trees.try_recv() {
            left.push(tree);
        }
        self.send(&left).await;
    }

    /// Waits until the traces fill a batch, or the first of them has waited long enough. Returns whether no more will
    /// come.
    async fn gather(&mut self, trees: &mut Vec<Arc<FinishedTrace>>) -> bool {
        let mut next = tokio::select! {
            biased;
            _ = &mut self.stop => return true,
            first = self.trees.recv() => first,
        };
        if next.is_none() {
            return true;
        }
        let mut due = pin!(sleep(self.batch.delay));
        let mut is_stopped = false;
        while !is_stopped && self.waiting.load(Ordering::Relaxed) < self.batch.size {
            tokio::select! {
                biased;
                _ = &mut self.stop => is_stopped = true,
                () = &mut due => break,
                () = self.is_full.notified() => {}
            }
        }
        let mut spans = 0;
        while let Some(tree) = next {
            spans += tree.spans.len();
            trees.push(tree);
            next = match spans < self.batch.size {
                true => self.trees.try_recv().ok(),
                false => None,
            };
        }
        is_stopped
    }

    async fn send(&mut self, trees: &[Arc<FinishedTrace>]) {
        let mut spans: Vec<SpanData> = trees.iter().flat_map(|tree| otlp::spans(tree)).collect();
        while !spans.is_empty() {
            let rest = spans.split_off(spans.len().min(self.batch.size));
            let count = spans.len();
            let sent = timeout(self.batch.timeout, self.exporter.export(spans)).await;
            self.waiting.fetch_sub(count, Ordering::Relaxed);
            match sent {
                Ok(Ok(())) => self.counters.sent.inc_by(count as u64),
                Ok(Err(error)) => self.failed(count, &error),
                Err(_) => self.failed(count, &format!("not taken within {:?}", self.batch.timeout)),
            }
            spans = rest;
        }
    }

    fn failed(&mut self, spans: usize, why: &dyn std::fmt::Display) {
        self.counters.failed.inc_by(spans as u64);
        if self
            .logged
            .is_none_or(|logged| logged.elapsed() >= LOG_PAUSE)
        {
            self.logged = Some(Instant::now());
            tracing::warn!(spans, "Traces can't be sent: {why}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::has_room;

    #[test]
    fn what_fits_may_wait_and_what_never_fits_as_long_as_there_is_any_room() {
        for (before, spans, expected) in [
            (0, 10, true),
            (6, 4, true),
            (6, 5, false),
            (10, 1, false),
            (0, 11, true),
            (9, 500, true),
            (10, 11, false),
            (509, 11, false),
        ] {
            let found = has_room(before, spans, 10);
            assert_eq!(found, expected, "{spans} where {before} wait");
        }
    }
}
