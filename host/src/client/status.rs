//! `store-host status`: a table for each host.

use clap::Args;
use store_server::build::Build;
use store_server::terminal::table;

use super::http::Call;
use super::{ClientError, Targets, say};
use crate::answers::{ComponentStatus, GenerationStatus, Status};
use crate::config::AdminUrl;

/// How many characters of a digest are shown. They suffice to tell versions apart; `--full` shows all.
const SHORT_DIGEST: usize = 12;

const HEADINGS: [&str; 8] = [
    "COMPONENT",
    "GENERATION",
    "STATE",
    "SHARE",
    "IN FLIGHT",
    "SINCE",
    "SOURCE",
    "DIGEST",
];

/// Which hosts to show, and how.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Show digests whole
    #[arg(long)]
    pub full: bool,

    /// The hosts.
    #[command(flatten)]
    pub targets: Targets,
}

pub(super) async fn run(args: StatusArgs) -> Result<(), ClientError> {
    let caller = args.targets.caller()?;
    args.targets
        .all(async |admin| {
            let status: Status = caller.call(admin, Call::get("/status")).await?;
            say(&heading(admin, status.build.as_ref()));
            lines(&status, args.full).iter().for_each(|line| say(line));
            Ok(())
        })
        .await
}

/// The host, and its build.
fn heading(admin: &AdminUrl, build: Option<&Build>) -> String {
    match build {
        Some(build) => format!("{admin}: {build}"),
        None => admin.to_string(),
    }
}

/// A row for each generation, and a line for each component that was ever changed.
fn lines(status: &Status, full: bool) -> Vec<String> {
    let rows = status.components.iter().flat_map(|component| {
        let generations = component.generations.iter();
        generations.map(|generation| cells(generation, &component.component, full))
    });
    let rows: Vec<_> = std::iter::once(HEADINGS.map(str::to_owned))
        .chain(rows)
        .collect();
    let mut lines = table(&rows);
    lines.extend(status.components.iter().flat_map(trial));
    lines.extend(status.components.iter().filter_map(last_change));
    lines
}

/// The state of a trial: its step, its counts and what follows from them, and how the answers to copies compare.
fn trial(component: &ComponentStatus) -> Vec<String> {
    let Some(canary) = &component.canary else {
        return Vec::new();
    };
    let name = &component.component;
    let number = canary.generation;
    let until = canary
        .until
        .as_ref()
        .map(|until| format!(", until {until}"));
    let phase = match canary.step {
        Some(step) => format!("step {} of {}", step + 1, canary.steps.len()),
        None => "mirroring".into(),
    };
    let mut lines = vec![format!(
        "`{name}`: generation {number} on trial: {phase}{}: {} so far: {}",
        until.unwrap_or_default(),
        canary.verdict,
        canary.why
    )];
    if let Some(mirror) = &canary.mirror {
        lines.push(format!(
            "`{name}`: copies of requests: {} answered the same, {} differently, {} not, {} not sent",
            mirror.same, mirror.different, mirror.failed, mirror.dropped
        ));
        let differences = mirror.differences.iter();
        lines.extend(
            differences
                .map(|one| format!("  {} {} {}: {}", one.at, one.method, one.route, one.what)),
        );
    }
    lines
}

fn last_change(component: &ComponentStatus) -> Option<String> {
    let last = component.last.as_ref()?;
    let reason = last.reason.as_ref();
    let reason = reason.map(|reason| format!(": {reason}"));
    Some(format!(
        "`{}`: last change: generation {} {}{}",
        component.component,
        last.generation,
        last.result,
        reason.unwrap_or_default()
    ))
}

fn cells(generation: &GenerationStatus, component: &str, full: bool) -> [String; 8] {
    let digest = &generation.digest;
    let length = if full {
        digest.len()
    } else {
        SHORT_DIGEST.min(digest.len())
    };
    [
        component.to_owned(),
        generation.generation.to_string(),
        generation.state.clone(),
        format!("{} %", (generation.share * 1000.0).round() / 10.0),
        generation.in_flight.to_string(),
        generation.since.clone(),
        generation.source.clone(),
        digest.get(..length).unwrap_or_default().to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_s_generations_make_a_table() {
        let status: Status = serde_json::from_value(serde_json::json!({"components": [{
            "component": "reports",
            "generations": [
                {"generation": 3, "digest": "0123456789abcdef", "state": "live",
                 "since": "2026-01-02T03:04:05Z", "in_flight": 7, "share": 0.875, "source": "file"},
                {"generation": 4, "digest": "fedcba9876543210", "state": "canary",
                 "since": "2026-01-02T03:04:06Z", "in_flight": 0, "share": 0.125, "source": "upload"},
            ],
            "last": {"generation": 2, "result": "withdrawn", "reason": "3 of 50 requests failed"},
            "canary": {"generation": 4, "share": 0.125, "steps": [0.125, 0.5], "step": 0,
                "until": "2026-01-02T03:05:00Z", "requests": 7, "errors": 0, "p99_ms": 1.0,
                "stable_requests": 49, "stable_errors": 0, "stable_p99_ms": 1.0, "verdict": "too few", "why": "its 7",
                "mirror": {"share": 1.0, "same": 3, "different": 1, "failed": 0, "dropped": 2, "differences": [
                    {"at": "2026-01-02T03:04:00Z", "method": "GET", "route": "/x/...", "what": "header vary"}]}},
        }]}))
        .expect("the form of a host that does not say its build");
        assert_eq!(status.build, None);
        assert_eq!(
            lines(&status, false),
            [
                "COMPONENT  GENERATION  STATE   SHARE   IN FLIGHT  SINCE                 SOURCE  DIGEST",
                "reports    3           live    87.5 %  7          2026-01-02T03:04:05Z  file    0123456789ab",
                "reports    4           canary  12.5 %  0          2026-01-02T03:04:06Z  upload  fedcba987654",
                "`reports`: generation 4 on trial: step 1 of 2, until 2026-01-02T03:05:00Z: too few so far: its 7",
                "`reports`: copies of requests: 3 answered the same, 1 differently, 0 not, 2 not sent",
                "  2026-01-02T03:04:00Z GET /x/...: header vary",
                "`reports`: last change: generation 2 withdrawn: 3 of 50 requests failed",
            ]
        );
        assert!(lines(&status, true)[1].ends_with("0123456789abcdef"));
    }
}
