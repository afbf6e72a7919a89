//! Settings of Redis Cluster: the nodes that say where the keys are.

use clap::Args;

use super::HostPort;

/// Some nodes of a Redis Cluster.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Redis Cluster")]
pub struct ClusterSettings {
    /// Nodes of a Redis Cluster as host:port, divided by commas; they say where the others are. Each redis:// address then
    /// stands for the whole cluster: its user, password and TLS count for all nodes, its host and port for none
    #[arg(
        id = "redis-cluster",
        long,
        value_name = "ADDRESSES",
        value_delimiter = ',',
        conflicts_with = "redis-sentinel"
    )]
    pub nodes: Vec<HostPort>,
}
