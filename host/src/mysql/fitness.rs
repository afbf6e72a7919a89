//! What a server says of itself, and whether it takes writes by that.

use std::collections::HashMap;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use tokio::time::sleep;

/// The variables that say whether the server is read-only for users who are no administrators, whether it belongs to a
/// Galera cluster (MySQL has no such variable), and whether it belongs to a Group Replication (MariaDB has no such
/// variable). `super_read_only` is not asked for, because MySQL turns on `read_only` with it.
const VARIABLES: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
    ('read_only', 'wsrep_on', 'group_replication_group_name')";

/// Whether a member of a Galera cluster has the quorum and is in step with the cluster, and how many received changes
/// wait until it begins to apply them
/// (<https://galeracluster.com/library/documentation/monitoring-cluster.html>).
const GALERA: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN \
    ('wsrep_ready', 'wsrep_local_state', 'wsrep_local_recv_queue')";

/// How a member of Group Replication sees itself and the others. A member that has lost most others still shows its own
/// state as before, so the lost ones are counted.
const GROUP_REPLICATION: &str = "\
    SELECT 'member_state', MEMBER_STATE FROM performance_schema.replication_group_members \
    WHERE MEMBER_ID = @@server_uuid \
    UNION ALL \
    SELECT 'members_lost', IF(SUM(MEMBER_STATE = 'UNREACHABLE') * 2 >= COUNT(*), 'most', 'few') \
    FROM performance_schema.replication_group_members";

/// The name under which a member of Group Replication tells how many changes it has received and not applied yet.
const BACKLOG: &str = "group_backlog";

/// The query for [`BACKLOG`]
/// (<https://dev.mysql.com/doc/refman/9.7/en/performance-schema-replication-group-member-stats-table.html>).
const GROUP_BACKLOG: &str = "\
    SELECT 'group_backlog', CAST(COUNT_TRANSACTIONS_IN_QUEUE + COUNT_TRANSACTIONS_REMOTE_IN_APPLIER_QUEUE AS CHAR) \
    FROM performance_schema.replication_group_member_stats WHERE MEMBER_ID = @@server_uuid";

/// With how many changes of its backlog a member of Group Replication is in step. A group holds its primary back only
/// when far more wait (`group_replication_flow_control_applier_threshold`).
const MOST_IN_STEP: u64 = 100;

/// What counts as the state of a member, or as its backlog, that the user may not see. MySQL has no such state.
const HIDDEN: &str = "hidden";

/// What counts as the backlog of a member that can't tell it, for example because its MySQL is too old.
const UNTOLD: &str = "untold";

/// Said of a member of a group whose state is hidden from the user. `read_only` alone is not enough: a primary that has
/// lost most others, and a server that was started again and is not back in its group, both show it as `OFF`.
const STATE_HIDDEN: &str = "the user may not read `performance_schema.replication_group_members`, which shows the \
    state of its group; grant SELECT on it";

/// Said of a member that is not in its group: of one that joins or has left, and of one that shows no state of itself,
/// as before it joined for the first time.
const NOT_ONLINE: &str = "it is not online in its group";

/// The error code for a table that the user may not read.
const TABLE_DENIED: u16 = 1142;

/// Said of a member of a Galera cluster that takes no writes.
const NO_QUORUM: &str =
    "its cluster has no quorum, or it is not in step with it: start the members that are missing";

/// Said of a member of Group Replication that can't get a commit confirmed.
const MOST_LOST: &str = "its group has lost most of its members: start them, and see Group Replication in \
    docs/RUNBOOK.md";

/// Galera's numbers for a member that sends its data to a joining one, and for a member that is in step.
const DONOR: &str = "2";
const SYNCED: &str = "4";

/// The pause between two looks at how many changes wait.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// The state of a server that takes writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fitness {
    Fit,
    /// The server sends its data to a joining member, which may delay writes.
    Busy,
    /// The server is set up for Group Replication and does not show that it is in its group; the text says why. A
    /// server that is used alone may be like that. One of several members must not be written to then, because the
    /// others may never get its writes.
    Doubtful(&'static str),
}

/// Variables and status values of a server, by name.
pub(super) type ServerVariables = HashMap<String, String>;

/// Asks for all that [`judge`] and [`is_in_step`] must know. There is no time limit here.
///
/// # Errors
/// The server doesn't answer.
pub(super) async fn ask(conn: &mut Conn) -> mysql_async::Result<ServerVariables> {
    let mut found = ServerVariables::new();
    let mut rows = conn.query::<Row, _>(VARIABLES).await?;
    rows.extend(conn.query::<Row, _>(GALERA).await?);
    found.extend(rows.into_iter().filter_map(named));
    if is_group_member(&found) {
        match conn.query::<Row, _>(GROUP_REPLICATION).await {
            Err(error) if is_denied(&error) => {
                found.insert("member_state".into(), HIDDEN.into());
            }
            rows => found.extend(rows?.into_iter().filter_map(named)),
        }
        // Only members that take no writes are asked how far they lag, as others answer all reads anyway.
        if !has(&found, "read_only", "OFF") && has(&found, "member_state", "ONLINE") {
            match conn.query::<Row, _>(GROUP_BACKLOG).await {
                Err(error @ mysql_async::Error::Server(_)) => {
                    let hidden = if is_denied(&error) { HIDDEN } else { UNTOLD };
                    found.insert(BACKLOG.into(), hidden.into());
                }
                rows => found.extend(rows?.into_iter().filter_map(named)),
            }
        }
    }
    Ok(found)
}

