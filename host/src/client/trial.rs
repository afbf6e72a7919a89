//! Waits for the end of a canary's trial.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::http::{Call, Caller};
use super::{ClientError, say};
use crate::answers::{ComparedCounts, GenerationStatus, Status, TrialStatus};
use crate::config::AdminUrl;

/// The pause between two status requests to a host.
const LOOK: Duration = Duration::from_millis(500);

/// How long after its expected end a trial is waited for, in case the host is slow to end it.
const GRACE: Duration = Duration::from_secs(30);

/// A trial that has begun.
pub(super) struct Trial<'a> {
    pub(super) component: &'a str,
    pub(super) generation: u64,
    /// How long each step lasts.
    pub(super) step_for: Duration,
}

/// The state of a trial, as the host's status shows it.
#[derive(Debug)]
enum Verdict {
    Open(Box<TrialStatus>),
    Promoted,
    Withdrawn(String),
}

/// What was seen of a trial so far.
struct TrialWatch {
    /// When the host answered last.
    heard: Instant,
    /// When the present step began.
    since: Instant,
    /// The number of phases that were passed and shown.
    passed: usize,
    last: Option<Box<TrialStatus>>,
}

impl Trial<'_> {
    /// Waits until the canary is promoted, and shows each step.
    ///
    /// # Errors
    /// The canary was withdrawn, or the host does not answer any more.
    pub(super) async fn wait(&self, admin: &AdminUrl, caller: &Caller) -> Result<(), ClientError> {
        let mut watch = TrialWatch {
            heard: Instant::now(),
            since: Instant::now(),
            passed: 0,
            last: None,
        };
        loop {
            tokio::time::sleep(LOOK).await;
            let status: Status = match caller.call(admin, Call::get("/status")).await {
                Ok(status) => status,
                // The host may be restarting. The trial continues afterwards.
                Err(ClientError::NoAnswer { .. }) if watch.heard.elapsed() < GRACE => continue,
                Err(error) => return Err(error),
            };
            watch.heard = Instant::now();
            let verdict = self.verdict(&status);
            if !matches!(verdict, Verdict::Open { .. }) {
                erase();
            }
            let reason = match verdict {
                Verdict::Promoted => {
                    watch.show_last();
                    say(&format!("  promoted   generation {}", self.generation));
                    return Ok(());
                }
                Verdict::Withdrawn(reason) => reason,
                Verdict::Open(canary) => {
                    watch.look(canary);
                    if watch.since.elapsed() <= self.step_for + GRACE {
                        watch.show(self.step_for);
                        continue;
                    }
                    "its trial did not end in time".into()
                }
            };
            return Err(ClientError::Withdrawn {
                admin: admin.clone(),
                generation: self.generation,
                reason,
                untouched: Vec::new(),
            });
        }
    }

    fn verdict(&self, status: &Status) -> Verdict {
        let mut components = status.components.iter();
        let Some(component) = components.find(|one| one.component == self.component) else {
            return Verdict::Withdrawn("the host has no such component any more".into());
        };
        if let Some(canary) = &component.canary
            && canary.generation == self.generation
        {
            return Verdict::Open(Box::new(canary.clone()));
        }
        let is_live =
            |one: &GenerationStatus| one.generation == self.generation && one.state == "live";
        if component.generations.iter().any(is_live) {
            return Verdict::Promoted;
        }
        let last = component.last.as_ref();
        let last = last.filter(|last| last.generation == self.generation);
        Verdict::Withdrawn(match last {
            Some(last) => last.reason.clone().unwrap_or_else(|| last.result.clone()),
            None => "it is gone; was the host restarted?".into(),
        })
    }
}

