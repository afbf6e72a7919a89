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

const READ: &str = "SELECT term, member, origin FROM mysql_writer WHERE id = 1";

/// Takes the writer's place, if nobody has meanwhile. Two hosts of which each reaches what the other does not would take
/// turns; so a change stands for a few seconds, except the first, which changes nothing. MySQL sets columns in this order.
const CHANGE: &str = "\
    UPDATE mysql_writer \
    SET changed_at = IF(term = 0, changed_at, UTC_TIMESTAMP(3)), term = term + 1, member = ? \
    WHERE id = 1 AND term = ? AND changed_at < UTC_TIMESTAMP(3) - INTERVAL 5 SECOND";

/// What a server says to the slower of two who change the row on two members, or on one.
const LOST: [u16; 2] = [1213, 1205];

/// Reads the row.
///
/// # Errors
/// The server does not say.
pub(super) async fn read(conn: &mut Conn) -> mysql_async::Result<Option<Row>> {
    let row = conn.query_first::<(i64, String, String), _>(READ).await?;
    Ok(row.map(|(term, member, origin)| Row {
        term,
        member,
        origin,
    }))
}

/// Writes `member` into the row, if its term is `term`. Whether it was.
///
/// # Errors
/// The server does not say whether it did.
pub(super) async fn change(
    conn: &mut Conn,
    member: &HostPort,
    term: i64,
) -> mysql_async::Result<bool> {
    match conn.exec_drop(CHANGE, (member.to_string(), term)).await {
        Ok(()) => Ok(conn.affected_rows() == 1),
        Err(mysql_async::Error::Server(error)) if LOST.contains(&error.code) => Ok(false),
        Err(error) => Err(error),
    }
}
