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

/// What sends a joining node its data.
const TRANSFER: [&str; 2] = ["wsrep_sst_rsync", "rsync"];

/// How many commits a node keeps for those that come back: more than are made in the minutes of a test.
const KEPT: &str = "32M";

/// The nodes, all of which hold the same data. Dropping it kills them.
#[derive(Debug)]
pub struct Galera {
    nodes: Vec<MariaDb>,
    seats: [Seat; 3],
    /// The ports on which they speak to one another.
    gossip: Vec<u16>,
}

/// Whether a node is the first of a cluster.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beginning {
    Alone,
    Joins,
}

impl Galera {
    /// What has to be installed; the first for its scripts.
    pub const NEEDED: &str = "Debian's packages mariadb-server, galera-4 and rsync";

    /// Whether that is installed.
    pub fn is_installed() -> bool {
        let has = |program: &&str| find_program(program).is_some();
        Path::new(GALERA_LIBRARY).exists() && TRANSFER.iter().all(has)
    }

    /// Starts three nodes with their files below `folder`, one after the other.
    ///
    /// # Errors
    /// When it is not installed, or a node doesn't start or join.
    pub async fn start(folder: &Path, purpose: Purpose, seats: [Seat; 3]) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        // Who joins gets the others' users.
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

    /// Their addresses, as `--mysql-members` has them.
    pub fn members(&self) -> String {
        let addresses = self.nodes.iter().map(MariaDb::address);
        addresses.collect::<Vec<_>>().join(",")
    }

    /// Kills a node, as a crash would.
    pub fn kill(&mut self, number: usize) {
        self.nodes[number].kill();
    }

    /// Stops a node in good order.
    ///
    /// # Errors
    /// When it had to be killed.
    pub async fn stop(&mut self, number: usize) -> Result<()> {
        self.nodes[number].stop().await
    }

    /// Starts these nodes at the same time, again if they run; each joins the others.
    ///
    /// # Errors
    /// When one doesn't start or join.
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
            // A member that was killed is given up after a second, not five (docs/RUNBOOK.md).
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
            // Not from the second, which hosts write to when the first is gone, and which would be busy with it.
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

/// A port that is free for TCP and UDP. A namespace, which has free ones of its own, is not asked.
fn free_port() -> Result<u16> {
    loop {
        let port = crate::ports::free_port()?;
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
}
