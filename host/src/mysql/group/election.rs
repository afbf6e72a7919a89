//! Decides what to do after each check of all members. Nothing here talks to a server.

use super::origin::{origin_of_most, shown_by_all};
use super::records::WriterRecord;
use super::row::Row;
use super::view::{Condition, View};
use crate::config::HostPort;

/// For how many checks (three seconds at least) the writer may lack the row that names it. After that, the row counts
/// as lost.
const MOST_WAITS: u32 = 10;

/// Said where members that may be only some of all know less than what is remembered.
const HOW_TO_FORGET: &str = "name servers may leave out a member that knows better; if none will come back, stop each \
                             host, remove `mysql.writer.json` from its state folder, and start it";

/// What the group does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Write to this member.
    Write(HostPort),
    /// Wait for the next check: the writer does not have the row that names it yet, or a member has not answered yet.
    Wait,
    /// Make the member at index `to` the writer, if the term is still `term`.
    Change { to: usize, term: i64 },
    /// There is no writer. The text says why each member is unfit.
    Nobody(String),
}

/// What is remembered between checks.
#[derive(Debug, Default)]
pub(super) struct WriterElection {
    /// The origin of the members' data and the latest known term; a member with an earlier term lags behind. `None`
    /// until the origin is known.
    record: Option<WriterRecord>,
    /// For how many checks the writer has lacked the row that names it.
    waits: u32,
    /// Whether there may be members that are not checked and know a later term than those that are.
    may_lack_some: bool,
}

impl WriterElection {
    /// Begins with what is known already, if anything.
    pub(super) fn new(record: Option<WriterRecord>) -> Self {
        Self {
            record,
            ..Self::default()
        }
    }

    /// Like [`WriterElection::new`], but the checked members may be only some of all.
    pub(super) fn of_some(record: Option<WriterRecord>) -> Self {
        Self {
            may_lack_some: true,
            ..Self::new(record)
        }
    }

    /// What is known by now.
    pub(super) fn record(&self) -> Option<&WriterRecord> {
        self.record.as_ref()
    }

    /// Decides by the condition and the row of each member.
    pub(super) fn decide(&mut self, views: &[View]) -> Decision {
        let is_unheard = |view: &View| view.fitness == Condition::Unheard;
        match self.judge(views) {
            // After a start, a slow answer is not taken for an outage.
            Decision::Nobody(_) if views.iter().any(is_unheard) => Decision::Wait,
            decision => decision,
        }
    }

    fn judge(&mut self, views: &[View]) -> Decision {
        self.forget_what_nobody_has(views);
        let known = match &self.record {
            Some(record) => record.clone(),
            None => match origin_of_most(views) {
                Ok(origin) => WriterRecord { origin, term: 0 },
                Err(reason) => return Decision::Nobody(reason),
            },
        };
        let latest = latest_row(views, &known.origin).filter(|row| row.term >= known.term);
        let Some(latest) = latest else {
            return Decision::Nobody(self.reasons(views, &known.origin));
        };
        self.record = Some(WriterRecord {
            term: latest.term,
            ..known
        });
        match standing_writer(views, latest) {
            Some(writer) if writer.knows(latest) => {
                self.waits = 0;
                // A writer that has the row also has all that was committed before the row.
                return Decision::Write(writer.at.clone());
            }
            Some(_) if self.waits < MOST_WAITS => {
                self.waits += 1;
                return Decision::Wait;
            }
            _ => {}
        }
        let next = |wanted: Condition| candidate(views, latest, &wanted);
        match next(Condition::Fit).or_else(|| next(Condition::Busy)) {
            Some(to) => Decision::Change {
                to,
                term: latest.term,
            },
            None => Decision::Nobody(self.reasons(views, &latest.origin)),
        }
    }

    /// If each member shows a row and none shows what is known, the known record is lost: all members were restored
    /// from a backup, or made anew. Then the rows of the members replace it.
    fn forget_what_nobody_has(&mut self, views: &[View]) {
        let Some((known, shown)) = self.contradicted_by(views) else {
            return;
        };
        if self.may_lack_some {
            return;
        }
        tracing::warn!(
            "All MySQL members were restored from a backup or made anew: they show term {} of origin {} at most, but term {} \
             of origin {} was seen before; from now on the host goes by what they show",
            shown.term,
            shown.origin,
            known.term,
            known.origin
        );
        self.record = Some(shown);
    }

    /// What is known and what each member shows instead, if none shows what is known.
    fn contradicted_by(&self, views: &[View]) -> Option<(&WriterRecord, WriterRecord)> {
        let (known, shown) = (self.record.as_ref()?, shown_by_all(views)?);
        let is_less = shown.origin != known.origin || shown.term < known.term;
        is_less.then_some((known, shown))
    }

