//! Three MariaDB servers that are one Galera cluster.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use futures::future::try_join_all;
use xtask::programs::find_program;
use xtask::setup::GALERA_LIBRARY;

use crate::mariadb::{MariaDb, MariaDbOptions, Purpose};
use crate::seat::Seat;
use crate::secret::{Secret, write_private};

/// The programs that send a joining node its data.
const TRANSFER: [&str; 2] = ["wsrep_sst_rsync", "rsync"];

/// How many commits a node keeps for nodes that come back: more than a test makes in its minutes.
const KEPT: &str = "32M";

/// The nodes, which all hold the same data. Dropping this kills them.
#[derive(Debug)]
pub struct Galera {
    nodes: Vec<MariaDb>,
    seats: [Seat; 3],
    /// The ports over which the nodes talk to one another.
    gossip: Vec<u16>,
}

/// How a node starts: alone, as the first of a cluster, or joining others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beginning {
    Alone,
    Joins,
}

impl Galera {
    /// The packages that have to be installed; mariadb-server is needed for its scripts.
    pub const NEEDED: &str = "Debian's packages mariadb-server, galera-4 and rsync";

    /// Whether [`Self::NEEDED`] is installed.
    pub fn is_installed() -> bool {
        let has = |program: &&str| find_program(program).is_some();
        Path::new(GALERA_LIBRARY).exists() && TRANSFER.iter().all(has)
    }

    /// Starts three nodes one after the other, with their files below `folder`.
    ///
    /// # Errors
    /// When Galera is not installed, or a node doesn't start or join.
    pub async fn start(folder: &Path, purpose: Purpose, seats: [Seat; 3]) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        // All nodes share one password: a joining node takes over the users of the others.
        let password = Secret::kept_in(&folder.join("password"))?;
        let nodes = (0..).zip(&seats).map(|(number, seat)| {
            let folder = folder.join(format!("node-{number}"));
            node(folder, purpose, seat.clone(), &password)
        });
        let nodes = try_join_all(nodes).await?;
        let gossip: Vec<u16> = (0..3).map(|_| free_port()).collect::<Result<_>>()?;
        let mut cluster = Self {
            nodes,
            seats,
            gossip,
        };
        for number in 0..3 {
            let beginning = match number {
                0 => Beginning::Alone,
                _ => Beginning::Joins,
            };
            let flags = cluster.flags(number, beginning)?;
            restart(&mut cluster.nodes[number], &flags).await?;
        }
        Ok(cluster)
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
    /// When the node had to be killed.
    pub async fn stop(&mut self, number: usize) -> Result<()> {
        self.nodes[number].stop().await
    }

    /// Starts these nodes at the same time, and restarts those that run; each joins the others.
    ///
    /// # Errors
    /// When a node doesn't start or join.
    pub async fn join(&mut self, numbers: &[usize]) -> Result<()> {
        let flags: Vec<Vec<String>> = (0..3)
            .map(|number| self.flags(number, Beginning::Joins))
            .collect::<Result<_>>()?;
        let nodes = self.nodes.iter_mut().zip(&flags).enumerate();
        let starts = nodes
            .filter(|(number, _)| numbers.contains(number))
            .map(|(_, (node, flags))| restart(node, flags));
        try_join_all(starts).await.map(drop)
    }

    fn flags(&self, number: usize, beginning: Beginning) -> Result<Vec<String>> {
        let seat = &self.seats[number];
        let others = (0..3).filter(|other| *other != number);
        let others: Vec<String> = others
            .map(|other| self.seats[other].port(self.gossip[other]).to_string())
            .collect();
        let address = seat.address();
        let gossip = seat.port(self.gossip[number]);
        let missed = seat.port(free_port()?);
        let state = seat.port(free_port()?);
        let mut flags = vec![
            format!("--wsrep-node-name=node-{number}"),
            "--wsrep-on=ON".to_owned(),
            format!("--wsrep-provider={GALERA_LIBRARY}"),
            format!("--wsrep-cluster-address=gcomm://{}", others.join(",")),
            "--wsrep-cluster-name=store".to_owned(),
            format!("--wsrep-node-address={address}"),
            // The others give a killed member up after one second, not five (docs/RUNBOOK.md).
            format!(
                "--wsrep-provider-options=gmcast.listen_addr=tcp://{gossip};ist.recv_addr={missed};\
                 evs.keepalive_period=PT0.3S;evs.inactive_check_period=PT0.3S;evs.join_retrans_period=PT0.3S;\
                 evs.suspect_timeout=PT1S;evs.inactive_timeout=PT5S;evs.install_timeout=PT5S;gcache.size={KEPT}"
            ),
            format!("--wsrep-sst-receive-address={state}"),
            "--binlog-format=ROW".to_owned(),
            "--innodb-autoinc-lock-mode=2".to_owned(),
        ];
        if beginning == Beginning::Alone {
            flags.push("--wsrep-new-cluster".to_owned());
        } else if number == 0 {
            // The donor is not the second node: hosts write to that node when the first is gone, and sending data would
            // keep it busy.
            flags.push("--wsrep-sst-donor=node-2,".to_owned());
        }
        Ok(flags)
    }
}

async fn node(folder: PathBuf, purpose: Purpose, seat: Seat, password: &Secret) -> Result<MariaDb> {
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let file = folder.join("password");
    write_private(&file, password.as_str())
        .with_context(|| format!("writing {}", file.display()))?;
    let log = folder.join("mariadb.log");
    let options = MariaDbOptions {
        seat,
        ..MariaDbOptions::new(folder, log, purpose)
    };
    MariaDb::start(options).await
}

async fn restart(node: &mut MariaDb, flags: &[String]) -> Result<()> {
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    node.restart_with(&flags).await
}

/// A port that is free for both TCP and UDP on this machine. Network namespaces have free ports of their own and are
/// not checked.
fn free_port() -> Result<u16> {
    loop {
        let port = crate::ports::free_port()?;
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
}
