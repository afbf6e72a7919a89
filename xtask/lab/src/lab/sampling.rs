//! One look a second at processes and servers while a load runs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use mysql_async::Conn;
use redis::aio::MultiplexedConnection;
use testbed::DataStore;
use tokio::time::{MissedTickBehavior, interval};

use super::model::Sample;
use super::usage::UsageMeter;
use crate::measure::Counters;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// What a look costs itself. MariaDB counts a statement as it begins, Redis a command once it is done: one each.
const LOOK: Counters = Counters {
    mysql_statements: 1.0,
    redis_commands: 1.0,
    ..Counters::NONE
};

/// Looks at one stage.
pub(super) struct Sampler {
    watch: UsageMeter,
    servers: Option<ServerCounters>,
}

/// The connections to the two servers, and what they had counted at the last look.
struct ServerCounters {
    mysql: Conn,
    redis: MultiplexedConnection,
    last: Counters,
}

impl Sampler {
    /// Watches these processes (name, id) and this store, which the reference has not.
    pub(super) async fn new(
        processes: Vec<(String, u32)>,
        store: Option<&DataStore>,
    ) -> Result<Self> {
        let servers = match store {
            Some(store) => Some(ServerCounters::new(store).await?),
            None => None,
        };
        Ok(Self {
            watch: UsageMeter::new(processes)?,
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
            statements: counted.map(|counts| counts.mysql_statements as u64),
            rows_read: counted.map(|counts| counts.mysql_rows_read as u64),
            redis_commands: counted.map(|counts| counts.redis_commands as u64),
        })
    }
}

impl ServerCounters {
    async fn new(store: &DataStore) -> Result<Self> {
        let mut mysql = store.mysql().await?;
        let mut redis = store.redis().await?;
        let last = Counters::look(&mut mysql, &mut redis).await?;
        Ok(Self { mysql, redis, last })
    }

    async fn since_last(&mut self) -> Result<Counters> {
        let now = Counters::look(&mut self.mysql, &mut self.redis).await?;
        let last = std::mem::replace(&mut self.last, now);
        Ok(now.since(&last, &LOOK))
    }
}
