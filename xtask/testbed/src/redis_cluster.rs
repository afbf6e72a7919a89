//! Six Redis servers that form one Redis Cluster: three primaries, each with a third of the slots and one replica.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue};

use crate::addresses::connect_redis;
use crate::polling::poll_until;
use crate::ports::{again_if_port_taken, free_port};
use crate::redis_server::{RedisOptions, RedisServer};
use crate::redis_tls::TlsFiles;

const PRIMARIES: usize = 3;
const SLOTS: usize = 16_384;

/// How long the nodes may take to find one another.
const MEET_LIMIT: Duration = Duration::from_secs(30);

/// How long a node may be silent before the others take it for dead, in milliseconds: longer than a busy machine lets a
/// node pause. While the nodes find one another, it is the one second of [`RedisOptions::cluster_port`], because they
/// tell what they know of one another the more often the shorter it is.
const SILENCE_MS: &str = "4000";

/// A running cluster. Dropping it kills its nodes.
#[derive(Debug)]
pub struct RedisCluster {
    /// First the three nodes that start as primaries, then their replicas in the same order. A killed node stays down.
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts the nodes, with folders and logs in `folder`, and waits until all slots are served and all replicas are
    /// in sync.
    ///
    /// # Errors
    /// When Redis is not installed, or the nodes don't become a cluster in time.
    pub async fn start(folder: &Path) -> Result<Self> {
        Self::start_all(folder, None).await
    }

    /// As [`RedisCluster::start`], but the nodes speak TLS to one another, and to clients on a second port each.
    ///
    /// # Errors
    /// As [`RedisCluster::start`], or when the nodes refuse a file.
    pub async fn start_with_tls(folder: &Path, files: &TlsFiles) -> Result<Self> {
        Self::start_all(folder, Some(files)).await
    }

    async fn start_all(folder: &Path, files: Option<&TlsFiles>) -> Result<Self> {
        let mut nodes = Vec::new();
        let mut bus_ports = Vec::new();
        for number in 0..2 * PRIMARIES {
            let (node, bus_port) =
                again_if_port_taken(|| start_node(folder, number, files)).await?;
            nodes.push(node);
            bus_ports.push(bus_port);
        }
        let cluster = Self { nodes };
        cluster.share_out_slots().await?;
        cluster.meet(&bus_ports).await?;
        cluster.bear_silence().await?;
        cluster.replicate().await?;
        Ok(cluster)
    }

    /// The addresses of all nodes, in the form of `--redis-cluster`.
    pub fn addresses(&self) -> String {
        let addresses: Vec<_> = self.nodes.iter().map(RedisServer::address).collect();
        addresses.join(",")
    }

    /// The addresses of all nodes that speak TLS, in the form of `--redis-cluster`.
    pub fn tls_addresses(&self) -> String {
        let ports = self.nodes.iter().filter_map(RedisServer::tls_port);
        let addresses: Vec<_> = ports.map(|port| format!("127.0.0.1:{port}")).collect();
        addresses.join(",")
    }

    /// Opens a connection to one node.
    ///
    /// # Errors
    /// When the node is down.
    pub async fn connect(&self, node: usize) -> Result<MultiplexedConnection> {
        let connection = connect_redis(&self.nodes[node].url()).await;
        connection.with_context(|| format!("connecting to node {node} of the Redis Cluster"))
    }

    /// The answer of one node to a command.
    ///
    /// # Errors
    /// When the node is down or refuses.
    pub async fn ask<T: FromRedisValue>(&self, node: usize, words: &[&str]) -> Result<T> {
        let mut connection = self.connect(node).await?;
        let answer = command(words).query_async(&mut connection).await;
        answer.with_context(|| format!("asking node {node} for {}", words.join(" ")))
    }