    /// Why each member is unfit, and what to do about it where that is not told by these reasons.
    fn reasons(&self, views: &[View], origin: &str) -> String {
        let reasons = views
            .iter()
            .map(|view| format!("{}: {}", view.at, view.reason(origin)));
        let mut reasons: Vec<String> = reasons.collect();
        if self.may_lack_some && self.contradicted_by(views).is_some() {
            reasons.push(HOW_TO_FORGET.to_owned());
        }
        reasons.join("; ")
    }
}

/// The row with the latest term. A member that takes no writes counts too: it may know of a change that the fit members
/// have missed.
fn latest_row<'a>(views: &'a [View], origin: &str) -> Option<&'a Row> {
    let own = views.iter().filter(|view| view.is_of(origin));
    let rows = own.filter_map(|view| Some((view.row.as_ref()?, view.fitness.is_fit())));
    let latest = rows.max_by_key(|(row, is_fit)| (row.term, *is_fit));
    latest.map(|(row, _)| row)
}

/// The member that the row names, if it may stay the writer.
fn standing_writer<'a>(views: &'a [View], latest: &Row) -> Option<&'a View> {
    let mut own = views.iter().filter(|view| view.is_of(&latest.origin));
    let writer = own.find(|view| view.at.to_string() == latest.member)?;
    let stays = match writer.fitness {
        Condition::Fit => true,
        Condition::Busy => candidate(views, latest, &Condition::Fit).is_none(),
        Condition::Unheard | Condition::Unfit(_) => false,
    };
    stays.then_some(writer)
}

