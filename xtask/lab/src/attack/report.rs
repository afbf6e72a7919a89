//! The effect of attacks on neighbours: a table for people, and JSON.

use std::fmt;

use serde_json::{Value, json};

use super::round::Round;
use super::scene::NOTHING;
use crate::measure::{Column, StreamResult, TextTable};

/// The most by which the neighbours' 99th percentile should rise.
const P99_RATIO: f64 = 1.5;

/// The columns of the table.
const COLUMNS: [Column; 9] = [
    Column::Left(14),
    Column::Left(7),
    Column::Right(8),
    Column::Right(6),
    Column::Right(9),
    Column::Right(9),
    Column::Right(9),
    Column::Right(5),
    Column::Left(1),
];

/// All measurements of a run.
#[derive(Default)]
pub(super) struct Report {
    rounds: Vec<Round>,
}

impl Report {
    pub(super) fn add(&mut self, round: Round) {
        self.rounds.push(round);
    }

    /// Whether no neighbour failed, and every answer to an attacker is documented.
    pub(super) fn is_good(&self) -> bool {
        self.rounds.iter().all(|round| round.failures().is_empty())
    }

    /// The whole report, for programs.
    pub(super) fn json(&self) -> Value {
        let failures: Vec<String> = self.rounds.iter().flat_map(Round::failures).collect();
        json!({"failures": failures, "rounds": self.rounds})
    }

    fn table(&self) -> TextTable {
        let head = [
            "attack",
            "through",
            "requests",
            "failed",
            "before ms",
            "during ms",
            "after ms",
            "ratio",
            "the attacker got",
        ];
        let mut table = TextTable::new(head);
        for round in &self.rounds {
            let p99 = |measured: Option<&StreamResult>| match measured {
                Some(measured) => format!("{:.1}", measured.p99_ms),
                None => "–".to_owned(),
            };
            table.row([
                round.attack.to_owned(),
                format!("{:?}", round.through).to_lowercase(),
                round.during.requests.to_string(),
                round.neighbours_failed().to_string(),
                p99(round.before.as_ref()),
                p99(Some(&round.during)),
                p99(round.after.as_ref()),
                round
                    .ratio()
                    .map_or("–".to_owned(), |ratio| format!("{ratio:.1}")),
                round.said(),
            ]);
        }
        table
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nNeighbours' requests during each attack, and their 99th percentile\n"
        )?;
        f.write_str(&self.table().in_columns(&COLUMNS))?;
        let above = |round: &&Round| round.ratio().is_some_and(|ratio| ratio > P99_RATIO);
        let above: Vec<String> = self.rounds.iter().filter(above).map(Round::name).collect();
        if !above.is_empty() {
            writeln!(
                f,
                "\nMore than {P99_RATIO} times slower beside: {}",
                above.join(", ")
            )?;
        }
        for failure in self.rounds.iter().flat_map(Round::failures) {
            write!(f, "\n✗ {failure}")?;
        }
        if self.is_good() {
            write!(f, "\n✓ no neighbour failed")?;
        }
        Ok(())
    }
}

impl Round {
    fn name(&self) -> String {
        format!("{} through the {:?}", self.attack, self.through).to_lowercase()
    }

    /// The factor by which the neighbours' 99th percentile rose.
    fn ratio(&self) -> Option<f64> {
        Some(self.during.p99_ms / self.before.as_ref()?.p99_ms)
    }

    fn phases(&self) -> impl Iterator<Item = (&'static str, &StreamResult)> {
        let all = [
            ("before", self.before.as_ref()),
            ("during", Some(&self.during)),
            ("after", self.after.as_ref()),
        ];
        all.into_iter()
            .filter_map(|(phase, measured)| Some((phase, measured?)))
    }

    fn neighbours_failed(&self) -> u64 {
        self.phases()
            .flat_map(|(_, measured)| measured.failed.values())
            .sum()
    }

    /// The answers that the attacker got, most frequent first.
    fn said(&self) -> String {
        let mut said: Vec<(&str, u64)> = self
            .told
            .iter()
            .map(|(what, count)| (what.as_str(), *count))
            .collect();
        said.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let said: Vec<String> = said
            .iter()
            .map(|(what, count)| format!("{what} ×{count}"))
            .collect();
        said.join(", ")
    }

    /// Everything that is not as it must be, one line each.
    fn failures(&self) -> Vec<String> {
        let name = self.name();
        let mut failures = Vec::new();
        for (phase, measured) in self.phases() {
            for (what, count) in &measured.failed {
                failures.push(format!(
                    "{name}, {phase}: {count} of the neighbours' requests failed: {what}"
                ));
            }
            if measured.requests == 0 {
                failures.push(format!("{name}, {phase}: the neighbours sent nothing"));
            }
        }
        let is_documented = |what: &&String| self.documented.contains(&what.as_str());
        let is_known = |what: &&String| is_documented(what) || *what == NOTHING;
        for what in self.told.keys().filter(|what| !is_known(what)) {
            let documented = self.documented.join(", ");
            failures.push(format!(
                "{name}: the attacker got {what} instead of {documented}"
            ));
        }
        if !self.told.keys().any(|what| is_documented(&what)) {
            failures.push(format!(
                "{name}: the attacker never got {}",
                self.documented.join(" or ")
            ));
        }
        failures
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::AttackTarget;
    use super::*;

    fn measured(p99_ms: f64) -> StreamResult {
        StreamResult {
            stream: "clients".to_owned(),
            requests: 100,
            requests_per_second: 100.0,
            failed: BTreeMap::new(),
            p50_ms: 1.0,
            p99_ms,
            p999_ms: p99_ms,
            max_ms: p99_ms,
            late_p99_ms: f64::NAN,
        }
    }

    fn round(told: &[&str]) -> Round {
        Round {
            attack: "S2.http2",
            through: AttackTarget::Proxy,
            before: Some(measured(2.0)),
            during: measured(5.0),
            after: None,
            told: told.iter().map(|what| ((*what).to_owned(), 2)).collect(),
            documented: &["408", "429"],
        }
    }

    #[test]
    fn a_neighbour_that_fails_is_a_failure_and_a_slow_one_is_shown() {
        let mut report = Report::default();
        report.add(round(&["408", NOTHING]));
        assert!(report.is_good());
        let text = report.to_string();
        assert!(text.contains("  2.5 ") && text.contains("408 ×2"), "{text}");
        assert!(
            text.contains("slower beside: s2.http2 through the proxy"),
            "{text}"
        );
        let mut failing = round(&["429"]);
        failing.during.failed.insert("503".to_owned(), 1);
        report.add(failing);
        assert!(!report.is_good());
        let text = report.to_string();
        assert!(
            text.contains("✗ s2.http2 through the proxy, during: 1 of"),
            "{text}"
        );
    }

    #[test]
    fn an_attacker_must_get_what_is_documented() {
        let wrong = round(&["408", "200"]).failures();
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert!(wrong[0].contains("got 200 instead of"), "{wrong:?}");
        let nothing = round(&[NOTHING]).failures();
        assert!(nothing[0].ends_with("never got 408 or 429"), "{nothing:?}");
    }
}
