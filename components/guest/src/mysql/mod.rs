//! Typed MySQL over `spin:mysql`.
//!
//! Spin prepares every statement, so each follows these rules: a parameter for every value; only columns that Spin can
//! carry (integers and text; money as whole cents by `CAST`); and no `START TRANSACTION`, which MySQL refuses to
//! prepare.
//!
//! `transaction` runs a transaction and retries it, and `fate` finds out what became of a transaction whose commit was
//! not answered. `row` and `records` read rows. `error` says what an error means, by the table in `known`. No statement
//! here writes to a table: the components have those statements.

mod error;
mod fate;
mod known;
mod records;
mod row;
mod transaction;

use std::marker::PhantomData;

use spin_sdk::mysql::{DbValue, QueryResult};
use spin_sdk::wasip3::wit_bindgen::StreamResult;

pub use error::MysqlError;
pub use fate::{TransactionFate, write_token};
pub use records::{ORDER_COLUMNS, orders_by_id};
pub use row::{Column, FromRow};
pub use spin_sdk::mysql::ParameterValue;
pub use transaction::{
    ATTEMPTS, Abort, BEGIN, COMMIT, Ending, exists, transaction, transaction_of,
};

/// What a query ends with that is not worth waiting for a writer: under our host with `--mysql-members`, it fails at
/// once while none of them takes writes. For servers and for Spin it is a comment.
pub(crate) const NO_WAIT: &str = " /* no wait */";

/// A query whose answer may be stale: under our host with `--mysql-members`, another member may answer it while none of
/// them takes writes (ADR 31). For servers and for Spin this is a comment. Only for what a client is shown: nothing
/// that is written may depend on the answer. The host sends no command to Redis for a request that got a stale answer.
pub fn may_be_stale(query: &str) -> String {
    format!("{query} /* may be stale */")
}

/// How many rows are read from the host at once: a call to the host costs more than a row.
const ROWS_AT_ONCE: usize = 128;

/// A server connection of one request. Dropping it rolls back an open transaction and returns the connection to the
/// host.
pub struct Connection(spin_sdk::mysql::Connection);

impl Connection {
    /// Opens a connection; under our host, takes one from the pool.
    ///
    /// # Errors
    /// [`MysqlError::Connect`] if no connection is available.
    pub async fn open(url: &str) -> Result<Self, MysqlError> {
        let connection = spin_sdk::mysql::Connection::open(url)
            .await
            .map_err(MysqlError::from_open)?;
        Ok(Self(connection))
    }

    /// Runs a statement that returns no rows, or whose rows don't matter. An error has the server's code under every
    /// host.
    ///
    /// # Errors
    /// The error of the server or of the connection.
    pub async fn execute(
        &self,
        statement: &str,
        parameters: Vec<ParameterValue>,
    ) -> Result<(), MysqlError> {
        self.0
            .execute(statement, parameters)
            .await
            .map_err(MysqlError::from)
    }

    /// Runs a query and reads all of its rows.
    ///
    /// # Errors
    /// The error of the server or of the connection, at any row, or a row that can't be decoded as `T`.
    pub async fn query<T: FromRow>(
        &self,
        statement: &str,
        parameters: Vec<ParameterValue>,
    ) -> Result<Vec<T>, MysqlError> {
        let mut rows = self.rows(statement, parameters).await?;
        let mut all = Vec::new();
        while let Some(some) = rows.next().await? {
            all.extend(some);
        }
        Ok(all)
    }

    /// Runs a query and reads its first row, if it has one.
    ///
    /// # Errors
    /// Those of [`Connection::query`].
    pub async fn first<T: FromRow>(
        &self,
        statement: &str,
        parameters: Vec<ParameterValue>,
    ) -> Result<Option<T>, MysqlError> {
        let rows = self.query(statement, parameters).await?;
        Ok(rows.into_iter().next())
    }

    /// The id that the last INSERT on this connection got (`LAST_INSERT_ID()`).
    ///
    /// # Errors
    /// Those of [`Connection::query`].
    pub async fn last_insert_id(&self) -> Result<i64, MysqlError> {
        self.first("SELECT LAST_INSERT_ID()", vec![])
            .await?
            .map(|(id,)| id)
            .ok_or_else(|| MysqlError::Unexpected("LAST_INSERT_ID() gave no row".into()))
    }

    /// Runs a query whose rows are read as they arrive. Read them to the end: until then, every other statement on this
    /// connection waits for ever.
    ///
    /// # Errors
    /// The error of the server or of the connection before the first row.
    pub async fn rows<T: FromRow>(
        &self,
        statement: &str,
        parameters: Vec<ParameterValue>,
    ) -> Result<Rows<T>, MysqlError> {
        let result = self.0.query(statement, parameters).await?;
        Ok(Rows {
            result: Some(result),
            row: PhantomData,
        })
    }
}

