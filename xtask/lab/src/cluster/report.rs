//! The table of a run: what clients saw during each fault.

use std::collections::BTreeMap;
use std::time::Duration;

use super::history::{Answer, Errand, History, Try};
use super::outage::longest;
use super::plan::{Fault, Role};
use crate::measure::TextTable;

/// The goals for the death of a single member: the longest outage for writers and for readers.
const WRITERS: Duration = Duration::from_secs(5);
const READERS: Duration = Duration::from_millis(500);

const WRITING: [Errand; 2] = [Errand::Order, Errand::Cancel];
const READING: [Errand; 2] = [Errand::Own, Errand::Stock];
const REPORTS: [Errand; 1] = [Errand::Report];

/// A fault that was inflicted, with its times since the start of the load.
pub(super) struct FaultRecord {
    pub(super) fault: Fault,
    pub(super) members: String,
    pub(super) began: Duration,
    /// When the member ran again.
    pub(super) over: Duration,
    /// When all members were well again.
    pub(super) well: Duration,
}

/// What clients saw in a period of time.
struct ClientView {
    requests: usize,
    failures: BTreeMap<String, usize>,
    writers: Duration,
    readers: Duration,
    reports: Duration,
}

impl ClientView {
    fn new(tries: &[Try], from: Duration, until: Duration) -> Self {
        let within = tries
            .iter()
            .filter(|one| (from..until).contains(&one.ended));
        let mut failures = BTreeMap::new();
        let mut requests = 0;
        for one in within {
            requests += 1;
            let failure = match one.answer {
                Answer::Good => continue,
                Answer::Bad(status) => status.to_string(),
                Answer::NoConnection => "refused".to_owned(),
                Answer::Broken => "broken".to_owned(),
            };
            *failures.entry(failure).or_default() += 1;
        }
        let longest = |errands: &[Errand]| longest(tries, errands, from, until);
        Self {
            requests,
            failures,
            writers: longest(&WRITING),
            readers: longest(&READING),
            reports: longest(&REPORTS),
        }
    }

    fn failures(&self) -> String {
        let counts = self
            .failures
            .iter()
            .map(|(kind, count)| format!("{kind}: {count}"));
        match self.failures.is_empty() {
            true => "none".to_owned(),
            false => counts.collect::<Vec<_>>().join(", "),
        }
    }
}

/// The table in Markdown, followed by the goals that were missed.
pub(super) fn report(history: &History, suffered: &[FaultRecord], end: Duration) -> String {
    let mut table = TextTable::new([
        "fault",
        "member",
        "requests",
        "failed",
        "writers' outage",
        "readers' outage",
        "reports' outage",
        "all well after",
    ])
    .of_figures();
    let mut missed = Vec::new();
    let begin = suffered.first().map_or(end, |first| first.began);
    let calm = ClientView::new(&history.tries, Duration::ZERO, begin);
    table.row(row("none, at the beginning", "", &calm, None));
    for (index, one) in suffered.iter().enumerate() {
        let until = suffered.get(index + 1).map_or(end, |next| next.began);
        let seen = ClientView::new(&history.tries, one.began, until);
        let name = one.fault.to_string();
        let well = one.well.saturating_sub(one.over);
        table.row(row(&name, &one.members, &seen, Some(well)));
        missed.extend(goals_missed(one.fault, &seen).map(|text| format!("{name}: {text}")));
    }
    let mut text = table.markdown();
    text += "\nOutages in seconds: the longest time from a client's first try to its first good answer. \
        \"All well after\": since the member was started again, went on or was reached again.\n";
    for text_of_one in &missed {
        text += &format!("! goal missed: {text_of_one}\n");
    }
    if missed.is_empty() && suffered.iter().any(|one| one.fault.is_death()) {
        text += "✓ all goals for outages were met\n";
    }
    text
}

fn row(fault: &str, members: &str, seen: &ClientView, well: Option<Duration>) -> [String; 8] {
    [
        fault.to_owned(),
        members.to_owned(),
        seen.requests.to_string(),
        seen.failures(),
        seconds(seen.writers),
        seconds(seen.readers),
        seconds(seen.reports),
        well.map(seconds).unwrap_or_default(),
    ]
}

fn seconds(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64())
}

/// The missed goals. There are goals for the death of one member, and for reports when two databases die.
fn goals_missed(fault: Fault, seen: &ClientView) -> impl Iterator<Item = String> {
    let reports = ("reports", seen.reports, READERS);
    let goals = match fault.role {
        _ if fault.is_death() => vec![
            ("writers", seen.writers, WRITERS),
            ("readers of orders and stock", seen.readers, READERS),
            reports,
        ],
        Role::TwoDatabases => vec![reports],
        _ => Vec::new(),
    };
    let missed = goals.into_iter().filter(|(_, found, goal)| found > goal);
    missed.map(|(who, found, goal)| {
        let [found, goal] = [found, goal].map(seconds);
        format!("{who} had no good answer for {found} s; the goal is {goal} s at most")
    })
}
