//! Waiting for the end of a canary's trial.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::http::{Call, Caller};
use super::{ClientError, say};
use crate::answers::{GenerationStatus, Status};
use crate::config::AdminUrl;

/// Time between two looks at a host.
const LOOK: Duration = Duration::from_millis(500);

/// How long after its end a trial is waited for, in case the host is slow to end it.
const GRACE: Duration = Duration::from_secs(30);

/// A trial that began.
pub(super) struct Trial<'a> {
    pub(super) component: &'a str,
    pub(super) generation: u64,
    pub(super) lasts: Duration,
}

/// How a trial stands, as far as the host's status tells.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Open { requests: u64, errors: u64 },
    Promoted,
    Withdrawn(String),
}

impl Trial<'_> {
    /// Waits until the canary is promoted.
    ///
    /// # Errors
    /// The canary was withdrawn, or the host does not answer any more.
    pub(super) async fn wait(&self, admin: &AdminUrl, caller: &Caller) -> Result<(), ClientError> {
        let began = Instant::now();
        loop {
            tokio::time::sleep(LOOK).await;
            let status: Status = caller.call(admin, Call::get("/status")).await?;
            let verdict = self.verdict(&status);
            if !matches!(verdict, Verdict::Open { .. }) {
                self.erase();
            }
            let reason = match verdict {
                Verdict::Promoted => {
                    say(&format!("  promoted   generation {}", self.generation));
                    return Ok(());
                }
                Verdict::Withdrawn(reason) => reason,
                Verdict::Open { .. } if began.elapsed() > self.lasts + GRACE => {
                    "its trial does not end".into()
                }
                Verdict::Open { requests, errors } => {
                    let left = self.lasts.saturating_sub(began.elapsed());
                    self.show(left, requests, errors);
                    continue;
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
            return Verdict::Open {
                requests: canary.requests,
                errors: canary.errors,
            };
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

    /// Writes the figures over those of the last look, if this is a terminal.
    fn show(&self, left: Duration, requests: u64, errors: u64) {
        self.write(&format!(
            "\r\x1b[K  trial      {} s left: {requests} requests, {errors} failed",
            left.as_secs()
        ));
    }

    fn erase(&self) {
        self.write("\r\x1b[K");
    }

    fn write(&self, text: &str) {
        let mut terminal = std::io::stdout();
        if terminal.is_terminal() {
            _ = terminal.write_all(text.as_bytes());
            _ = terminal.flush();
        }
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
            lasts: Duration::from_secs(30),
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
        let open = Verdict::Open {
            requests: 7,
            errors: 1,
        };
        assert_eq!(of(3, canary, started.clone()), open);
        assert_eq!(of(4, Value::Null, started), Verdict::Promoted);
        let withdrawn = json!({"generation": 4, "result": "withdrawn", "reason": "too slow"});
        assert_eq!(
            of(3, Value::Null, withdrawn),
            Verdict::Withdrawn("too slow".into())
        );
        let gone = of(3, Value::Null, Value::Null);
        assert!(matches!(gone, Verdict::Withdrawn(_)), "{gone:?}");
    }
}