/// The rows of one query, read as they arrive.
pub struct Rows<T> {
    /// `None` once the end is reached.
    result: Option<QueryResult>,
    row: PhantomData<fn() -> T>,
}

impl<T: FromRow> Rows<T> {
    /// The next rows, at least one, or `None` after the last.
    ///
    /// # Errors
    /// The error of the query after its first row, or a row that can't be decoded as `T`.
    pub async fn next(&mut self) -> Result<Option<Vec<T>>, MysqlError> {
        let Some(mut result) = self.result.take() else {
            return Ok(None);
        };
        let mut values: Vec<Vec<DbValue>> = Vec::with_capacity(ROWS_AT_ONCE);
        while values.is_empty() {
            let status;
            (status, values) = result.rows().read(values).await;
            if status == StreamResult::Dropped {
                // Only this result says whether the rows are complete or the query failed.
                result.result().await?;
                return Ok(None);
            }
        }
        self.result = Some(result);
        let rows: Result<Vec<T>, MysqlError> = values.into_iter().map(T::from_row).collect();
        rows.map(Some)
    }
}

/// `?, ?, ?`, with one `?` for each of `count` values.
pub fn placeholders(count: usize) -> String {
    vec!["?"; count].join(", ")
}

/// `(?, 1), (?, 1)`: the text `row`, repeated for `count` rows.
pub fn row_placeholders(row: &str, count: usize) -> String {
    vec![row; count].join(", ")
}

/// How many rows a statement for `count` rows has, if repeated rows do no harm: the same number up to four, then 6, 8,
/// 12, 16, 24 and so on. Lists come in many lengths, and the server has to prepare a statement for each length.
pub fn rung(count: usize) -> usize {
    if count <= 4 {
        return count;
    }
    let power = count.next_power_of_two();
    let between = power / 4 * 3;
    if count <= between { between } else { power }
}

/// How many ids a list of `count` ids to look up has: the next power of two. An id that occurs twice costs less than a
/// row does, and some statements have two lists.
pub fn list_length(count: usize) -> usize {
    match count {
        0 => 0,
        _ => count.next_power_of_two(),
    }
}

/// Fills the list up to its [length](list_length) by repeating its last value.
pub fn padded<T: Clone>(mut list: Vec<T>) -> Vec<T> {
    if let Some(last) = list.last().cloned() {
        list.resize(list_length(list.len()), last);
    }
    list
}

/// Up to this many rows are inserted by one statement of exactly that length.
const ROWS_AS_THEY_ARE: usize = 16;

/// Divides rows that must not be repeated into pieces of few different lengths: usually one or two pieces.
pub fn pieces<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let (piece, rest) = rows.split_at(piece_of(rows.len()));
        rows = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// How many of `count` rows go into the first piece: the largest rung up to `count`.
fn piece_of(count: usize) -> usize {
    if count <= ROWS_AS_THEY_ARE {
        return count;
    }
    let power = 1 << count.ilog2();
    let between = power / 2 * 3;
    let piece = if between <= count { between } else { power };
    piece.min(MOST_ROWS)
}

/// The most rows in one piece.
const MOST_ROWS: usize = 512;

/// Converts ids to parameters.
pub fn ids(ids: impl IntoIterator<Item = i64>) -> Vec<ParameterValue> {
    ids.into_iter().map(ParameterValue::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_separated() {
        assert_eq!(placeholders(1), "?");
        assert_eq!(placeholders(3), "?, ?, ?");
        assert_eq!(row_placeholders("(?, 1)", 2), "(?, 1), (?, 1)");
    }

    #[test]
    fn rows_come_in_pieces_of_few_lengths() {
        let lengths = |count: usize| -> Vec<usize> {
            let rows = vec![0; count];
            pieces(&rows).map(<[_]>::len).collect()
        };
        assert!(lengths(0).is_empty());
        assert_eq!(lengths(5), [5]);
        assert_eq!(lengths(16), [16]);
        assert_eq!(lengths(23), [16, 7]);
        assert_eq!(lengths(24), [24]);
        assert_eq!(lengths(95), [64, 24, 7]);
        assert_eq!(lengths(1100), [512, 512, 64, 12]);
    }

    #[test]
    fn lists_are_padded_to_few_lengths() {
        let rungs: Vec<usize> = (0..=17).map(rung).collect();
        assert_eq!(
            rungs,
            [
                0, 1, 2, 3, 4, 6, 6, 8, 8, 12, 12, 12, 12, 16, 16, 16, 16, 24
            ]
        );
        assert_eq!(padded(vec![1, 2, 3, 4, 5]), [1, 2, 3, 4, 5, 5, 5, 5]);
        assert!(padded(Vec::<i64>::new()).is_empty());
    }
}
