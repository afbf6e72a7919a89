//! What MariaDB and Redis were asked, as they count it.

use anyhow::{Context, Result};
use mysql_async::prelude::Queryable;
use testbed::Store;

/// Counts since the servers started, or between two looks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) mysql_connections: f64,
    /// Statements and preparations: each is one round trip.
    pub(super) mysql_round_trips: f64,
    pub(super) mysql_prepared: f64,
    pub(super) redis_commands: f64,
}

impl Counters {
    /// Looks. The look itself is counted: one connection of MySQL and a few statements.
    pub(super) async fn look(store: &Store) -> Result<Self> {
        let mut mysql = store.mysql().await?;
        let rows: Vec<(String, String)> = mysql
            .query("SHOW GLOBAL STATUS WHERE Variable_name IN ('Connections', 'Questions', 'Com_stmt_prepare')")
            .await
            .context("asking MariaDB for its counters")?;
        mysql.disconnect().await.context("disconnecting")?;
        let mysql = |name: &str| {
            let row = rows.iter().find(|(found, _)| found == name);
            row.and_then(|(_, value)| value.parse::<f64>().ok())
                .with_context(|| format!("MariaDB counts no {name}"))
        };
        let mut redis = store.redis().await?;
        let info: String = redis::cmd("INFO")
            .arg("stats")
            .query_async(&mut redis)
            .await
            .context("asking Redis for its counters")?;
        let commands = info
            .lines()
            .find_map(|line| line.strip_prefix("total_commands_processed:"));
        let prepared = mysql("Com_stmt_prepare")?;
        Ok(Self {
            mysql_connections: mysql("Connections")?,
            mysql_round_trips: mysql("Questions")? + prepared,
            mysql_prepared: prepared,
            redis_commands: commands
                .and_then(|value| value.trim().parse().ok())
                .context("Redis counts no commands")?,
        })
    }

    /// What happened from `before` to this, the looks themselves left out.
    pub(super) fn since(self, before: Self, look: Self) -> Self {
        let between =
            |value: fn(&Self) -> f64| (value(&self) - value(&before) - value(&look)).max(0.0);
        Self {
            mysql_connections: between(|c| c.mysql_connections),
            mysql_round_trips: between(|c| c.mysql_round_trips),
            mysql_prepared: between(|c| c.mysql_prepared),
            redis_commands: between(|c| c.redis_commands),
        }
    }
}
