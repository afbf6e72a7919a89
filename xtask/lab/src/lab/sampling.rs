//! Takes one sample of processes and servers each second while a load runs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use mysql_async::Conn;
use redis::aio::MultiplexedConnection;
use testbed::DataStore;
use tokio::time::{MissedTickBehavior, interval};

use super::model::Sample;
use super::usage::UsageMeter;
use crate::measure::Counters;

/// The time between two samples.
const EVERY: Duration = Duration::from_secs(1);

/// The cost of a sample itself: one statement, which MariaDB counts when it begins, and one command, which Redis counts
/// when it is done.
const LOOK: Counters = Counters {
    mysql_statements: 1.0,
    redis_commands: 1.0,
    ..Counters::NONE
};

/// Takes the samples of one stage.
pub(super) struct Sampler {
    watch: UsageMeter,
    servers: Option<ServerCounters>,
}

/// The connections to the two servers, and their counters at the last sample.
struct ServerCounters {
    mysql: Conn,
    redis: MultiplexedConnection,
    last: Counters,
}

impl Sampler {
    /// A sampler of these processes (name, id) and of this store. The reference has no store.
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

    /// Takes a sample each second for as long as it is polled, and calls `each`. The samples' seconds are Unix seconds.
    pub(super) async fn run(&mut self, samples: &mut Vec<Sample>, each: impl Fn()) -> Result<()> {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once. It only sets the start values.
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