/// The first member that could be the next writer and is in the `wanted` condition.
fn candidate(views: &[View], latest: &Row, wanted: &Condition) -> Option<usize> {
    views
        .iter()
        .position(|view| view.knows(latest) && view.fitness == *wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(port: u16, fitness: Condition, term: i64, member: u16) -> View {
        let member = match member {
            0 => String::new(),
            port => at(port).to_string(),
        };
        let origin = "ours".to_owned();
        View {
            at: at(port),
            fitness,
            row: Some(Row {
                term,
                member,
                origin,
            }),
            is_in_step: false,
        }
    }

    /// A member that takes writes, and holds the data of another store.
    fn stranger(port: u16, term: i64, member: u16) -> View {
        let mut view = view(port, Condition::Fit, term, member);
        view.row.as_mut().expect("a row").origin = "theirs".into();
        view
    }

    fn at(port: u16) -> HostPort {
        HostPort::new("db", port)
    }

    fn down(port: u16) -> View {
        View {
            at: at(port),
            fitness: Condition::Unfit("no answer".into()),
            row: None,
            is_in_step: false,
        }
    }

    fn read_only() -> Condition {
        Condition::Unfit("it is read-only".into())
    }

    fn record(origin: &str, term: i64) -> WriterRecord {
        WriterRecord {
            origin: origin.into(),
            term,
        }
    }

    fn knowing(term: i64) -> WriterElection {
        WriterElection::new(Some(record("ours", term)))
    }

    fn decide(views: &[View]) -> Decision {
        WriterElection::default().decide(views)
    }

    /// The text of the decision that there is no writer.
    fn nobody(election: &mut WriterElection, views: &[View]) -> String {
        match election.decide(views) {
            Decision::Nobody(reasons) => reasons,
            decision => panic!("{decision:?}"),
        }
    }

    #[test]
    fn the_first_fit_member_begins_and_stays() {
        use Condition::{Busy, Fit};
        let begin = [
            view(1, read_only(), 0, 0),
            view(2, Fit, 0, 0),
            view(3, Fit, 0, 0),
        ];
        assert_eq!(decide(&begin), Decision::Change { to: 1, term: 0 });
        let later = [view(1, Fit, 1, 2), view(2, Fit, 1, 2), view(3, Fit, 1, 2)];
        assert_eq!(decide(&later), Decision::Write(at(2)));
        let dead = [view(1, Busy, 1, 2), down(2), view(3, Fit, 1, 2)];
        assert_eq!(decide(&dead), Decision::Change { to: 2, term: 1 });
        let busy = [view(1, Fit, 1, 2), view(2, Busy, 1, 2), down(3)];
        assert_eq!(decide(&busy), Decision::Change { to: 0, term: 1 });
        let alone = [down(1), view(2, Busy, 1, 2), down(3)];
        assert_eq!(knowing(1).decide(&alone), Decision::Write(at(2)));
    }

    #[test]
    fn a_writer_is_written_to_once_it_knows() {
        use Condition::Fit;
        let lags = [view(1, Fit, 3, 2), view(2, Fit, 2, 1)];
        assert_eq!(decide(&lags), Decision::Wait);
        let knows = [view(1, Fit, 3, 2), view(2, Fit, 3, 2)];
        assert_eq!(decide(&knows), Decision::Write(at(2)));
    }

    /// The writer was restored from a backup, and the other members were not.
    #[test]
    fn a_writer_that_has_lost_its_row_is_not_waited_for_for_ever() {
        use Condition::Fit;
        let knows = [view(1, Fit, 3, 2), view(2, Fit, 3, 2)];
        for (other, outcome) in [
            (Fit, Decision::Change { to: 0, term: 3 }),
            (
                read_only(),
                Decision::Nobody(
                    "db:1: it is read-only; db:2: it lags behind what was seen before".into(),
                ),
            ),
        ] {
            let mut election = WriterElection::default();
            assert_eq!(election.decide(&knows), Decision::Write(at(2)));
            let lost = [view(1, other, 3, 2), view(2, Fit, 2, 2)];
            for _ in 0..MOST_WAITS {
                assert_eq!(election.decide(&lost), Decision::Wait);
            }
            assert_eq!(election.decide(&lost), outcome);
            assert_eq!(election.decide(&knows), Decision::Write(at(2)));
            assert_eq!(election.decide(&lost), Decision::Wait);
        }
    }

    #[test]
    fn who_was_left_behind_is_not_believed() {
        use Condition::Fit;
        let mut election = WriterElection::default();
        let seen = [view(1, Fit, 2, 1), view(2, Fit, 2, 1)];
        assert_eq!(election.decide(&seen), Decision::Write(at(1)));
        // This member did not hear of the change, and believes that it is the writer.
        let behind = [down(1), view(2, Fit, 1, 2)];
        let reasons = nobody(&mut election, &behind);
        assert!(
            reasons.contains("db:1: no answer; db:2: it lags"),
            "{reasons}"
        );
    }

    /// With replicas, such a member takes writes when it comes back, and replicates from no other.
    #[test]
    fn who_was_left_behind_is_no_candidate() {
        use Condition::Fit;
        let failed_over = [view(1, Fit, 5, 1), view(2, Fit, 6, 3), down(3)];
        assert_eq!(decide(&failed_over), Decision::Change { to: 1, term: 6 });
    }

    #[test]
    fn a_restart_does_not_make_who_was_left_behind_the_writer() {
        use Condition::Fit;
        let mut election = knowing(6);
        let reasons = nobody(&mut election, &[view(1, Fit, 5, 1), down(2)]);
        assert_eq!(
            reasons,
            "db:1: it lags behind what was seen before; db:2: no answer"
        );
        let both = [view(1, Fit, 5, 1), view(2, Fit, 6, 2)];
        assert_eq!(election.decide(&both), Decision::Write(at(2)));
    }

    #[test]
    fn a_replica_bears_witness_to_a_change_that_a_writer_has_missed() {
        use Condition::Fit;
        let mut election = WriterElection::default();
        let views = [view(1, Fit, 5, 1), down(2), view(3, read_only(), 6, 2)];
        let reasons = nobody(&mut election, &views);
        assert!(reasons.starts_with("db:1: it lags"), "{reasons}");
        assert_eq!(election.record(), Some(&record("ours", 6)));
        let reasons = nobody(&mut election, &[view(1, Fit, 5, 1), down(2), down(3)]);
        assert!(reasons.starts_with("db:1: it lags"), "{reasons}");
    }

    #[test]
    fn a_stranger_is_never_the_writer() {
        use Condition::Fit;
        let views = [
            stranger(1, 7, 1),
            view(2, Fit, 1, 2),
            view(3, read_only(), 1, 2),
        ];
        let mut election = WriterElection::default();
        assert_eq!(election.decide(&views), Decision::Write(at(2)));
        let reasons = nobody(&mut election, &[stranger(1, 7, 1), down(2), down(3)]);
        assert!(reasons.contains("another store's data"), "{reasons}");
    }

    #[test]
    fn replicas_say_whose_data_these_are_though_they_take_no_writes() {
        let views = [
            stranger(1, 0, 0),
            view(2, Condition::Fit, 0, 0),
            view(3, read_only(), 0, 0),
            view(4, read_only(), 0, 0),
        ];
        assert_eq!(decide(&views), Decision::Change { to: 1, term: 0 });
    }

    #[test]
    fn a_few_members_do_not_say_whose_data_these_are() {
        use Condition::Fit;
        let mut election = WriterElection::default();
        let reasons = nobody(&mut election, &[stranger(1, 0, 0), down(2), down(3)]);
        assert!(
            reasons.ends_with("1 of 3 have: db:2: no answer; db:3: no answer"),
            "{reasons}"
        );
        assert_eq!(election.record(), None);
        let all = [
            stranger(1, 0, 0),
            view(2, Fit, 1, 2),
            view(3, read_only(), 1, 2),
        ];
        assert_eq!(election.decide(&all), Decision::Write(at(2)));
    }

    #[test]
    fn of_as_many_members_of_two_stores_none_is_the_writer() {
        use Condition::Fit;
        let views = [
            stranger(1, 0, 0),
            view(2, Fit, 1, 2),
            view(3, read_only(), 1, 2),
            stranger(4, 0, 0),
            down(5),
        ];
        let mut election = WriterElection::default();
        let reasons = nobody(&mut election, &views);
        assert!(
            reasons.contains("db:2 and db:3 against db:1 and db:4"),
            "{reasons}"
        );
        assert_eq!(election.record(), None);
        // If the origin is known already, no majority is needed.
        assert_eq!(knowing(1).decide(&views), Decision::Write(at(2)));
    }

    #[test]
    fn a_member_that_has_not_answered_yet_is_no_outage() {
        let unheard = View {
            at: at(2),
            fitness: Condition::Unheard,
            row: None,
            is_in_step: false,
        };
        let writer = view(1, Condition::Fit, 1, 1);
        let mut election = WriterElection::default();
        let views = [writer.clone(), unheard.clone()];
        assert_eq!(election.decide(&views), Decision::Wait);
        let reasons = nobody(&mut election, &[writer.clone(), down(2), down(3)]);
        assert!(reasons.contains("1 of 3"), "{reasons}");
        let half = [writer.clone(), down(2)];
        assert_eq!(election.decide(&half), Decision::Write(at(1)));
        assert_eq!(
            knowing(1).decide(&[writer, unheard]),
            Decision::Write(at(1))
        );
    }

    #[test]
    fn restored_members_are_believed_once_each_shows_it() {
        use Condition::Fit;
        let mut election = knowing(5);
        let reasons = nobody(&mut election, &[view(1, Fit, 3, 1), down(2)]);
        assert!(reasons.starts_with("db:1: it lags"), "{reasons}");
        let half = [view(1, Fit, 3, 1), view(2, read_only(), 5, 2)];
        let reasons = nobody(&mut election, &half);
        assert!(reasons.starts_with("db:1: it lags"), "{reasons}");
        assert_eq!(election.record(), Some(&record("ours", 5)));
        let all = [view(1, Fit, 3, 1), view(2, read_only(), 2, 1)];
        assert_eq!(election.decide(&all), Decision::Write(at(1)));
        assert_eq!(election.record(), Some(&record("ours", 3)));
    }

    /// A name server leaves dead members out, among them perhaps the only one that knows of the last change.
    #[test]
    fn members_of_which_some_may_be_left_out_are_not_taken_for_restored() {
        use Condition::Fit;
        let mut election = WriterElection::of_some(Some(record("ours", 5)));
        let reasons = nobody(&mut election, &[view(1, Fit, 3, 1), view(2, Fit, 3, 1)]);
        assert!(reasons.starts_with("db:1: it lags"), "{reasons}");
        assert!(reasons.contains("remove `mysql.writer.json`"), "{reasons}");
        assert_eq!(election.record(), Some(&record("ours", 5)));
        let reasons = nobody(&mut election, &[view(1, Fit, 3, 1), down(2)]);
        assert!(reasons.ends_with("db:2: no answer"), "{reasons}");
        let back = [view(1, Fit, 3, 1), view(3, Fit, 5, 3)];
        assert_eq!(election.decide(&back), Decision::Write(at(3)));
    }

    #[test]
    fn a_database_that_was_made_anew_on_all_members_is_believed() {
        use Condition::Fit;
        let mut election = WriterElection::new(Some(record("theirs", 5)));
        let half = [view(1, Fit, 0, 0), stranger(2, 5, 2)];
        assert_eq!(election.decide(&half), Decision::Write(at(2)));
        let all = [view(1, Fit, 0, 0), view(2, Fit, 0, 0)];
        assert_eq!(election.decide(&all), Decision::Change { to: 0, term: 0 });
        assert_eq!(election.record(), Some(&record("ours", 0)));
    }

    #[test]
    fn a_writer_that_is_no_member_is_replaced() {
        let views = [view(1, Condition::Fit, 4, 9)];
        assert_eq!(decide(&views), Decision::Change { to: 0, term: 4 });
    }
}
