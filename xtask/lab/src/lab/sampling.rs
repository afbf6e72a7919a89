//! One look a second at processes and servers while a load runs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use redis::aio::MultiplexedConnection;
use testbed::Store;
use tokio::time::{MissedTickBehavior, interval};

use super::model::Sample;
use super::usage::Watch;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// Statements that clients sent, and rows that the server read for them. Each look is one statement more.
const STATUS: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Questions', 'Rows_read')";

/// Commands, in Redis's own statistics. Each look is one command more.
const COMMANDS: &str = "total_commands_processed:";

/// Looks at one stage.
pub(super) struct Sampler {
    watch: Watch,
    servers: Option<Counting>,
}

/// The connections to the two servers, and what they had counted at the last look.
struct Counting {
    mysql: Conn,
    redis: MultiplexedConnection,
    last: Counts,
}

#[derive(Clone, Copy)]
struct Counts {
    statements: u64,
    rows_read: u64,
    redis_commands: u64,
}

impl Sampler {
    /// Watches these processes (name, id) and this store, which the reference has not.
    pub(super) async fn new(processes: Vec<(String, u32)>, store: Option<&Store>) -> Result<Self> {
        let servers = match store {
            Some(store) => Some(Counting::new(store).await?),
            None => None,
        };
        Ok(Self {
            watch: Watch::new(processes)?,
            servers,
        })
    }

    /// Looks once a second, for as long as it is polled, and tells `each`. The samples' seconds are since 1970.
    pub(super) async fn run(&mut self, samples: &mut Vec<Sample>, each: impl Fn()) -> Result<()> {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once, and only sets what the others count from.
        ticks.tick().await;
        self.look().await?;
        loop {
            ticks.tick().await;
            samples.push(self.look().await?);
            each();
        }
    }

    async fn look(&mut self) -> Result<Sample> {
        let used = self.watch.since_last()?;
        let counted = match &mut self.servers {
            Some(servers) => Some(servers.since_last().await?),
            None => None,
        };
        Ok(Sample {
            second: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0.0, |since| since.as_secs_f64()),
            machine_busy: used.machine_busy,
            processes: used.processes,
            statements: counted.map(|counts| counts.statements),
            rows_read: counted.map(|counts| counts.rows_read),
            redis_commands: counted.map(|counts| counts.redis_commands),
        })
    }
}

impl Counting {
    async fn new(store: &Store) -> Result<Self> {
        let mut mysql = store.mysql().await?;
        let mut redis = store.redis().await?;
        let last = count(&mut mysql, &mut redis).await?;
        Ok(Self { mysql, redis, last })
    }

    async fn since_last(&mut self) -> Result<Counts> {
        let now = count(&mut self.mysql, &mut self.redis).await?;
        let last = std::mem::replace(&mut self.last, now);
        Ok(Counts {
            // Less our own look. MariaDB counts a statement as it begins, Redis a command once it is done: one each.
            statements: now.statements.saturating_sub(last.statements + 1),
            rows_read: now.rows_read.saturating_sub(last.rows_read),
            redis_commands: now.redis_commands.saturating_sub(last.redis_commands + 1),
        })
    }
}

async fn count(mysql: &mut Conn, redis: &mut MultiplexedConnection) -> Result<Counts> {
    let rows: Vec<(String, u64)> = mysql
        .query(STATUS)
        .await
        .context("asking MariaDB for its status")?;
    let of = |name: &str| {
        let row = rows.iter().find(|(found, _)| found == name);
        row.map_or(0, |(_, value)| *value)
    };
    let info: String = redis::cmd("INFO")
        .arg("stats")
        .query_async(redis)
        .await
        .context("asking Redis for its statistics")?;
    let commands = info.lines().find_map(|line| line.strip_prefix(COMMANDS));
    Ok(Counts {
        statements: of("Questions"),
        rows_read: of("Rows_read"),
        redis_commands: commands
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0),
    })
}