    /// The node that serves `key`, if there is one: the primary of the key's slot.
    pub async fn holder(&self, key: &str) -> Option<usize> {
        for node in 0..self.nodes.len() {
            if self.ask::<u8>(node, &["EXISTS", key]).await.is_ok() {
                return Some(node);
            }
        }
        None
    }

    /// The other node of the same slots: the replica of a primary, and the primary of a replica.
    pub fn partner(&self, node: usize) -> usize {
        (node + PRIMARIES) % self.nodes.len()
    }

    async fn share_out_slots(&self) -> Result<()> {
        for node in 0..PRIMARIES {
            let mut add = redis::cmd("CLUSTER");
            let slots = SLOTS * node / PRIMARIES..SLOTS * (node + 1) / PRIMARIES;
            add.arg("ADDSLOTS").arg(slots.collect::<Vec<_>>());
            let added = add.exec_async(&mut self.connect(node).await?).await;
            added.context("sharing out the slots")?;
            let epoch = (node + 1).to_string();
            let words = ["CLUSTER", "SET-CONFIG-EPOCH", &epoch];
            self.ask::<()>(node, &words).await?;
        }
        Ok(())
    }

    async fn meet(&self, bus_ports: &[u16]) -> Result<()> {
        for (node, bus_port) in self.nodes.iter().zip(bus_ports).skip(1) {
            let port = node.tls_port().unwrap_or(node.port()).to_string();
            let bus_port = bus_port.to_string();
            let words = ["CLUSTER", "MEET", "127.0.0.1", &port, &bus_port];
            self.ask::<()>(0, &words).await?;
        }
        let known = format!("cluster_known_nodes:{}", self.nodes.len());
        self.wait_for("the nodes' acquaintance", &["CLUSTER", "INFO"], &known)
            .await
    }

    async fn bear_silence(&self) -> Result<()> {
        for node in 0..self.nodes.len() {
            let words = ["CONFIG", "SET", "cluster-node-timeout", SILENCE_MS];
            self.ask::<()>(node, &words).await?;
        }
        Ok(())
    }

    async fn replicate(&self) -> Result<()> {
        for node in 0..PRIMARIES {
            let id: String = self.ask(node, &["CLUSTER", "MYID"]).await?;
            let words = ["CLUSTER", "REPLICATE", &id];
            // The node refuses this until it knows the other node's id.
            poll_until(MEET_LIMIT, "the nodes' names", async || {
                Ok(self.ask::<()>(node + PRIMARIES, &words).await.ok())
            })
            .await?;
        }
        self.wait_for("the cluster", &["CLUSTER", "INFO"], "cluster_state:ok")
            .await?;
        for (node, says) in [
            (0, "connected_slaves:1"),
            (PRIMARIES, "master_link_status:up"),
        ] {
            for node in node..node + PRIMARIES {
                poll_until(MEET_LIMIT, "the replicas", async || {
                    let info: String = self.ask(node, &["INFO", "replication"]).await?;
                    Ok(info.contains(says).then_some(()))
                })
                .await?;
            }
        }
        Ok(())
    }

    /// Waits until every node's answer contains `part`.
    async fn wait_for(&self, what: &str, words: &[&str], part: &str) -> Result<()> {
        for node in 0..self.nodes.len() {
            poll_until(MEET_LIMIT, what, async || {
                let answer: String = self.ask(node, words).await?;
                Ok(answer.contains(part).then_some(()))
            })
            .await?;
        }
        Ok(())
    }
}

async fn start_node(
    folder: &Path,
    number: usize,
    files: Option<&TlsFiles>,
) -> Result<(RedisServer, u16)> {
    let bus_port = free_port()?;
    let name = format!("redis-{number}");
    let log = folder.join(format!("{name}.log"));
    let options = RedisOptions {
        cluster_port: Some(bus_port),
        tls: files.cloned(),
        ..RedisOptions::new(folder.join(&name), log)
    };
    Ok((RedisServer::start(options).await?, bus_port))
}

fn command(words: &[&str]) -> Cmd {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command
}
