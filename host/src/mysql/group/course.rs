//! What follows from a look at all members. Nothing here speaks to a server.

use super::row::Row;
use crate::config::HostPort;

/// What one member was found to be.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) at: HostPort,
    pub(super) fitness: Condition,
    /// What it says of the writer, if it says anything.
    pub(super) row: Option<Row>,
}

/// Whether a member could be the writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Fit,
    /// It takes writes, and has something else to do: it sends a joining member its data.
    Busy,
    Unfit(String),
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Write there.
    Write(HostPort),
    /// Another look will tell: the writer has not heard yet that it is the one.
    Wait,
    /// Have the member of this number be the writer, if the term is still this one.
    Change { to: usize, term: i64 },
    /// There is no writer. The text says why each member is unfit.
    Nobody(String),
}

/// What is remembered from look to look.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// Whose data these are.
    origin: Option<String>,
    /// The latest term that was seen. An earlier one is of a member that lags.
    term: i64,
}

impl Condition {
    /// Whether it takes writes.
    pub(super) fn is_fit(&self) -> bool {
        !matches!(self, Self::Unfit(_))
    }
}

impl Course {
    /// Decides by what each member is and says.
    pub(super) fn decide(&mut self, views: &[View]) -> Decision {
        let origin = self.origin.clone().or_else(|| origin_of_most(views));
        let own = |view: &&View| {
            view.row
                .as_ref()
                .is_some_and(|row| Some(&row.origin) == origin.as_ref())
        };
        let latest = views.iter().filter(|view| view.fitness.is_fit());
        let latest = latest.filter(own).filter_map(|view| view.row.as_ref());
        let Some(latest) = latest
            .max_by_key(|row| row.term)
            .filter(|row| row.term >= self.term)
        else {
            return Decision::Nobody(reasons(views, origin.as_deref()));
        };
        (self.origin, self.term) = (origin.clone(), latest.term);
        // One that shows an earlier term has missed what was written since.
        let knows = |view: &View| {
            let row = view.row.as_ref();
            row.is_some_and(|row| row.term == latest.term)
        };
        let fit = |wanted: Condition| {
            views
                .iter()
                .position(|view| own(&view) && knows(view) && view.fitness == wanted)
        };
        let writer = views
            .iter()
            .find(|view| view.at.to_string() == latest.member);
        let writer = writer.filter(own);
        let stays = writer.filter(|writer| match writer.fitness {
            Condition::Fit => true,
            Condition::Busy => fit(Condition::Fit).is_none(),
            Condition::Unfit(_) => false,
        });
        if let Some(writer) = stays {
            // Whoever has the row has all that was committed before it.
            return match knows(writer) {
                true => Decision::Write(writer.at.clone()),
                false => Decision::Wait,
            };
        }
        match fit(Condition::Fit).or_else(|| fit(Condition::Busy)) {
            Some(to) => Decision::Change {
                to,
                term: latest.term,
            },
            None => Decision::Nobody(reasons(views, origin.as_deref())),
        }
    }
}

/// The data that most members have, the first ones' if it is undecided.
fn origin_of_most(views: &[View]) -> Option<String> {
    let origins = || {
        views
            .iter()
            .filter_map(|view| Some(&view.row.as_ref()?.origin))
    };
    let count = |origin: &String| origins().filter(|other| *other == origin).count();
    // Of equals, `max_by_key` gives the last.
    origins().rev().max_by_key(|origin| count(origin)).cloned()
}

fn reasons(views: &[View], origin: Option<&str>) -> String {
    let reasons = views.iter().map(|view| {
        let reason = match (&view.fitness, &view.row) {
            (Condition::Unfit(reason), _) => reason.as_str(),
            (_, Some(row)) if Some(row.origin.as_str()) != origin => {
                "it holds another store's data, so it is no member"
            }
            (_, Some(_)) => "it lags behind what was seen before",
            (_, None) => "it says nothing of the writer",
        };
        format!("{}: {reason}", view.at)
    });
    reasons.collect::<Vec<_>>().join("; ")
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
        }
    }

    fn at(port: u16) -> HostPort {
        HostPort::new("db", port)
    }

    fn down(port: u16) -> View {
        View {
            at: at(port),
            fitness: Condition::Unfit("no answer".into()),
            row: None,
        }
    }

    fn decide(views: &[View]) -> Decision {
        Course::default().decide(views)
    }

    #[test]
    fn the_first_fit_member_begins_and_stays() {
        use Condition::{Busy, Fit};
        let read_only = || Condition::Unfit("it is read-only".into());
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
        assert_eq!(decide(&alone), Decision::Write(at(2)));
    }

    #[test]
    fn a_writer_is_written_to_once_it_knows() {
        use Condition::Fit;
        let lags = [view(1, Fit, 3, 2), view(2, Fit, 2, 1)];
        assert_eq!(decide(&lags), Decision::Wait);
        let knows = [view(1, Fit, 3, 2), view(2, Fit, 3, 2)];
        assert_eq!(decide(&knows), Decision::Write(at(2)));
    }

    #[test]
    fn who_was_left_behind_is_not_believed() {
        use Condition::Fit;
        let mut course = Course::default();
        let seen = [view(1, Fit, 2, 1), view(2, Fit, 2, 1)];
        assert_eq!(course.decide(&seen), Decision::Write(at(1)));
        // It did not hear of the change, and believes that it is the writer.
        let behind = [down(1), view(2, Fit, 1, 2)];
        let Decision::Nobody(reasons) = course.decide(&behind) else {
            panic!("it was believed");
        };
        assert!(
            reasons.contains("db:1: no answer; db:2: it lags"),
            "{reasons}"
        );
    }

    /// With replicas, it takes writes again when it comes back, and replicates from nobody.
    #[test]
    fn who_was_left_behind_is_no_candidate() {
        use Condition::Fit;
        let failed_over = [view(1, Fit, 5, 1), view(2, Fit, 6, 3), down(3)];
        assert_eq!(decide(&failed_over), Decision::Change { to: 1, term: 6 });
    }

    #[test]
    fn a_stranger_is_never_the_writer() {
        use Condition::Fit;
        let mut stranger = view(1, Fit, 7, 1);
        stranger.row.as_mut().expect("a row").origin = "theirs".into();
        let views = [stranger.clone(), view(2, Fit, 1, 2), view(3, Fit, 1, 2)];
        assert_eq!(decide(&views), Decision::Write(at(2)));
        let mut course = Course::default();
        assert_eq!(course.decide(&views), Decision::Write(at(2)));
        let Decision::Nobody(reasons) = course.decide(&[stranger, down(2), down(3)]) else {
            panic!("it was believed");
        };
        assert!(reasons.contains("another store's data"), "{reasons}");
    }

    #[test]
    fn a_writer_that_is_no_member_is_replaced() {
        let views = [view(1, Condition::Fit, 4, 9)];
        assert_eq!(decide(&views), Decision::Change { to: 0, term: 4 });
    }
}