fn is_denied(error: &mysql_async::Error) -> bool {
    matches!(error, mysql_async::Error::Server(error) if error.code == TABLE_DENIED)
}

/// Whether the server is set up as a member of Group Replication, in its group or not.
fn is_group_member(found: &ServerVariables) -> bool {
    let name = found.get("group_replication_group_name");
    name.is_some_and(|name| !name.is_empty())
}

fn named(row: Row) -> Option<(String, String)> {
    mysql_async::from_row_opt(row).ok()
}

/// Waits until no change that a member has received is still waiting there. It may yet be applying the last of them.
/// `false` if the member is not in step with the others. There is no time limit here.
///
/// # Errors
/// The server doesn't answer.
pub(super) async fn takes_up_all(conn: &mut Conn) -> mysql_async::Result<bool> {
    loop {
        let found = ask(conn).await?;
        if !is_in_step(&found) {
            return Ok(false);
        }
        if backlog(&found) == Some(0) {
            return Ok(true);
        }
        sleep(BETWEEN_LOOKS).await;
    }
}

fn has(found: &ServerVariables, name: &str, wanted: &str) -> bool {
    found.get(name).is_some_and(|value| value == wanted)
}

/// How many changes a member of a Galera cluster or of Group Replication has received and not taken up yet. `None` if
/// it does not tell.
fn backlog(found: &ServerVariables) -> Option<u64> {
    let name = match is_group_member(found) {
        true => BACKLOG,
        false => "wsrep_local_recv_queue",
    };
    found.get(name)?.parse().ok()
}

/// Whether the variables are those of a member that is in step with the others of its Galera cluster or its Group
/// Replication. A member whose user may not see its backlog does not count as such.
pub(super) fn is_in_step(found: &ServerVariables) -> bool {
    if is_group_member(found) {
        return has(found, "member_state", "ONLINE")
            && has(found, "members_lost", "few")
            && backlog(found).is_some_and(|changes| changes <= MOST_IN_STEP);
    }
    has(found, "wsrep_on", "ON")
        && has(found, "wsrep_ready", "ON")
        && has(found, "wsrep_local_state", SYNCED)
}

/// Whether the user may not see how far a member of Group Replication lags, so that it never counts as in step.
pub(super) fn hides_backlog(found: &ServerVariables) -> bool {
    has(found, BACKLOG, HIDDEN)
}

