//! MySQL and Redis, with the settings that the host uses.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mysql_async::{OptsBuilder, Pool, PoolConstraints, PoolOpts};
use parking_lot::Mutex;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, IntoConnectionInfo, ProtocolVersion, PushInfo};
use store_domain::freshness::ReportDate;

use crate::groups::Groups;
use crate::near::NearCache;

/// `--mysql-pool-size`
const CONNECTIONS: usize = 16;

/// As the host keeps them on each connection.
const STATEMENTS_KEPT: usize = 128;

/// `--redis-connect-timeout` and `--redis-response-timeout`
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What every request shares.
#[derive(Clone)]
pub(crate) struct Pools {
    pub(crate) mysql: Pool,
    pub(crate) redis: ConnectionManager,
    /// Orders that wait for each other, if they do.
    pub(crate) groups: Option<Arc<Groups>>,
    /// The reports that the host keeps in memory too.
    pub(crate) near: Arc<NearCache>,
    /// As the component does.
    pub(crate) dated: Arc<Mutex<[Option<ReportDate>; 2]>>,
}

impl Pools {
    /// Connects when first asked.
    pub(crate) fn new(mysql_url: &str, redis_url: &str, grouped: bool) -> Result<Self> {
        let opts = mysql_async::Opts::from_url(mysql_url).context("reading --mysql-url")?;
        // Fewer than the first number of idle connections are never closed.
        let constraints = PoolConstraints::new(CONNECTIONS, CONNECTIONS);
        let constraints = constraints.context("a pool has at least one connection")?;
        let opts = OptsBuilder::from_opts(opts)
            .stmt_cache_size(STATEMENTS_KEPT)
            .tcp_nodelay(true)
            .prefer_socket(false)
            .pool_opts(
                PoolOpts::new()
                    .with_constraints(constraints)
                    // Costs a round trip and the prepared statements; `orders` leaves its connections clean.
                    .with_reset_connection(false),
            );
        let near = Arc::<NearCache>::default();
        let listener = near.clone();
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_number_of_retries(0)
            .set_push_sender(move |push: PushInfo| {
                listener.heard(&push);
                Ok::<_, Infallible>(())
            });
        let info = redis_url
            .into_connection_info()
            .context("reading --redis-url")?;
        let redis = info.redis_settings().clone();
        let info = info.set_redis_settings(redis.set_protocol(ProtocolVersion::RESP3));
        let client = Client::open(info).context("reading --redis-url")?;
        Ok(Self {
            groups: grouped.then(Arc::default),
            near,
            dated: Arc::default(),
            mysql: Pool::new(opts),
            redis: ConnectionManager::new_lazy_with_config(client, config)
                .context("preparing Redis")?,
        })
    }
}
