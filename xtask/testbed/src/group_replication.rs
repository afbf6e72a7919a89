//! MySQL servers as members of a group, in single-primary mode: one of them is the primary, which takes writes, and the
//! group chooses the next when it dies.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use mysql_async::prelude::Queryable;
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::database_cluster::Links;
use crate::mariadb::MariaDb;
use crate::polling::poll_until;
use crate::process::Process;
use crate::secret::Secret;
use crate::server_settings::USER;

/// The file of the plugin, which is in the folder of the server's plugins.
pub(crate) const PLUGIN: &str = "group_replication.so";

/// How long a member may take until it is in the group and has caught up. It may first have to wait until the others
/// give up its earlier process, which takes them about six seconds; an attempt that comes too early is sometimes not
/// refused, but ends in vain after a minute.
const JOIN_LIMIT: Duration = Duration::from_secs(180);

/// How long a statement may take that starts or stops Group Replication. A server that takes longer hangs.
const STATEMENT_LIMIT: Duration = Duration::from_secs(60);

/// Lets a member join its group.
const START: &str = "START GROUP_REPLICATION";

/// Lets a member leave its group.
const STOP: &str = "STOP GROUP_REPLICATION";

/// How a member sees itself.
const STATE: &str = "SELECT MEMBER_STATE FROM performance_schema.replication_group_members \
    WHERE MEMBER_ID = @@server_uuid";

/// The transactions that a member has, committed or only received.
const TRANSACTIONS: &str = "SELECT CONCAT_WS(',', @@GLOBAL.gtid_executed, (SELECT RECEIVED_TRANSACTION_SET \
    FROM performance_schema.replication_connection_status WHERE CHANNEL_NAME = 'group_replication_applier'))";

/// Whether this `mysqld` has the plugin.
pub(crate) fn is_plugin_of(mysqld: &Path) -> bool {
    let mut help = Command::new(mysqld);
    help.args(["--no-defaults", "--verbose", "--help"]);
    let text = help.output().map(|output| output.stdout);
    let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
    let folder = text.lines().find_map(|line| {
        let (name, value) = line.split_once(char::is_whitespace)?;
        (name == "plugin-dir").then(|| value.trim())
    });
    folder.is_some_and(|folder| Path::new(folder).join(PLUGIN).exists())
}

/// The flags of a member. It starts outside of the group.
pub(crate) fn flags(links: &Links, number: usize) -> Vec<String> {
    let seats = &links.seats;
    let (address, gossip) = (seats[number].address(), links.gossip(number));
    let allowed: Vec<String> = seats
        .iter()
        .map(|seat| seat.address().to_string())
        .collect();
    vec![
        format!("--server-id={}", number + 1),
        "--log-bin=binlog".to_owned(),
        "--gtid-mode=ON".to_owned(),
        "--enforce-gtid-consistency=ON".to_owned(),
        // Where the others fetch what they have missed.
        format!("--report-host={address}"),
        format!("--plugin-load-add={PLUGIN}"),
        // A name of each group's own, in the form of a UUID.
        format!(
            "--group-replication-group-name=00000000-0000-4000-8000-{:012}",
            links.gossip(0).port()
        ),
        format!("--group-replication-local-address={gossip}"),
        format!("--group-replication-group-seeds={}", links.others(number)),
        // By default, only private addresses are let in.
        format!("--group-replication-ip-allowlist={}", allowed.join(",")),
        "--group-replication-start-on-boot=OFF".to_owned(),
        // The others expel a member as soon as they suspect it, which they do after five seconds of silence. These
        // can't be shortened.
        "--group-replication-member-expel-timeout=0".to_owned(),
        // Before a new primary reads or writes, it applies all that the old one had committed (docs/RUNBOOK.md).
        "--group-replication-consistency=BEFORE_ON_PRIMARY_FAILOVER".to_owned(),
        // Passwords are sent without TLS, for which the server wants them encrypted.
        "--group-replication-recovery-get-public-key=ON".to_owned(),
    ]
}

/// Tells the members, which have just been made, as whom they fetch from one another what they have missed.
///
/// # Errors
/// When a member refuses.
pub(crate) async fn prepare(nodes: &[MariaDb], password: &Secret) -> Result<()> {
    let statement = format!(
        "CHANGE REPLICATION SOURCE TO SOURCE_USER = '{USER}', SOURCE_PASSWORD = '{}' \
         FOR CHANNEL 'group_replication_recovery'",
        password.as_str()
    );
    for node in nodes {
        let done = node.connect().await?.query_drop(statement.as_str()).await;
        done.context("setting the user of Group Replication")?;
    }
    Ok(())
}