/// Decides whether a server takes writes, by its variables.
///
/// # Errors
/// It takes none; the text says why.
pub(super) fn judge(found: &ServerVariables) -> Result<Fitness, &'static str> {
    let is = |name: &str, wanted: &str| has(found, name, wanted);
    // Some versions of MariaDB have more values than `ON` and `OFF`.
    if found.contains_key("read_only") && !is("read_only", "OFF") {
        return Err("it is read-only");
    }
    if is("members_lost", "most") {
        return Err(MOST_LOST);
    }
    if is_group_member(found) {
        match found.get("member_state").map(String::as_str) {
            Some("ONLINE") => {}
            Some(HIDDEN) => return Ok(Fitness::Doubtful(STATE_HIDDEN)),
            Some(_) => return Err(NOT_ONLINE),
            None => return Ok(Fitness::Doubtful(NOT_ONLINE)),
        }
    }
    if !is("wsrep_on", "ON") {
        return Ok(Fitness::Fit);
    }
    if found.contains_key("wsrep_ready") && !is("wsrep_ready", "ON") {
        return Err(NO_QUORUM);
    }
    match found.get("wsrep_local_state").map(String::as_str) {
        Some(SYNCED) | None => Ok(Fitness::Fit),
        Some(DONOR) => Ok(Fitness::Busy),
        Some(_) => Err(NO_QUORUM),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged<const N: usize>(found: [(&str, &str); N]) -> Result<Fitness, &'static str> {
        let found = found.map(|(name, value)| (name.to_owned(), value.to_owned()));
        judge(&found.into())
    }

    #[test]
    fn a_server_alone_takes_writes_unless_it_is_read_only() {
        assert_eq!(judged([("read_only", "OFF")]), Ok(Fitness::Fit));
        for read_only in ["ON", "NO_LOCK", "NO_LOCK_NO_ADMIN"] {
            let reason = "it is read-only";
            assert_eq!(judged([("read_only", read_only)]), Err(reason));
        }
        // A MariaDB server that is in no cluster.
        let alone = [
            ("read_only", "OFF"),
            ("wsrep_on", "OFF"),
            ("wsrep_ready", "OFF"),
            ("wsrep_local_state", "0"),
        ];
        assert_eq!(judged(alone), Ok(Fitness::Fit));
    }

    #[test]
    fn a_member_of_a_cluster_takes_writes_when_it_is_in_step() {
        let member = |ready, state| {
            [
                ("read_only", "OFF"),
                ("wsrep_on", "ON"),
                ("wsrep_ready", ready),
                ("wsrep_local_state", state),
            ]
        };
        assert_eq!(judged(member("ON", SYNCED)), Ok(Fitness::Fit));
        assert_eq!(judged(member("ON", DONOR)), Ok(Fitness::Busy));
        assert_eq!(judged(member("OFF", SYNCED)), Err(NO_QUORUM));
        assert_eq!(judged(member("ON", "3")), Err(NO_QUORUM));
    }

    #[test]
    fn only_a_member_of_galera_that_is_synced_is_in_step() {
        let member = |on: &str, ready: &str, state: &str| {
            let found = [
                ("read_only", "ON"),
                ("wsrep_on", on),
                ("wsrep_ready", ready),
                ("wsrep_local_state", state),
            ];
            is_in_step(
                &found
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .into(),
            )
        };
        assert!(member("ON", "ON", SYNCED), "though it is read-only");
        for (on, ready, state) in [
            ("ON", "OFF", SYNCED),
            ("ON", "ON", DONOR),
            ("ON", "ON", "3"),
            ("OFF", "ON", SYNCED),
        ] {
            assert!(!member(on, ready, state), "{on} {ready} {state}");
        }
        assert!(!is_in_step(&ServerVariables::new()), "a server alone");
    }

    /// What MySQL 9.7 shows in each state, in single-primary mode.
    #[test]
    fn a_member_of_group_replication_is_online_among_most() {
        let member = |read_only, state, lost| {
            judged([
                ("read_only", read_only),
                ("group_replication_group_name", "a-b-c"),
                ("member_state", state),
                ("members_lost", lost),
            ])
        };
        let read_only = "it is read-only";
        assert_eq!(member("OFF", "ONLINE", "few"), Ok(Fitness::Fit));
        // A secondary, one that catches up, and one that the others have expelled.
        for state in ["ONLINE", "RECOVERING", "ERROR"] {
            assert_eq!(member("ON", state, "few"), Err(read_only));
        }
        // A server that was started again, and did not join: it takes writes, which the others never get.
        assert_eq!(member("OFF", "OFFLINE", "few"), Err(NOT_ONLINE));
        assert_eq!(member("OFF", "RECOVERING", "few"), Err(NOT_ONLINE));
        // A primary whose two secondaries have died: it is as before, but a commit there does not end.
        assert_eq!(member("OFF", "ONLINE", "most"), Err(MOST_LOST));
    }

    #[test]
    fn a_member_of_group_replication_is_in_step_if_little_waits_there() {
        let member = |state: &str, lost: &str, backlog: Option<&str>| {
            let found = [
                ("read_only", "ON"),
                ("group_replication_group_name", "a-b-c"),
                ("member_state", state),
                ("members_lost", lost),
            ];
            let found = found.into_iter();
            let found = found.chain(backlog.map(|changes| (BACKLOG, changes)));
            let found = found.map(|(name, value)| (name.to_owned(), value.to_owned()));
            is_in_step(&found.collect())
        };
        assert!(member("ONLINE", "few", Some("0")));
        assert!(member("ONLINE", "few", Some("100")));
        for (state, lost, backlog) in [
            ("ONLINE", "few", Some("101")),
            ("ONLINE", "most", Some("0")),
            ("RECOVERING", "few", Some("0")),
            (HIDDEN, "few", None),
            ("ONLINE", "few", Some(HIDDEN)),
            ("ONLINE", "few", Some(UNTOLD)),
            // One that takes writes is not asked.
            ("ONLINE", "few", None),
        ] {
            assert!(!member(state, lost, backlog), "{state} {lost} {backlog:?}");
        }
        let hides = |told: &str| hides_backlog(&[(BACKLOG.to_owned(), told.to_owned())].into());
        assert!(hides(HIDDEN) && !hides(UNTOLD) && !hides("0"));
    }

    #[test]
    fn a_member_of_group_replication_that_does_not_show_its_state_is_doubtful() {
        let name = ("group_replication_group_name", "a-b-c");
        let shown = |more: &[(&str, &str)]| {
            let all = [("read_only", "OFF"), name]
                .into_iter()
                .chain(more.to_vec());
            let all = all.map(|(name, value)| (name.to_owned(), value.to_owned()));
            judge(&all.collect())
        };
        let hidden = shown(&[("member_state", HIDDEN)]);
        assert_eq!(hidden, Ok(Fitness::Doubtful(STATE_HIDDEN)));
        // Before the first `START GROUP_REPLICATION`, the group has no row for the server.
        let stranger = shown(&[("members_lost", "few")]);
        assert_eq!(stranger, Ok(Fitness::Doubtful(NOT_ONLINE)));
        assert_eq!(
            judged([("read_only", "ON"), name, ("member_state", HIDDEN)]),
            Err("it is read-only")
        );
        // The plugin is loaded, but not set up.
        let unset = ("group_replication_group_name", "");
        assert_eq!(judged([("read_only", "OFF"), unset]), Ok(Fitness::Fit));
    }
}
