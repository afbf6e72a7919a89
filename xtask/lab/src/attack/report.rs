//! The effect of attacks on neighbours: a table for people, and JSON.

use std::fmt;

use serde_json::{Value, json};

use super::round::Round;
use super::scene::NOTHING;
use crate::measure::{Column, StreamResult, TextTable};

/// The most by which the neighbours' 99th percentile should rise. The summary counts the rounds above it.
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
pub(super) struct Report {
    rounds: Vec<Round>,
    /// The ratio of the neighbours' 99th percentiles above which a round is a failure; `None` if none is.
    max_ratio: Option<f64>,
}

impl Report {
    pub(super) fn new(max_ratio: Option<f64>) -> Self {
        Self {
            rounds: Vec::new(),
            max_ratio,
        }
    }

    pub(super) fn add(&mut self, round: Round) {
        self.rounds.push(round);
    }

    /// Whether no neighbour failed or became slower than allowed, and every answer to an attacker is documented.
    pub(super) fn is_good(&self) -> bool {
        self.failures().is_empty()
    }

    /// The whole report, for programs.
    pub(super) fn json(&self) -> Value {
        json!({"failures": self.failures(), "rounds": self.rounds})
    }

    /// Everything that is not as it must be, one line each.
    fn failures(&self) -> Vec<String> {
        let mut failures: Vec<String> = self.rounds.iter().flat_map(Round::failures).collect();
        if let Some(limit) = self.max_ratio {
            let slow = self.rounds.iter().filter_map(|round| round.above(limit));
            failures.extend(slow);
        }
        failures
    }

    /// How many rounds are above the ratio that we want, and which; `None` if no ratio was measured.
    fn summary(&self) -> Option<String> {
        let ratios: Vec<(&Round, f64)> = self
            .rounds
            .iter()
            .filter_map(|round| Some((round, round.ratio()?)))
            .collect();
        let above = ratios.iter().filter(|(_, ratio)| *ratio > P99_RATIO);
        let above: Vec<String> = above.map(|(round, _)| round.name()).collect();
        let all = ratios.len();
        let names = match above.as_slice() {
            [] => String::new(),
            names => format!(": {}", names.join(", ")),
        };
        (all > 0).then(|| {
            format!(
                "ratio above {P99_RATIO} in {} of {all} rounds{names}",
                above.len()
            )
        })
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
        if let Some(summary) = self.summary() {
            writeln!(f, "\n{summary}")?;
        }
        for failure in self.failures() {
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

    /// That the 99th percentile rose by more than `limit`, in words, if it did.
    fn above(&self, limit: f64) -> Option<String> {
        let ratio = self.ratio().filter(|ratio| *ratio > limit)?;
        let name = self.name();
        Some(format!(
            "{name}: the neighbours' 99th percentile rose {ratio:.2} times, more than {limit} times"
        ))
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
        let mut report = Report::new(None);
        report.add(round(&["408", NOTHING]));
        assert!(report.is_good());
        let text = report.to_string();
        assert!(text.contains("  2.5 ") && text.contains("408 ×2"), "{text}");
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
    fn rounds_with_slow_neighbours_are_counted_and_fail_above_a_limit_only() {
        let report = |max_ratio, during: [f64; 3]| {
            let mut report = Report::new(max_ratio);
            for p99_ms in during {
                let mut round = round(&["408"]);
                round.during = measured(p99_ms);
                report.add(round);
            }
            report
        };
        // Before the attacks, 2 ms.
        let slow = [2.0, 3.0, 5.0];
        let counted = "\nratio above 1.5 in 1 of 3 rounds: s2.http2 through the proxy\n";
        for (limit, is_good) in [(None, true), (Some(2.5), true), (Some(1.5), false)] {
            let report = report(limit, slow);
            assert_eq!(report.is_good(), is_good, "{limit:?}");
            let text = report.to_string();
            assert!(text.contains(counted), "{text}");
            let failure = "✗ s2.http2 through the proxy: the neighbours' 99th percentile rose 2.50 times, \
                           more than 1.5 times";
            assert_eq!(text.contains(failure), !is_good, "{text}");
        }
        let text = report(Some(1.5), [2.0; 3]).to_string();
        assert!(
            text.contains("\nratio above 1.5 in 0 of 3 rounds\n"),
            "{text}"
        );
    }

    #[test]
    fn without_a_measurement_before_no_ratio_is_claimed() {
        let mut quick = round(&["408"]);
        quick.before = None;
        let mut report = Report::new(None);
        report.add(quick);
        let text = report.to_string();
        assert!(!text.contains("ratio above"), "{text}");
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