/// Begins a new group with this member as the primary, and lets all others join.
///
/// # Errors
/// When a member refuses, or does not join within a time limit.
pub(crate) async fn bootstrap(nodes: &[MariaDb], first: usize) -> Result<()> {
    for statement in [
        "SET GLOBAL group_replication_bootstrap_group = ON",
        START,
        "SET GLOBAL group_replication_bootstrap_group = OFF",
    ] {
        run(&nodes[first], statement).await?;
    }
    // The first has nothing left to do but to become the primary.
    let mut order = vec![first];
    order.extend((0..nodes.len()).filter(|number| *number != first));
    join(nodes, &order).await
}

/// Lets these members join the group, one after the other, and waits until each has caught up.
///
/// # Errors
/// When a member does not join within a time limit.
pub(crate) async fn join(nodes: &[MariaDb], numbers: &[usize]) -> Result<()> {
    for number in numbers {
        let node = &nodes[*number];
        let what = format!("MySQL at {} joins its group", node.address());
        let refusal = Mutex::new("none".to_owned());
        let joined = poll_until(JOIN_LIMIT, &what, || try_to_join(node, &refusal)).await;
        joined.with_context(|| {
            let log = node.process().map(Process::log_tail);
            let (refusal, log) = (refusal.lock(), log.unwrap_or_default());
            format!("its last refusal: {refusal}; its log ends with:{log}")
        })?;
    }
    Ok(())
}

/// Asks a member to join if it is outside of the group. Returns a value once it is in the group and has caught up.
/// Writes why the member refuses to `refusal`.
async fn try_to_join(node: &MariaDb, refusal: &Mutex<String>) -> Result<Option<()>> {
    let mut conn = node.connect().await?;
    let state: Option<String> = conn.query_first(STATE).await.context("asking its state")?;
    let statements: &[&str] = match state.as_deref() {
        Some("ONLINE") => return Ok(Some(())),
        Some("RECOVERING") => &[],
        // It can't be started while it runs, and does so in this state too.
        Some("ERROR") => &[STOP, START],
        _ => &[START],
    };
    for statement in statements {
        // This may be refused while the others still take it for its earlier process.
        if let Err(error) = run(node, statement).await {
            *refusal.lock() = format!("{error:#}");
        }
    }
    Ok(None)
}

/// Runs a statement at a member. Fails if the member refuses, or does not answer within a time limit.
async fn run(node: &MariaDb, statement: &str) -> Result<()> {
    let what = || format!("{statement}, at {}", node.address());
    let mut conn = node.connect().await?;
    let done = timeout(STATEMENT_LIMIT, conn.query_drop(statement)).await;
    done.with_context(what)?.with_context(what)
}

/// Lets a member leave its group, before it is shut down. Otherwise a commit that is on its way holds the shutdown up for
/// about a minute.
///
/// # Errors
/// When the member does not answer, or refuses.
pub(crate) async fn leave(node: &MariaDb) -> Result<()> {
    run(node, STOP).await
}

/// The member that has all transactions of the others. None of them is in a group.
///
/// # Errors
/// When none has all, or one does not answer.
pub(crate) async fn most_advanced(nodes: &[MariaDb]) -> Result<usize> {
    let mut sets = Vec::new();
    for node in nodes {
        let set = node.connect().await?.query_first(TRANSACTIONS).await;
        let set: Option<String> = set.context("asking for the transactions of a member")?;
        sets.push(set.unwrap_or_default());
    }
    let mut conn = nodes[0].connect().await?;
    for (number, most) in sets.iter().enumerate() {
        let mut has_all = true;
        for set in &sets {
            let is_part = conn
                .exec_first("SELECT GTID_SUBSET(?, ?)", (set.as_str(), most.as_str()))
                .await;
            let is_part: Option<bool> = is_part.context("comparing transactions")?;
            has_all &= is_part == Some(true);
        }
        if has_all {
            return Ok(number);
        }
    }
    anyhow::bail!("no member has all transactions of the others: {sets:?}")
}
