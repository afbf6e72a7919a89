//! Settings of Redis Sentinel, which knows the primary Redis server.

use std::path::PathBuf;

use clap::Args;

use super::HostPort;

/// The Sentinels, and how they are asked.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Redis Sentinel")]
pub struct SentinelSettings {
    /// Sentinels as host:port, divided by commas. The host in each redis:// address is then the name of a primary that they
    /// watch, as in `sentinel monitor NAME …`, and its port is ignored
    #[arg(
        id = "redis-sentinel",
        long,
        value_name = "ADDRESSES",
        value_delimiter = ','
    )]
    pub addresses: Vec<HostPort>,

    /// User of the Sentinels themselves, if they have any
    #[arg(id = "redis-sentinel-user", long, value_name = "NAME")]
    pub user: Option<String>,

    /// File with the password of the Sentinels themselves
    #[arg(id = "redis-sentinel-password-file", long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}
