//! One member of a group, which is checked again and again.

use std::time::{Duration, Instant};

use super::row::{self, Outcome, Row};
use super::view::{Condition, View};
use crate::config::HostPort;
use crate::mysql::fitness::Fitness;
use crate::mysql::probe::{Defect, Probe};
use crate::mysql::server::Server;

/// The longest wait for all answers of one check.
const TIME_LIMIT: Duration = Duration::from_millis(700);

/// How long a member may be silent before it counts as gone. A member whose host refuses the connection counts as gone
/// at once.
const SILENT_FOR: Duration = Duration::from_secs(4);

/// How long a member that has never answered may be silent. For this long, a host without a record waits for what the
/// member shows.
const UNHEARD_FOR: Duration = Duration::from_secs(3);

/// MySQL's error code for a table that does not exist.
const NO_TABLE: u16 = 1146;

/// The reason that operators are shown when a member does not have the table that names the writer.
const NOT_MIGRATED: &str = "its database has no table `mysql_writer`; run `store-host migrate`";

/// A member, and its state at its last answer.
pub(super) struct Member {
    at: HostPort,
    probe: Probe,
    last: View,
    silent_since: Option<Instant>,
    /// Whether the log says that the member hides how far it lags.
    is_hiding: bool,
}

/// Said of a member whose user may not see how far it lags.
const BACKLOG_HIDDEN: &str = "it answers no reads while there is no writer, as the user may not read \
    `performance_schema.replication_group_member_stats`, which shows how far it lags; grant SELECT on it";

impl Member {
    /// The member at `at`, which `server` connects to.
    pub(super) fn new(at: HostPort, server: Server) -> Self {
        let last = View {
            at: at.clone(),
            fitness: Condition::Unheard,
            row: None,
            is_in_step: false,
        };
        Self {
            at,
            probe: Probe::new(server, TIME_LIMIT),
            last,
            silent_since: None,
            is_hiding: false,
        }
    }

    pub(super) fn at(&self) -> &HostPort {
        &self.at
    }

    pub(super) fn name(&self) -> String {
        self.at.to_string()
    }

    /// Checks the member, and returns its state. While it is silent, returns its state at its last answer, for
    /// [`SILENT_FOR`].
    pub(super) async fn look(&mut self) -> View {
        let limit = match self.last.fitness {
            Condition::Unheard => UNHEARD_FOR,
            _ => SILENT_FOR,
        };
        let answer = self.ask().await;
        if !matches!(answer, Err(Defect::Silent(_))) {
            self.silent_since = None;
        } else if self.silent_since.get_or_insert_with(Instant::now).elapsed() < limit {
            return View {
                is_in_step: false,
                ..self.last.clone()
            };
        }
        let (fitness, row) = match answer {
            Ok(answer) => answer,
            Err(unfit) => (Condition::Unfit(unfit.to_string()), None),
        };
        self.note(&fitness);
        let was_hiding = std::mem::replace(&mut self.is_hiding, self.probe.hides_backlog());
        if self.is_hiding && !was_hiding {
            tracing::warn!("MySQL member {}: {BACKLOG_HIDDEN}", self.at);
        }
        self.last = View {
            at: self.at.clone(),
            fitness,
            row,
            is_in_step: self.probe.is_in_step(),
        };
        self.last.clone()
    }

    /// Whether the member takes writes, and its row. The row counts even if the member takes no writes.
    async fn ask(&mut self) -> Result<(Condition, Option<Row>), Defect> {
        let unfit = match self.probe.ask().await {
            Ok(fitness) => return Ok((fitness.into(), self.row().await?)),
            Err(Defect::TakesNoWrites(reason)) => Condition::Unfit(reason.into()),
            Err(defect) => return Err(defect),
        };
        // The reason why it takes no writes is reported even if its row can't be read.
        Ok((unfit, self.row().await.unwrap_or_default()))
    }

    async fn row(&mut self) -> Result<Option<Row>, Defect> {
        match self.probe.on_connection(row::read).await {
            Err(Defect::Broken(mysql_async::Error::Server(error))) if error.code == NO_TABLE => {
                Err(Defect::TakesNoWrites(NOT_MIGRATED))
            }
            row => row,
        }
    }

    fn note(&self, fitness: &Condition) {
        match fitness {
            now if *now == self.last.fitness => {}
            Condition::Unheard => {}
            Condition::Fit => tracing::info!("MySQL member {}: it takes writes", self.at),
            Condition::Busy => tracing::info!("MySQL member {}: it helps another to join", self.at),
            Condition::Unfit(reason) => tracing::warn!("MySQL member {}: {reason}", self.at),
        }
    }

    /// Makes this member the writer, if `term` is still the latest.
    ///
    /// # Errors
    /// The member does not answer, so it is unknown whether it is the writer.
    pub(super) async fn become_writer(&mut self, term: i64) -> mysql_async::Result<Outcome> {
        let conn = self.probe.connection().await?;
        row::change(conn, &self.at, term).await
    }

    /// Closes the member's connection, on which an answer may still be outstanding.
    pub(super) fn hang_up(&mut self) {
        self.probe.hang_up();
    }
}

impl From<Fitness> for Condition {
    fn from(fitness: Fitness) -> Self {
        match fitness {
            Fitness::Fit => Self::Fit,
            Fitness::Busy => Self::Busy,
            Fitness::Doubtful(reason) => Self::Unfit(reason.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_does_not_show_its_state_is_not_written_to() {
        let doubtful = Condition::from(Fitness::Doubtful("it is hidden"));
        assert_eq!(doubtful, Condition::Unfit("it is hidden".into()));
    }
}