impl TrialWatch {
    /// Records the state of the trial, and shows phases that were passed since the last call.
    fn look(&mut self, canary: Box<TrialStatus>) {
        let is_another = |last: &TrialStatus| last.since != canary.since;
        if self.last.as_deref().is_some_and(is_another) {
            self.since = Instant::now();
        }
        // A restarted host no longer knows the phases that were passed before.
        self.passed = self.passed.min(canary.passed.len());
        for passed in &canary.passed[self.passed..] {
            erase();
            say(&line(passed.share, "passed", &shown(&passed.counts)));
        }
        self.passed = canary.passed.len();
        self.last = Some(canary);
    }

    /// Writes the figures over the previous ones, if this is a terminal.
    fn show(&self, step_for: Duration) {
        let Some(canary) = &self.last else { return };
        let left = step_for.saturating_sub(self.since.elapsed()).as_secs();
        let counts = shown(&canary.counts);
        write(&format!(
            "\r\x1b[K{}",
            line(canary.share, &format!("{left} s left"), &counts)
        ));
    }

    /// Shows the last step, with its latest figures.
    fn show_last(&self) {
        if let Some(canary) = &self.last {
            say(&line(canary.share, "passed", &shown(&canary.counts)));
        }
    }
}

fn line(share: f64, how: &str, counts: &str) -> String {
    let what = match share {
        0.0 => "mirrored".to_owned(),
        share => format!("step {} %", (share * 10_000.0).round() / 100.0),
    };
    format!("  {what:<10} {how}: {counts}")
}

/// The counts of both versions, in words.
pub(super) fn shown(counts: &ComparedCounts) -> String {
    let one = |requests: u64, errors: u64, p99: Option<f64>| {
        let p99 = p99
            .map(|p99| format!(", p99 {p99:.1} ms"))
            .unwrap_or_default();
        format!("{requests} requests, {errors} failed{p99}")
    };
    format!(
        "{}; stable: {}",
        one(counts.requests, counts.errors, counts.p99_ms),
        one(
            counts.stable_requests,
            counts.stable_errors,
            counts.stable_p99_ms
        )
    )
}

fn erase() {
    write("\r\x1b[K");
}

fn write(text: &str) {
    let mut terminal = std::io::stdout();
    if terminal.is_terminal() {
        _ = terminal.write_all(text.as_bytes());
        _ = terminal.flush();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn verdict(component: Value) -> Verdict {
        let status = serde_json::from_value(json!({"components": [component]}));
        let trial = Trial {
            component: "reports",
            generation: 4,
            step_for: Duration::from_secs(30),
        };
        trial.verdict(&status.expect("the documented form"))
    }

    #[test]
    fn the_end_of_a_trial_is_seen_in_the_status() {
        let of = |live: u64, canary: Value, last: Value| {
            verdict(json!({
                "component": "reports",
                "generations": [{
                    "generation": live, "digest": "00", "state": "live", "since": "2026-01-02T03:04:05Z",
                    "in_flight": 0, "share": 1.0, "source": "file",
                }],
                "canary": canary,
                "last": last,
            }))
        };
        let canary = json!({
            "generation": 4, "share": 0.1, "until": "2026-01-02T03:04:35Z", "requests": 7, "errors": 1,
            "stable_requests": 63, "stable_errors": 0,
        });
        let started = json!({"generation": 4, "result": "canary", "reason": null});
        let open = of(3, canary, started.clone());
        let Verdict::Open(canary) = open else {
            panic!("{open:?}");
        };
        assert_eq!(
            line(canary.share, "passed", &shown(&canary.counts)),
            "  step 10 %  passed: 7 requests, 1 failed; stable: 63 requests, 0 failed"
        );
        assert!(matches!(of(4, Value::Null, started), Verdict::Promoted));
        let withdrawn = json!({"generation": 4, "result": "withdrawn", "reason": "too slow"});
        let withdrawn = of(3, Value::Null, withdrawn);
        assert!(matches!(withdrawn, Verdict::Withdrawn(reason) if reason == "too slow"));
        let gone = of(3, Value::Null, Value::Null);
        assert!(matches!(gone, Verdict::Withdrawn(_)), "{gone:?}");
    }
}
