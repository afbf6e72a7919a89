//! Checks whether the database has the migrations that this program is made for.

use mysql_async::prelude::Queryable;

use crate::mysql::Server;

/// The migrations in their order. A released file is never changed; a change is a new file.
pub(super) const MIGRATIONS: [(u32, &str, &str); 6] = [
    (1, "store", include_str!("../../migrations/0001-store.sql")),
    (
        2,
        "report-totals",
        include_str!("../../migrations/0002-report-totals.sql"),
    ),
    (
        3,
        "idempotency-and-cache-changes",
        include_str!("../../migrations/0003-idempotency-and-cache-changes.sql"),
    ),
    (
        4,
        "outcomes-and-emails",
        include_str!("../../migrations/0004-outcomes-and-emails.sql"),
    ),
    (
        5,
        "cache-state",
        include_str!("../../migrations/0005-cache-state.sql"),
    ),
    (
        6,
        "writer",
        include_str!("../../migrations/0006-writer.sql"),
    ),
];

/// `ER_NO_SUCH_TABLE`.
const NO_SUCH_TABLE: u16 = 1146;

/// `ER_TABLEACCESS_DENIED_ERROR`.
const DENIED: u16 = 1142;

/// The tables of the database are those of another version of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the database has schema {found}, and this store-host is made for {}: {}", newest(), self.advice())]
pub struct NotOurSchema {
    /// The number of the last migration in the database; 0 if there is none.
    pub(super) found: u32,
}

impl NotOurSchema {
    fn advice(self) -> &'static str {
        if self.found < newest() {
            "run `store-host migrate`"
        } else {
            "a newer store-host has migrated it; install that, or read in its changelog whether this one may serve too (--allow-other-schema)"
        }
    }
}

/// The number of the last migration that this program has.
pub(super) fn newest() -> u32 {
    MIGRATIONS.len() as u32
}

/// Compares the last migration in the database with that of this program.
///
/// # Errors
/// The two differ.
pub(crate) fn check(last_applied: Option<u32>) -> Result<(), NotOurSchema> {
    match last_applied.unwrap_or_default() {
        found if found == newest() => Ok(()),
        found => Err(NotOurSchema { found }),
    }
}

/// The number of the last migration in the database of `server`; `None` if no migration is recorded there.
///
/// # Errors
/// The server can't be reached or refuses.
pub(crate) async fn last_applied(server: &Server) -> mysql_async::Result<Option<u32>> {
    let mut conn = server.connect().await?;
    let last = conn
        .query_first::<Option<u32>, _>("SELECT MAX(version) FROM schema_migrations")
        .await;
    let last = match last {
        Err(mysql_async::Error::Server(error)) if error.code == NO_SUCH_TABLE => None,
        // If the user may not read the record, the database is accepted.
        Err(mysql_async::Error::Server(error)) if error.code == DENIED => Some(newest()),
        last => last?.flatten(),
    };
    conn.disconnect().await?;
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_schema_will_do() {
        assert_eq!(check(Some(newest())), Ok(()));
        for (found, advice) in [(None, "migrate`"), (Some(newest() + 1), "newer store-host")] {
            let refused = check(found).expect_err("another schema").to_string();
            assert!(refused.contains(advice), "{refused}");
        }
    }
}
