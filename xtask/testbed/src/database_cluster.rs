//! Three database servers with the same data: MariaDB with Galera, or MySQL with Group Replication.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use futures::future::try_join_all;

use crate::mariadb::{MariaDb, MariaDbOptions, Purpose};
use crate::seat::Seat;
use crate::secret::{Secret, write_private};
use crate::store::chosen_program;
use crate::{galera, group_replication};

/// How many nodes a cluster has.
const SIZE: usize = 3;

/// How many nodes have to be there for the cluster to take writes.
const MAJORITY: usize = 2;

/// How the nodes replicate one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replication {
    /// MariaDB with Galera.
    Galera,
    /// MySQL with Group Replication in single-primary mode, as this `mysqld`.
    GroupReplication(PathBuf),
}

impl Replication {
    /// Galera, if all that it needs is installed.
    ///
    /// # Errors
    /// Says what is missing, in one line.
    pub fn galera() -> Result<Self, String> {
        match galera::is_installed() {
            true => Ok(Self::Galera),
            false => Err(format!("it needs {}", galera::NEEDED)),
        }
    }

    /// Group Replication on this `mysqld`, if it has the plugin.
    ///
    /// # Errors
    /// Says in one line that it has not.
    pub fn group_replication(mysqld: PathBuf) -> Result<Self, String> {
        match group_replication::is_plugin_of(&mysqld) {
            true => Ok(Self::GroupReplication(mysqld)),
            false => Err(format!(
                "{} has no {} among its plugins",
                mysqld.display(),
                group_replication::PLUGIN
            )),
        }
    }

    /// Group Replication on the MySQL that tests are told to use.
    ///
    /// # Errors
    /// Says in one line that they are told to use none, or one without the plugin.
    pub fn of_test_mysql() -> Result<Self, String> {
        match chosen_program() {
            Ok(Some(mysqld)) => Self::group_replication(mysqld),
            Ok(None) => Err(format!(
                "{} names no mysqld; run `cargo xtask test --mysql PATH`",
                xtask::mysql::VARIABLE
            )),
            Err(error) => Err(format!("{error:#}")),
        }
    }

    /// The name of the servers' program, as people know it.
    pub fn server_name(&self) -> &'static str {
        match self {
            Self::Galera => "MariaDB",
            Self::GroupReplication(_) => "MySQL",
        }
    }

    /// A statement after which a session reads everything that was committed on any node before.
    pub fn wait_for_other_nodes(&self) -> &'static str {
        match self {
            Self::Galera => "SET SESSION wsrep_sync_wait = 1",
            Self::GroupReplication(_) => "SET SESSION group_replication_consistency = 'BEFORE'",
        }
    }

    /// A query of names and values, and the values that a node shows which is in step with both others, in the order of
    /// their names.
    pub fn health(&self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Galera => (
                "SHOW STATUS WHERE Variable_name IN \
                 ('wsrep_cluster_size', 'wsrep_cluster_status', 'wsrep_local_state_comment')",
                &["3", "Primary", "Synced"],
            ),
            Self::GroupReplication(_) => (
                "SELECT 'members_online', CAST(COUNT(*) AS CHAR) \
                 FROM performance_schema.replication_group_members WHERE MEMBER_STATE = 'ONLINE'",
                &["3"],
            ),
        }
    }

    /// How many nodes take writes while all are well.
    pub fn nodes_for_writes(&self) -> usize {
        match self {
            Self::Galera => SIZE,
            Self::GroupReplication(_) => 1,
        }
    }

    /// What an operator has to do if two of three nodes died; `None` if they come back by themselves.
    pub fn operator_steps(&self) -> Option<&'static str> {
        match self {
            Self::Galera => None,
            Self::GroupReplication(_) => Some(
                "When two of three members of Group Replication died, an operator has to act, and this program did so: \
                 it killed the third, started all three, and had the member with the most transactions begin the group \
                 anew.",
            ),
        }
    }

    fn mysqld(&self) -> Option<PathBuf> {
        match self {
            Self::Galera => None,
            Self::GroupReplication(mysqld) => Some(mysqld.clone()),
        }
    }
}

/// The nodes, which all hold the same data. Dropping this kills them.
#[derive(Debug)]
pub struct DatabaseCluster {
    replication: Replication,
    nodes: Vec<MariaDb>,
    links: Links,
}

