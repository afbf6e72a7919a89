//! Searches in steps for the highest rate of the course's mix that the store answers well.
//!
//! The course's load sends at most about 75 requests per second, because its users pause for 1 to 3 s and wait for each
//! answer, so a faster store looks hardly different. Here each of the three requests is sent at a third of the
//! rate, on time, however long the answers take.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use testbed::seed::Size;
use tokio::time::sleep;

use super::model::{Saturation, Step};
use super::usage::UsageMeter;
use crate::measure::{Basket, Loaders, Orders, Stream, StreamResult, Target};

/// The limit for the 99th percentile.
pub(super) const P99_LIMIT_MS: f64 = 100.0;

/// The number of different bodies. They are sent in turn.
const BODIES: usize = 5000;

/// The share of a step's requests that must be answered by its end: the last ones may take a little longer.
const ANSWERED_SHARE: f64 = 0.9;

/// The parameters of a search.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    /// The first rate, in requests per second.
    first: u32,
    /// The highest rate that is tried.
    highest: u32,
    /// How often the interval between the best rate and the lowest refused rate is halved.
    halvings: u32,
    step: Duration,
}

impl Plan {
    /// The search of a full run: a minute or less.
    pub(super) const FULL: Self = Self {
        first: 48,
        highest: 48 << 9,
        halvings: 3,
        step: Duration::from_secs(4),
    };

    /// The search of a quick run, which shows that it works and says nothing about the store.
    pub(super) const QUICK: Self = Self {
        first: 15,
        highest: 30,
        halvings: 0,
        step: Duration::from_secs(2),
    };

    /// Roughly how long the search takes.
    pub(super) fn about(self) -> Duration {
        self.step * (7 + self.halvings)
    }
}

/// Chooses the next rate from the results so far: doubles the rate until one is refused (or halves it until one is
/// not), then halves the interval between.
struct Search {
    plan: Plan,
    good: Option<u32>,
    bad: Option<u32>,
    halvings: u32,
}

impl Search {
    fn new(plan: Plan) -> Self {
        Self {
            plan,
            good: None,
            bad: None,
            halvings: 0,
        }
    }

    fn next(&mut self) -> Option<u32> {
        match (self.good, self.bad) {
            (None, None) => Some(self.plan.first),
            (Some(good), None) => Some(good * 2).filter(|rate| *rate <= self.plan.highest),
            // The rate is divided among three streams, and each needs at least one request per second.
            (None, Some(bad)) => Some(bad / 2).filter(|rate| *rate >= 3),
            (Some(good), Some(bad)) => {
                self.halvings += 1;
                let middle = (good + bad) / 2 / 3 * 3;
                (self.halvings <= self.plan.halvings && middle > good && middle < bad)
                    .then_some(middle)
            }
        }
    }

    fn tell(&mut self, rate: u32, good: bool) {
        if good {
            self.good = self.good.max(Some(rate));
        } else {
            self.bad = Some(self.bad.map_or(rate, |bad| bad.min(rate)));
        }
    }
}

/// Sends requests to the store at a fixed rate.
pub(super) struct Shooter<'a> {
    loaders: &'a Loaders,
    /// The streams of requests; all have the same share of the rate.
    streams: Vec<(&'static str, Target)>,
}

impl<'a> Shooter<'a> {
    /// The course's mix for the store at `base`, with data of this size.
    pub(super) fn of_the_course(loaders: &'a Loaders, base: &str, size: &Size, seed: u64) -> Self {
        let bodies = Orders::new(Basket::Course, size, seed).take(BODIES);
        let report = |name: &str| Target::get(base, &format!("/orders/reports/{name}"));
        let streams = vec![
            ("POST /orders", Target::orders(base, bodies)),
            ("highest spenders", report("highest-spenders")),
            ("best sellers", report("best-sellers")),
        ];
        Self { loaders, streams }
    }

    /// Only orders, all of the one product that everybody wants.
    pub(super) fn of_a_flash_sale(
        loaders: &'a Loaders,
        base: &str,
        size: &Size,
        seed: u64,
    ) -> Self {
        let bodies = Orders::new(Basket::FlashSale, size, seed).take(BODIES);
        let streams = vec![("POST /orders", Target::orders(base, bodies))];
        Self { loaders, streams }
    }

    /// Sends `rate` requests per second for `time`, the same number of each kind, and waits for all answers.
    async fn send(&self, rate: u32, time: Duration) -> Result<Vec<StreamResult>> {
        let each = (rate / u32::try_from(self.streams.len())?).max(1);
        let mut streams = Vec::new();
        for (name, target) in &self.streams {
            streams.push(self.loaders.stream(name, target, each).await?);
        }
        sleep(time).await;
        Stream::stop_all(streams).await
    }
}

