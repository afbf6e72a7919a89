//! The row of the database that says which member is the writer: the table of `migrations/0006-writer.sql`.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::config::HostPort;

/// What a member's row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// One more with each change.
    pub(super) term: i64,
    /// The writer, as hosts name it; empty before the first.
    pub(super) member: String,
    /// The same on all members that replicate one another.
    pub(super) origin: String,
}

/// What came of a try to change the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Changed,
    /// The change before is younger than five seconds.
    TooSoon,
    /// Another host was quicker.
    Beaten,
}

const READ: &str = "SELECT term, member, origin FROM mysql_writer WHERE id = 1";

/// Takes the writer's place, if nobody has meanwhile. Two hosts of which each reaches what the other does not would take
/// turns; so a change stands for a few seconds, except the first, which changes nothing. The clock of one member wrote
/// that time and the clock of another is compared with it: a time that is yet to come counts as long ago. MySQL sets
/// columns in this order.
const CHANGE: &str = "\
    UPDATE mysql_writer \
    SET changed_at = IF(term = 0, changed_at, UTC_TIMESTAMP(3)), term = term + 1, member = ? \
    WHERE id = 1 AND term = ? \
    AND changed_at NOT BETWEEN UTC_TIMESTAMP(3) - INTERVAL 5 SECOND AND UTC_TIMESTAMP(3)";

/// What a server says to the slower of two who change the row on two members, or on one.
const LOST: [u16; 2] = [1213, 1205];

/// What a member of a Galera cluster says to every query while it has no quorum.
const NO_QUORUM: u16 = 1047;

/// Reads the row. A member that has none, or that answers no query, shows none.
///
/// # Errors
/// The server does not say.
pub(super) async fn read(conn: &mut Conn) -> mysql_async::Result<Option<Row>> {
    let row = conn.query_first::<(i64, String, String), _>(READ).await;
    let row = match row {
        Err(mysql_async::Error::Server(error)) if error.code == NO_QUORUM => return Ok(None),
        row => row?,
    };
    Ok(row.map(|(term, member, origin)| Row {
        term,
        member,
        origin,
    }))
}

/// Writes `member` into the row, if its term is `term`.
///
/// # Errors
/// The server does not say whether it did.
pub(super) async fn change(
    conn: &mut Conn,
    member: &HostPort,
    term: i64,
) -> mysql_async::Result<Outcome> {
    let tried = conn.exec_drop(CHANGE, (member.to_string(), term)).await;
    match tried {
        Ok(()) if conn.affected_rows() == 1 => return Ok(Outcome::Changed),
        Ok(()) => {}
        Err(mysql_async::Error::Server(error)) if LOST.contains(&error.code) => {
            return Ok(Outcome::Beaten);
        }
        Err(error) => return Err(error),
    }
    // With the same term as before, it was the time that did not fit.
    let row = read(conn).await?;
    Ok(match row.is_some_and(|row| row.term == term) {
        true => Outcome::TooSoon,
        false => Outcome::Beaten,
    })
}
