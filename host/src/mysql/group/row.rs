//! The row of the database that names the writer, in the table of `migrations/0006-writer.sql`.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::config::HostPort;

/// The content of a member's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Incremented with each change of the writer.
    pub(super) term: i64,
    /// The address of the writer, as the settings name it; empty before the first change.
    pub(super) member: String,
    /// An identifier that is the same on all members that replicate one another.
    pub(super) origin: String,
}

/// The outcome of an attempt to change the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Changed,
    /// The last change is less than five seconds old.
    TooSoon,
    /// Another host was faster.
    Beaten,
}

const READ: &str = "SELECT term, member, origin FROM mysql_writer WHERE id = 1";

/// Makes a member the writer, if no other change was made meanwhile. A change holds for five seconds: otherwise two
/// hosts that each reach only one of two members would undo each other's change again and again. Only the first change
/// does not begin such a time, because it replaces no writer. The time was written by the clock of one member and is
/// compared with the clock of another, so a time in the future counts as long ago. MySQL assigns the columns in this
/// order, so `changed_at` sees the old term.
const CHANGE: &str = "\
    UPDATE mysql_writer \
    SET changed_at = IF(term = 0, changed_at, UTC_TIMESTAMP(3)), term = term + 1, member = ? \
    WHERE id = 1 AND term = ? \
    AND changed_at NOT BETWEEN UTC_TIMESTAMP(3) - INTERVAL 5 SECOND AND UTC_TIMESTAMP(3)";

/// Error codes for the slower of two hosts that change the row, on the same member or on two.
const LOST: [u16; 2] = [1213, 1205];

/// The error code of a Galera member for every query while it has no quorum.
const NO_QUORUM: u16 = 1047;

/// Reads the row. `None` if the member has none or answers no query because it has no quorum.
///
/// # Errors
/// The server does not answer, or not with a row.
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

/// Writes `member` into the row, if the row's term is `term`.
///
/// # Errors
/// The server does not say whether the row was changed.
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
    // If the term is unchanged, the last change was too recent.
    let row = read(conn).await?;
    Ok(match row.is_some_and(|row| row.term == term) {
        true => Outcome::TooSoon,
        false => Outcome::Beaten,
    })
}