impl DatabaseCluster {
    /// Starts three nodes with their files below `folder`. The first may be written to.
    ///
    /// # Errors
    /// When something is not installed, or a node doesn't start or join.
    pub async fn start(
        replication: Replication,
        folder: &Path,
        purpose: Purpose,
        seats: [Seat; SIZE],
    ) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        // All nodes share one password: a joining node of Galera takes over the users of the others.
        let password = Secret::kept_in(&folder.join("password"))?;
        let nodes = (0..).zip(&seats).map(|(number, seat)| {
            let folder = folder.join(format!("node-{number}"));
            let options = MariaDbOptions {
                seat: seat.clone(),
                mysqld: replication.mysqld(),
                ..MariaDbOptions::new(&folder, folder.join("database.log"), purpose)
            };
            node(options, &password)
        });
        let mut cluster = Self {
            nodes: try_join_all(nodes).await?,
            links: Links::new(seats)?,
            replication,
        };
        match cluster.replication {
            Replication::Galera => galera::form(&mut cluster.nodes, &cluster.links).await?,
            Replication::GroupReplication(_) => {
                cluster.start_mysql(&[0, 1, 2]).await?;
                group_replication::prepare(&cluster.nodes, &password).await?;
                group_replication::bootstrap(&cluster.nodes, 0).await?;
            }
        }
        Ok(cluster)
    }

    /// How the nodes replicate one another.
    pub fn replication(&self) -> &Replication {
        &self.replication
    }

    /// The nodes.
    pub fn nodes(&self) -> &[MariaDb] {
        &self.nodes
    }

    /// The addresses of the nodes, in the form of `--mysql-members`.
    pub fn members(&self) -> String {
        let addresses = self.nodes.iter().map(MariaDb::address);
        addresses.collect::<Vec<_>>().join(",")
    }

    /// Kills a node. This simulates a crash.
    pub fn kill(&mut self, number: usize) {
        self.nodes[number].kill();
    }

    /// Shuts a node down cleanly.
    ///
    /// # Errors
    /// When the node does not leave its group, or had to be killed.
    pub async fn stop(&mut self, number: usize) -> Result<()> {
        let node = &mut self.nodes[number];
        if self.replication != Replication::Galera {
            group_replication::leave(node).await?;
        }
        node.stop().await
    }

    /// Starts these nodes, which are down, at the same time; each joins the others. If the others are too few to take
    /// writes and don't recover by themselves, does what an operator has to do.
    ///
    /// # Errors
    /// When a node doesn't start or join.
    pub async fn join(&mut self, numbers: &[usize]) -> Result<()> {
        if self.replication == Replication::Galera {
            return galera::join(&mut self.nodes, &self.links, numbers).await;
        }
        let running = self.nodes.iter().filter(|node| node.process().is_some());
        if running.count() >= MAJORITY {
            self.start_mysql(numbers).await?;
            return group_replication::join(&self.nodes, numbers).await;
        }
        // It can't be stopped cleanly: without a majority, it waits for minutes.
        self.nodes.iter_mut().for_each(MariaDb::kill);
        self.start_mysql(&[0, 1, 2]).await?;
        let latest = group_replication::most_advanced(&self.nodes).await?;
        group_replication::bootstrap(&self.nodes, latest).await
    }

    /// Starts MySQL on these nodes, or restarts it with the flags of a member, outside of the group.
    async fn start_mysql(&mut self, numbers: &[usize]) -> Result<()> {
        let links = &self.links;
        let starts = self.nodes.iter_mut().enumerate();
        let starts = starts
            .filter(|(number, _)| numbers.contains(number))
            .map(|(number, node)| restart(node, group_replication::flags(links, number)));
        try_join_all(starts).await.map(drop)
    }
}

/// The network locations of the nodes, and the ports over which they talk to one another.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) seats: [Seat; SIZE],
    gossip: [u16; SIZE],
}

impl Links {
    fn new(seats: [Seat; SIZE]) -> Result<Self> {
        let gossip = [free_port()?, free_port()?, free_port()?];
        Ok(Self { seats, gossip })
    }

    /// The address at which a node listens to the others.
    pub(crate) fn gossip(&self, number: usize) -> SocketAddr {
        self.seats[number].port(self.gossip[number])
    }

    /// The addresses at which the others of a node listen, separated by commas.
    pub(crate) fn others(&self, number: usize) -> String {
        let others = (0..SIZE).filter(|other| *other != number);
        let others = others.map(|other| self.gossip(other).to_string());
        others.collect::<Vec<_>>().join(",")
    }
}

/// Starts one server alone.
async fn node(options: MariaDbOptions, password: &Secret) -> Result<MariaDb> {
    let folder = &options.folder;
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let file = folder.join("password");
    write_private(&file, password.as_str())
        .with_context(|| format!("writing {}", file.display()))?;
    MariaDb::start(options).await
}

pub(crate) async fn restart(node: &mut MariaDb, flags: Vec<String>) -> Result<()> {
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    node.restart_with(&flags).await
}

/// A port that is free for both TCP and UDP on this machine. Network namespaces have free ports of their own and are
/// not checked.
pub(crate) fn free_port() -> Result<u16> {
    loop {
        let port = crate::ports::free_port()?;
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_the_plugin_is_refused_by_its_name() {
        let refused = Replication::group_replication(PathBuf::from("/bin/true"));
        let reason = refused.expect_err("it is no mysqld");
        assert_eq!(
            reason,
            "/bin/true has no group_replication.so among its plugins"
        );
    }
}
