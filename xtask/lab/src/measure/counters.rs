//! The counters of MariaDB and Redis.

use anyhow::{Context, Result};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use redis::aio::MultiplexedConnection;
use testbed::DataStore;

const STATUS: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN \
    ('Connections', 'Questions', 'Com_stmt_prepare', 'Rows_read', 'Innodb_row_lock_time')";

/// The name of the command counter in Redis's statistics.
const COMMANDS: &str = "total_commands_processed:";

/// Counts since the servers started, or between two readings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counters {
    pub(crate) mysql_connections: f64,
    /// The statements that clients sent.
    pub(crate) mysql_statements: f64,
    pub(crate) mysql_prepared: f64,
    pub(crate) mysql_rows_read: f64,
    /// How long transactions waited for locked rows, in milliseconds.
    pub(crate) mysql_lock_wait_ms: f64,
    pub(crate) redis_commands: f64,
}

impl Counters {
    pub(crate) const NONE: Self = Self {
        mysql_connections: 0.0,
        mysql_statements: 0.0,
        mysql_prepared: 0.0,
        mysql_rows_read: 0.0,
        mysql_lock_wait_ms: 0.0,
        redis_commands: 0.0,
    };

    /// Reads the counters over the caller's connections. A reading itself counts as one statement and one command.
    pub(crate) async fn look(mysql: &mut Conn, redis: &mut MultiplexedConnection) -> Result<Self> {
        let rows: Vec<(String, f64)> = mysql
            .query(STATUS)
            .await
            .context("asking MariaDB for its counters")?;
        let of = |name: &str| {
            let row = rows.iter().find(|(found, _)| found == name);
            row.map(|(_, value)| *value)
                .with_context(|| format!("MariaDB counts no {name}"))
        };
        let info: String = redis::cmd("INFO")
            .arg("stats")
            .query_async(redis)
            .await
            .context("asking Redis for its counters")?;
        let commands = info.lines().find_map(|line| line.strip_prefix(COMMANDS));
        Ok(Self {
            mysql_connections: of("Connections")?,
            mysql_statements: of("Questions")?,
            mysql_prepared: of("Com_stmt_prepare")?,
            mysql_rows_read: of("Rows_read")?,
            mysql_lock_wait_ms: of("Innodb_row_lock_time")?,
            redis_commands: commands
                .and_then(|value| value.trim().parse().ok())
                .context("Redis counts no commands")?,
        })
    }

    /// Reads the counters over new connections, which are counted too.
    pub(crate) async fn look_at(store: &DataStore) -> Result<Self> {
        let (mut mysql, mut redis) = (store.mysql().await?, store.redis().await?);
        let found = Self::look(&mut mysql, &mut redis).await?;
        mysql.disconnect().await.context("disconnecting")?;
        Ok(found)
    }

    /// The number of statements and preparations; each takes one round trip.
    pub(crate) fn mysql_round_trips(&self) -> f64 {
        self.mysql_statements + self.mysql_prepared
    }

    /// The difference from `before` to this, less `look`, the cost of a reading.
    pub(crate) fn since(&self, before: &Self, look: &Self) -> Self {
        let between = |of: fn(&Self) -> f64| (of(self) - of(before) - of(look)).max(0.0);
        Self {
            mysql_connections: between(|c| c.mysql_connections),
            mysql_statements: between(|c| c.mysql_statements),
            mysql_prepared: between(|c| c.mysql_prepared),
            mysql_rows_read: between(|c| c.mysql_rows_read),
            mysql_lock_wait_ms: between(|c| c.mysql_lock_wait_ms),
            redis_commands: between(|c| c.redis_commands),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_look_costs_is_left_out_and_nothing_is_negative() {
        let counted = |statements, redis_commands| Counters {
            mysql_statements: statements,
            mysql_prepared: 2.0,
            redis_commands,
            ..Counters::NONE
        };
        let look = Counters {
            mysql_prepared: 0.0,
            ..counted(1.0, 1.0)
        };
        let since = counted(12.0, 5.0).since(&counted(4.0, 5.0), &look);
        assert_eq!((since.mysql_statements, since.redis_commands), (7.0, 0.0));
        assert_eq!(counted(12.0, 5.0).mysql_round_trips(), 14.0);
    }
}
