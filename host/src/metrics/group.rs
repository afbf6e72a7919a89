//! Metrics of the MySQL servers that `--mysql-members` names.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::{IntCounter, IntGaugeVec};

use super::Declare;

/// The metrics of all members, for all databases.
#[derive(Clone)]
pub(super) struct GroupFamilies {
    fit: IntGaugeVec,
    writer: IntGaugeVec,
    changes: IntCounter,
    /// What was shown last of each database. All its groups write this, and each reload keeps it.
    shown: Arc<Mutex<HashMap<String, ShownGroup>>>,
}

/// The members of one database, as they were shown last.
#[derive(Default)]
struct ShownGroup {
    members: Vec<String>,
    writer: Option<String>,
}

impl GroupFamilies {
    pub(super) fn declare(declare: &Declare<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            fit: declare.gauges(
                "store_mysql_member_fit",
                "Whether a member of --mysql-members takes writes, as this host sees it",
                &["database", "member"],
            )?,
            writer: declare.gauges(
                "store_mysql_member_writer",
                "Whether this host writes to a member of --mysql-members",
                &["database", "member"],
            )?,
            changes: declare.counter(
                "store_mysql_writer_changes_total",
                "How often this host began to write to another member of --mysql-members, or to the first",
            )?,
            shown: Arc::default(),
        })
    }

    /// The metrics of the members that hold one database. A reload calls this again with the same members, which
    /// changes no metric, or with none yet, if they are looked up: then the known ones stay until then.
    pub(super) fn of(&self, database: &str, members: Vec<String>) -> GroupMetrics {
        let metrics = GroupMetrics {
            families: self.clone(),
            database: database.to_owned(),
        };
        if !members.is_empty() {
            metrics.members_are(members);
        }
        metrics
    }
}

/// The metrics of the members that hold one database.
pub(crate) struct GroupMetrics {
    families: GroupFamilies,
    database: String,
}

impl GroupMetrics {
    /// Replaces the list of members. The series of members that are no longer listed are removed, those of a former
    /// group of this database included.
    pub(crate) fn members_are(&self, members: Vec<String>) {
        let mut shown = self.families.shown.lock();
        let shown = shown.entry(self.database.clone()).or_default();
        let before = std::mem::replace(&mut shown.members, members);
        let gone = before
            .iter()
            .filter(|before| !shown.members.contains(before));
        for member in gone {
            let labels = [&self.database, member];
            // Removing fails if the member was never checked, because then it has no series.
            _ = self.families.fit.remove_label_values(&labels);
            _ = self.families.writer.remove_label_values(&labels);
        }
    }

    /// Shows whether a member takes writes; nothing if it is no member any more, which a group that is about to end may
    /// not have heard.
    pub(crate) fn member_is_fit(&self, member: &str, is_fit: bool) {
        let mut shown = self.families.shown.lock();
        let shown = shown.entry(self.database.clone()).or_default();
        if !shown.members.iter().any(|known| known == member) {
            return;
        }
        let labels = [&self.database, member];
        self.families
            .fit
            .with_label_values(&labels)
            .set(is_fit.into());
        self.families.writer.with_label_values(&labels);
    }

    /// Shows which member is the writer, or that none is. This is called after each check, because another group of the
    /// same database may have shown something else: a refused reload makes one for a moment.
    pub(crate) fn writer_is(&self, writer: Option<&str>) {
        let mut shown = self.families.shown.lock();
        let shown = shown.entry(self.database.clone()).or_default();
        for member in &shown.members {
            let labels = [&self.database, member];
            let is_writer = writer == Some(member);
            let gauge = self.families.writer.with_label_values(&labels);
            gauge.set(is_writer.into());
        }
        if let Some(writer) = writer
            && shown.writer.as_deref() != Some(writer)
        {
            shown.writer = Some(writer.to_owned());
            self.families.changes.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use store_server::metrics::Format;

    use crate::metrics::Metrics;

    #[test]
    fn nothing_is_said_of_a_member_that_is_none_any_more() {
        let metrics = Metrics::new().expect("names are unique");
        let group = metrics.mysql_group("one", vec![]);
        group.members_are(vec!["a".into(), "b".into()]);
        for member in ["a", "b"] {
            group.member_is_fit(member, true);
        }
        group.writer_is(Some("a"));
        group.members_are(vec!["b".into(), "c".into()]);
        let text = metrics.render(Format::Text).expect("renders");
        assert!(!text.contains("member=\"a\""), "{text}");
        assert!(text.contains("member=\"b\""), "{text}");
    }

    /// A reload makes a group that looks the members up anew, while the group before is about to end.
    #[test]
    fn a_reload_leaves_no_series_of_a_member_that_is_gone() {
        let metrics = Metrics::new().expect("names are unique");
        let before = metrics.mysql_group("one", vec![]);
        before.members_are(vec!["a".into(), "b".into()]);
        before.member_is_fit("a", false);
        let has = |member: &str| {
            let text = metrics.render(Format::Text).expect("renders");
            text.contains(&format!("member=\"{member}\""))
        };
        let reloaded = metrics.mysql_group("one", vec![]);
        assert!(has("a"), "nobody has said yet that it is gone");
        reloaded.members_are(vec!["b".into()]);
        assert!(!has("a"));
        before.member_is_fit("a", false);
        before.writer_is(Some("a"));
        assert!(!has("a"), "the group before has not heard of it");
        assert!(has("b"));
    }

    #[test]
    fn databases_have_writers_of_their_own_and_a_reload_changes_none() {
        let metrics = Metrics::new().expect("names are unique");
        let members = || vec!["a".to_owned(), "b".to_owned()];
        metrics.mysql_group("one", members()).writer_is(Some("a"));
        metrics.mysql_group("two", members()).writer_is(Some("b"));
        let reloaded = metrics.mysql_group("one", members());
        reloaded.writer_is(Some("a"));
        let is_writer = |database, member| {
            let gauge = metrics.group.writer.with_label_values(&[database, member]);
            gauge.get() == 1
        };
        assert!(is_writer("one", "a") && is_writer("two", "b"));
        assert_eq!(metrics.group.changes.get(), 2);
        reloaded.writer_is(None);
        assert!(!is_writer("one", "a") && is_writer("two", "b"));
        reloaded.writer_is(Some("a"));
        assert!(is_writer("one", "a"));
        assert_eq!(metrics.group.changes.get(), 2, "it is the same as before");
        reloaded.writer_is(Some("b"));
        assert!(is_writer("one", "b") && !is_writer("one", "a"));
        assert_eq!(metrics.group.changes.get(), 3);
    }
}
