//! MariaDB servers as nodes of a Galera cluster.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use mysql_async::prelude::Queryable;
use tokio::time::{Instant, sleep};
use xtask::programs::find_program;
use xtask::setup::GALERA_LIBRARY;

use crate::database_cluster::{Links, free_port, restart};
use crate::mariadb::MariaDb;

/// The packages that have to be installed; mariadb-server is needed for its scripts.
pub(crate) const NEEDED: &str = "Debian's packages mariadb-server, galera-4 and rsync";

/// The programs that send a joining node its data.
const TRANSFER: [&str; 2] = ["wsrep_sst_rsync", "rsync"];

/// How many commits a node keeps for nodes that come back: more than a test makes in its minutes.
const KEPT: &str = "32M";

/// What Galera writes if one of its threads ended before it had its priority, and then gives up: a race of its own, seen
/// once in many starts on a busy machine. Started again, the node joins.
const RACE: &str = "Failed to set thread schedparams";

/// The limit for a node that takes connections to be in step with the others.
const IN_STEP_LIMIT: Duration = Duration::from_secs(20);

/// The wait between two looks at a node.
const PAUSE: Duration = Duration::from_millis(100);

/// How a node starts: alone, as the first of a cluster, or joining others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beginning {
    Alone,
    Joins,
}

/// Whether [`NEEDED`] is installed.
pub(crate) fn is_installed() -> bool {
    let has = |program: &&str| find_program(program).is_some();
    Path::new(GALERA_LIBRARY).exists() && TRANSFER.iter().all(has)
}

/// Restarts the nodes one after the other as those of a new cluster.
///
/// # Errors
/// When a node doesn't start or join.
pub(crate) async fn form(nodes: &mut [MariaDb], links: &Links) -> Result<()> {
    for (number, node) in nodes.iter_mut().enumerate() {
        let beginning = match number {
            0 => Beginning::Alone,
            _ => Beginning::Joins,
        };
        start(node, flags(links, number, beginning)?).await?;
    }
    Ok(())
}

/// Starts a node, and once more if Galera has given it up.
async fn start(node: &mut MariaDb, flags: Vec<String>) -> Result<()> {
    match restart(node, flags.clone()).await {
        Ok(()) if !was_given_up(node).await => Ok(()),
        Err(error) if !format!("{error:#}").contains(RACE) => Err(error),
        _ => restart(node, flags).await,
    }
}

/// Waits until a node is in step with the others, and returns whether Galera has disconnected it instead: "node restart
/// required", says its log then. That was seen once, when two nodes joined at the same time on a busy machine, and the
/// server goes on running without its cluster.
async fn was_given_up(node: &MariaDb) -> bool {
    let began = Instant::now();
    while began.elapsed() < IN_STEP_LIMIT {
        // A node that is not in step yet may refuse to answer.
        let status = status(node).await.unwrap_or_default();
        let has = |name, value| status.iter().any(|(n, v)| n == name && v == value);
        if has("wsrep_connected", "OFF") {
            return true;
        }
        if has("wsrep_local_state_comment", "Synced") {
            return false;
        }
        sleep(PAUSE).await;
    }
    false
}

async fn status(node: &MariaDb) -> Result<Vec<(String, String)>> {
    let query =
        "SHOW STATUS WHERE Variable_name IN ('wsrep_connected', 'wsrep_local_state_comment')";
    Ok(node.connect().await?.query(query).await?)
}

/// Starts these nodes at the same time; each joins the others.
///
/// # Errors
/// When a node doesn't start or join.
pub(crate) async fn join(nodes: &mut [MariaDb], links: &Links, numbers: &[usize]) -> Result<()> {
    let mut starts = Vec::new();
    for (number, node) in nodes.iter_mut().enumerate() {
        if numbers.contains(&number) {
            starts.push(start(node, flags(links, number, Beginning::Joins)?));
        }
    }
    try_join_all(starts).await.map(drop)
}

fn flags(links: &Links, number: usize, beginning: Beginning) -> Result<Vec<String>> {
    let seat = &links.seats[number];
    let (address, gossip) = (seat.address(), links.gossip(number));
    let missed = seat.port(free_port()?);
    let state = seat.port(free_port()?);
    let mut flags = vec![
        format!("--wsrep-node-name=node-{number}"),
        "--wsrep-on=ON".to_owned(),
        format!("--wsrep-provider={GALERA_LIBRARY}"),
        format!("--wsrep-cluster-address=gcomm://{}", links.others(number)),
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
