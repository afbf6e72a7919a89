//! Describes a change in words for operators.

use std::time::Duration;

use crate::answers::{self, Change};

/// The description of a change, line by line.
pub(super) fn lines(change: &Change) -> Vec<String> {
    let mut lines = vec![format!("  digest     {}", change.digest)];
    if let Some(compile_ms) = change.compile_ms {
        lines.push(format!("  compiled   in {compile_ms:.1} ms"));
    }
    if let Some(probe) = &change.probe {
        lines.push(format!(
            "  probe      {} answered {} in {:.1} ms",
            probe.path, probe.status, probe.elapsed_ms
        ));
    }
    let new = change.generation;
    let switch = format!("  switched   in {:.1} µs", change.switch_us);
    lines.push(match (&change.canary, change.replaced) {
        (Some(canary), _) => format!("{switch}: generation {new} {}", tried(canary)),
        (None, Some(old)) if old == new => format!("{switch}: generation {new} is withdrawn"),
        (None, Some(old)) => format!("{switch}: generation {new} replaces {old}"),
        (None, None) => format!("{switch}: generation {new} serves"),
    });
    if !change.persisted {
        lines.push("  forgotten  when the host restarts".into());
    }
    lines
}

/// Whether the trial only mirrors, so that an operator must end it.
pub(super) fn is_without_end(canary: &answers::TrialTerms) -> bool {
    canary.mirror.is_some() && canary.steps.is_empty()
}

/// How a version is tried, in words.
fn tried(canary: &answers::TrialTerms) -> String {
    let lasts = humantime::format_duration(Duration::from_millis(canary.for_ms));
    let percent = |share: &f64| format!("{} %", (share * 10_000.0).round() / 100.0);
    let steps: Vec<String> = canary.steps.iter().map(percent).collect();
    let mirror = canary.mirror.as_ref().map(percent);
    match (mirror, steps.as_slice()) {
        // Older hosts send no steps.
        (None, []) => format!(
            "is tried on {} of the requests for {lasts}",
            percent(&canary.share)
        ),
        (None, [step]) => format!("is tried on {step} of the requests for {lasts}"),
        (None, _) => format!(
            "is tried on {} of the requests, {lasts} each",
            steps.join(", ")
        ),
        (Some(mirror), []) => {
            format!("gets copies of {mirror} of the safe requests, until `promote` or `abort`")
        }
        (Some(mirror), _) => format!(
            "gets copies of {mirror} of the safe requests, and is tried on {} of the requests then, {lasts} each",
            steps.join(", ")
        ),
    }
}