/// Searches for the highest rate that the store answers well.
pub(super) async fn search(
    shooter: &Shooter<'_>,
    plan: Plan,
    watch: &mut UsageMeter,
) -> Result<Saturation> {
    let mut found = Saturation::default();
    let mut search = Search::new(plan);
    while let Some(rate) = search.next() {
        watch.since_last()?;
        let measured = shooter.send(rate, plan.step).await?;
        let used = watch.since_last()?;
        let mut step = judged(rate, &measured);
        let cpu = used
            .processes
            .into_iter()
            .map(|usage| (usage.name, usage.cpu));
        step.cpu = cpu.collect::<BTreeMap<_, _>>();
        step.cpu.insert("machine".into(), used.machine_busy);
        search.tell(rate, step.refused.is_none());
        found.steps.push(step);
    }
    Ok(found)
}

fn judged(rate: u32, measured: &[StreamResult]) -> Step {
    let mut failed: BTreeMap<String, u64> = BTreeMap::new();
    for stream in measured {
        for (what, count) in &stream.failed {
            *failed.entry(what.clone()).or_default() += count;
        }
    }
    let failures: u64 = failed.values().sum();
    let answered_per_second = measured
        .iter()
        .map(|stream| stream.requests_per_second)
        .sum::<f64>();
    let slowest = measured
        .iter()
        .max_by(|one, other| one.p99_ms.total_cmp(&other.p99_ms));
    let p99_ms = slowest.map_or(f64::NAN, |stream| stream.p99_ms);
    let refused = if let Some((what, _)) = failed.first_key_value() {
        Some(format!("{failures} failures ({what})"))
    } else if answered_per_second < ANSWERED_SHARE * f64::from(rate) {
        Some(format!("only {answered_per_second:.0}/s were answered"))
    } else if p99_ms < P99_LIMIT_MS {
        None
    } else {
        // If nothing was answered, the p99 is NaN and also ends here.
        let name = slowest.map_or("nothing", |stream| stream.stream.as_str());
        Some(format!("p99 of {name} is {p99_ms:.0} ms"))
    };
    Step {
        rate,
        answered_per_second,
        p99_ms: if p99_ms.is_nan() { 0.0 } else { p99_ms },
        failures,
        refused,
        cpu: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rates that a search tries on a store whose highest rate is `limit`.
    fn tried(limit: u32) -> Vec<u32> {
        let mut search = Search::new(Plan::FULL);
        let mut rates = Vec::new();
        while let Some(rate) = search.next() {
            search.tell(rate, rate <= limit);
            rates.push(rate);
        }
        rates
    }

    #[test]
    fn a_search_doubles_and_then_halves_what_lies_between() {
        assert_eq!(tried(200), [48, 96, 192, 384, 288, 240, 216]);
        assert_eq!(tried(20), [48, 24, 12, 18, 21]);
    }

    #[test]
    fn a_search_ends_at_both_ends() {
        assert_eq!(tried(0), [48, 24, 12, 6, 3]);
        assert_eq!(tried(u32::MAX).last(), Some(&Plan::FULL.highest));
    }

    fn measured(p99_ms: f64, failed: &[(&str, u64)]) -> StreamResult {
        StreamResult {
            stream: "best sellers".to_owned(),
            requests: 100,
            requests_per_second: 25.0,
            failed: failed
                .iter()
                .map(|(what, count)| ((*what).to_owned(), *count))
                .collect(),
            p50_ms: 1.0,
            p99_ms,
            p999_ms: p99_ms,
            max_ms: p99_ms,
            late_p99_ms: 0.0,
        }
    }

    #[test]
    fn a_step_is_refused_for_a_failure_for_being_late_and_for_silence() {
        let judge = |one| judged(24, &[one]).refused;
        assert_eq!(judge(measured(99.0, &[])), None);
        let late = judge(measured(101.0, &[])).expect("late");
        assert_eq!(late, "p99 of best sellers is 101 ms");
        let failed = judge(measured(1.0, &[("503", 2)])).expect("failed");
        assert_eq!(failed, "2 failures (503)");
        let behind = judged(40, &[measured(1.0, &[])]).refused;
        assert_eq!(behind.as_deref(), Some("only 25/s were answered"));
        assert!(judge(measured(f64::NAN, &[])).is_some());
    }
}
