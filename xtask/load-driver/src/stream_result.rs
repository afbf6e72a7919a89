//! The results of one stream of requests.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::{Deserialize, Deserializer, Serialize};

use crate::quantile;

/// If a smaller share of the requested rate was answered, the latency shows only how far behind the requests were.
const KEPT: f64 = 0.97;

/// If the generator's own delay is a larger share of the latency, the latency shows the generator rather than the server.
const MOST_LATE: f64 = 0.5;

/// The results of a stream. Times are `NaN` if nothing was answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamResult {
    /// The name of the stream.
    pub stream: String,
    /// The number of requests, those that failed included.
    pub requests: u64,
    /// The answers with 2xx per second, without those that came after the last request's interval. If they are fewer
    /// than requested, the generator or the server could not keep up.
    #[serde(deserialize_with = "time")]
    pub requests_per_second: f64,
    /// The number of answers other than 2xx, by status, and of requests without an answer, by reason.
    pub failed: BTreeMap<String, u64>,
    /// The median time from when a request was due to its answer, in milliseconds, like those below.
    #[serde(deserialize_with = "time")]
    pub p50_ms: f64,
    /// The 99th percentile.
    #[serde(deserialize_with = "time")]
    pub p99_ms: f64,
    /// The 99.9th percentile.
    #[serde(deserialize_with = "time")]
    pub p999_ms: f64,
    /// The longest.
    #[serde(deserialize_with = "time")]
    pub max_ms: f64,
    /// The 99th percentile of the generator's own delay: from when a request was due and a connection was free until it
    /// was sent. The other times contain it.
    #[serde(deserialize_with = "time")]
    pub late_p99_ms: f64,
}

/// JSON has no `NaN`: it is written as `null`.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

impl StreamResult {
    /// Why the latency at this rate says little about the server; `None` if it says something.
    pub fn unclear(&self, rate: u32) -> Option<&'static str> {
        let kept = self.requests_per_second >= KEPT * f64::from(rate);
        // Not if a time is NaN.
        let on_time = self.late_p99_ms <= MOST_LATE * self.p99_ms;
        match (kept, on_time) {
            (false, _) => Some("unclear: the rate was not kept"),
            (true, false) => Some("unclear: the load generator was late"),
            (true, true) => None,
        }
    }

    /// Fails if there were failures, or no answers.
    pub(super) fn without_failures(self) -> Result<Self> {
        ensure!(self.failed.is_empty(), "failed requests: {:?}", self.failed);
        ensure!(self.p50_ms.is_finite(), "nothing was answered");
        Ok(self)
    }
}

/// Why the latency of several rounds is unclear, from what [`StreamResult::unclear`] says of each; `None` if most are
/// clear.
pub fn mostly_unclear(rounds: impl Iterator<Item = Option<&'static str>>) -> Option<&'static str> {
    let rounds: Vec<_> = rounds.collect();
    let unclear: Vec<_> = rounds.iter().copied().flatten().collect();
    let is_clear = unclear.len() * 2 < rounds.len();
    unclear.first().copied().filter(|_| !is_clear)
}

/// Counts the outcomes of requests as they come.
#[derive(Debug, Default)]
pub(super) struct Tally {
    times_ms: Vec<f64>,
    late_ms: Vec<f64>,
    after_the_end: usize,
    failed: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts a request that was sent this long after it should have been.
    pub(super) fn sent_late(&mut self, late: Duration) {
        self.late_ms.push(ms(late));
    }

    /// Counts an answer with 2xx that took this long.
    pub(super) fn answered(&mut self, took: Duration) {
        self.times_ms.push(ms(took));
    }

    /// Counts one of the answers as too late for the answers per second.
    pub(super) fn answered_after_the_end(&mut self) {
        self.after_the_end += 1;
    }

    /// Counts `count` requests that failed for this reason.
    pub(super) fn fail(&mut self, reason: &str, count: u64) {
        if count > 0 {
            *self.failed.entry(reason.to_owned()).or_default() += count;
        }
    }

    /// The number of requests counted so far.
    pub(super) fn requests(&self) -> u64 {
        self.times_ms.len() as u64 + self.failed.values().sum::<u64>()
    }

    /// The results after this many seconds.
    pub(super) fn measured(mut self, stream: &str, seconds: f64) -> StreamResult {
        self.times_ms.sort_by(f64::total_cmp);
        self.late_ms.sort_by(f64::total_cmp);
        let in_time = self.times_ms.len() - self.after_the_end;
        let time = |part| quantile(&self.times_ms, part).unwrap_or(f64::NAN);
        StreamResult {
            stream: stream.to_owned(),
            requests: self.requests(),
            requests_per_second: in_time as f64 / seconds,
            p50_ms: time(0.5),
            p99_ms: time(0.99),
            p999_ms: time(0.999),
            max_ms: time(1.0),
            late_p99_ms: quantile(&self.late_ms, 0.99).unwrap_or(f64::NAN),
            failed: self.failed,
        }
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally() -> Tally {
        let mut tally = Tally::default();
        for time in [3, 1] {
            tally.answered(Duration::from_millis(time));
        }
        tally
    }

    #[test]
    fn what_failed_has_no_time() {
        let mut tally = tally();
        tally.fail("503", 1);
        tally.fail("503", 1);
        tally.fail("no answer", 0);
        let measured = tally.measured("reads", 2.0);
        assert_eq!((measured.requests, measured.requests_per_second), (4, 1.0));
        assert_eq!(measured.failed, BTreeMap::from([("503".to_owned(), 2)]));
        assert_eq!((measured.p50_ms, measured.max_ms), (1.0, 3.0));
        assert!(measured.without_failures().is_err());
    }

    #[test]
    fn only_answers_are_a_result() {
        let mut late = tally();
        late.answered_after_the_end();
        let measured = late.measured("reads", 2.0);
        assert_eq!((measured.requests, measured.requests_per_second), (2, 0.5));
        assert!(measured.without_failures().is_ok());
        let nothing = Tally::default().measured("reads", 2.0);
        assert!(nothing.without_failures().is_err());
    }

    #[test]
    fn a_latency_is_clear_if_the_rate_was_kept_on_time() {
        let mut tally = tally();
        tally.sent_late(Duration::from_millis(1));
        let mut measured = tally.measured("reads", 2.0);
        assert_eq!(measured.unclear(1), None);
        let not_kept = measured.unclear(2).expect("half the rate");
        assert_eq!(not_kept, "unclear: the rate was not kept");
        measured.late_p99_ms = 2.0;
        let late = measured.unclear(1).expect("late");
        assert_eq!(late, "unclear: the load generator was late");
        let rounds = |rounds: &[_]| mostly_unclear(rounds.iter().copied());
        assert_eq!(rounds(&[None, Some(late), None]), None);
        assert_eq!(rounds(&[Some(late), None, Some(not_kept)]), Some(late));
        assert_eq!(rounds(&[]), None);
    }

    #[test]
    fn results_are_read_as_they_were_written() {
        for tally in [tally(), Tally::default()] {
            let measured = tally.measured("", 2.0);
            let json = serde_json::to_string(&measured).expect("JSON");
            let read: StreamResult = serde_json::from_str(&json).expect("a result");
            assert_eq!(format!("{read:?}"), format!("{measured:?}"));
        }
    }
}
