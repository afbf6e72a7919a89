//! The cache's state in MySQL and in Redis, and whether they agree.

use std::time::Duration;

use store_domain::cache::STATE;

use crate::mysql::{Connection, MysqlError, NO_WAIT};
use crate::redis::{Redis, RedisError};

/// The one row of `cache_state`, the last beat, and for how long the epoch has been doubted, in milliseconds (NULL if
/// it is not).
pub(crate) const STATE_COLUMNS: &str = "s.epoch, s.server, \
     COALESCE((SELECT b.beat FROM cache_beat b WHERE b.id = 1), 0), \
     (SELECT TIMESTAMPDIFF(MICROSECOND, d.doubted_at, UTC_TIMESTAMP(3)) DIV 1000 FROM cache_doubts d WHERE d.epoch = s.epoch)";

/// The cache's state in MySQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) epoch: i64,
    pub(crate) server: String,
    pub(crate) beat: i64,
    pub(crate) doubted_for: Option<Duration>,
}

/// The columns of [`STATE_COLUMNS`].
pub(crate) type StateRow = (i64, String, i64, Option<i64>);

impl From<StateRow> for State {
    fn from((epoch, server, beat, doubted_ms): StateRow) -> Self {
        let doubted_for =
            doubted_ms.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
        Self {
            epoch,
            server,
            beat,
            doubted_for,
        }
    }
}

impl State {
    /// The state before the first epoch.
    fn none() -> Self {
        (0, String::new(), 0, None).into()
    }

    pub(super) async fn read(connection: &Connection) -> Result<Self, MysqlError> {
        Self::read_with(connection, "").await
    }

    /// As [`State::read`], but fails at once while MySQL has no writer.
    pub(super) async fn read_at_once(connection: &Connection) -> Result<Self, MysqlError> {
        Self::read_with(connection, NO_WAIT).await
    }

    /// The state must be the writer's: another member may not have heard of a doubt yet. So it is never stale.
    async fn read_with(connection: &Connection, hint: &str) -> Result<Self, MysqlError> {
        let statement = format!("SELECT {STATE_COLUMNS} FROM cache_state s WHERE s.id = 1{hint}");
        let row = connection.first::<StateRow>(&statement, vec![]).await?;
        Ok(row.map_or_else(Self::none, Self::from))
    }
}

/// The cache's state in Redis.
pub(super) struct RedisState {
    pub(super) run_id: String,
    pub(super) epoch: i64,
    beat: i64,
}

impl RedisState {
    pub(super) async fn read(redis: &Redis) -> Result<Self, RedisError> {
        let (state, run_id) = redis.get_with_run_id(STATE).await?;
        let (epoch, beat) = state.as_deref().and_then(parse).unwrap_or_default();
        Ok(Self {
            run_id,
            epoch,
            beat,
        })
    }

    /// Whether this is the server and the epoch that MySQL names. If the beat of MySQL is behind, MySQL was restored to
    /// an earlier state, and Redis holds changes that MySQL does not have.
    pub(super) fn agrees(&self, state: &State) -> bool {
        self.run_id == state.server && self.epoch == state.epoch && self.beat <= state.beat
    }
}

fn parse(state: &str) -> Option<(i64, i64)> {
    let (epoch, beat) = state.split_once(':')?;
    Some((epoch.parse().ok()?, beat.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(epoch: i64, server: &str, beat: i64) -> State {
        (epoch, server.to_owned(), beat, None).into()
    }

    #[test]
    fn redis_agrees_unless_it_is_another_or_mysql_is_behind() {
        let said = RedisState {
            run_id: "a".into(),
            epoch: 7,
            beat: 3,
        };
        assert!(said.agrees(&state(7, "a", 3)));
        assert!(said.agrees(&state(7, "a", 4)), "Redis was not told yet");
        assert!(!said.agrees(&state(7, "b", 3)), "another server");
        assert!(!said.agrees(&state(8, "a", 3)), "another epoch");
        assert!(!said.agrees(&state(7, "a", 2)), "MySQL was restored");
    }

    #[test]
    fn a_state_reads_back_and_anything_else_is_none() {
        assert_eq!(parse("7:3"), Some((7, 3)));
        for other in ["", "7", "7:", "a:3", "7:b"] {
            assert_eq!(parse(other), None);
        }
    }
}
