//! What is counted of the MySQL servers that `--mysql-members` names.

use prometheus::{IntCounter, IntGaugeVec};

use super::Declare;

/// What is counted of the members.
#[derive(Clone)]
pub(crate) struct GroupMetrics {
    fit: IntGaugeVec,
    writer: IntGaugeVec,
    changes: IntCounter,
}

impl GroupMetrics {
    pub(super) fn declare(declare: &Declare<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            fit: declare.gauges(
                "store_mysql_member_fit",
                "Whether a member of --mysql-members takes writes, as this host sees it",
                &["member"],
            )?,
            writer: declare.gauges(
                "store_mysql_member_writer",
                "Whether this host writes to a member of --mysql-members",
                &["member"],
            )?,
            changes: declare.counter(
                "store_mysql_writer_changes_total",
                "How often this host began to write to a member of --mysql-members",
            )?,
        })
    }

    /// A member takes writes, or doesn't.
    pub(crate) fn member_is_fit(&self, member: &str, is_fit: bool) {
        self.fit.with_label_values(&[member]).set(is_fit.into());
        self.writer.with_label_values(&[member]);
    }

    /// This member is the writer from now on.
    pub(crate) fn writes_to(&self, member: &str) {
        self.writes_to_nobody();
        self.writer.with_label_values(&[member]).set(1);
        self.changes.inc();
    }

    /// There is no writer.
    pub(crate) fn writes_to_nobody(&self) {
        self.writer.reset();
    }
}
