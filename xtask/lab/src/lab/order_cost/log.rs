//! MariaDB's slow query log.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::lab::model::Statement;

/// How many characters at the start of a statement are kept: they contain the table's name.
const BEGINNING: usize = 400;

/// A log from a certain position on.
pub(super) struct Log {
    path: PathBuf,
    begins: u64,
}

impl Log {
    /// The log from its current end on.
    pub(super) fn from_its_end(path: PathBuf) -> Result<Self> {
        let file = fs::metadata(&path).with_context(|| format!("looking at {}", path.display()))?;
        let begins = file.len();
        Ok(Self { path, begins })
    }

    /// The statements by name, longest total time first.
    pub(super) fn statements(&self) -> Result<Vec<Statement>> {
        let context = || format!("reading {}", self.path.display());
        let mut file = File::open(&self.path).with_context(context)?;
        file.seek(SeekFrom::Start(self.begins))
            .with_context(context)?;
        let mut sums = Sums::default();
        // Clients may send text that is not UTF-8.
        for line in BufReader::new(file).split(b'\n') {
            sums.take(&String::from_utf8_lossy(&line.with_context(context)?));
        }
        let mut statements: Vec<Statement> = sums.by_name.into_values().collect();
        statements.sort_by(|one, other| other.seconds.total_cmp(&one.seconds));
        Ok(statements)
    }
}

/// The sums over the part of the log that was read.
#[derive(Default)]
struct Sums {
    by_name: BTreeMap<String, Statement>,
    /// The time of the statement whose text follows.
    seconds: Option<f64>,
}

impl Sums {
    /// Reads one line. A statement's times are in comments before it. Its text begins with the first line that is
    /// neither a comment nor a statement that sets the time.
    fn take(&mut self, line: &str) {
        if let Some(times) = line.strip_prefix("# Query_time: ") {
            let seconds = times.split_whitespace().next();
            self.seconds = seconds.and_then(|word| word.parse().ok());
            return;
        }
        if line.starts_with('#') || line.starts_with("SET timestamp=") || line.starts_with("use ") {
            return;
        }
        let Some(seconds) = self.seconds.take() else {
            return;
        };
        // The statement by which we read the counters.
        if line.starts_with("SHOW GLOBAL STATUS") {
            return;
        }
        let name = name(line);
        let sum = self.by_name.entry(name.clone()).or_insert(Statement {
            name,
            count: 0,
            seconds: 0.0,
        });
        sum.count += 1;
        sum.seconds += seconds;
    }
}

/// The operation and the table of a statement, however long its lists are: `INSERT INTO orders`.
fn name(text: &str) -> String {
    // The rest of the text is values.
    let beginning: String = text.chars().take(BEGINNING).collect();
    let words = beginning.split(|c: char| !c.is_alphanumeric() && c != '_');
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let after = |keyword: &str| {
        let at = words
            .iter()
            .position(|word| word.eq_ignore_ascii_case(keyword))?;
        words.get(at + 1).copied()
    };
    match words.as_slice() {
        // The statements with which the components begin and end a transaction.
        ["SET", "autocommit", "0"] => "begin".into(),
        ["SET", "autocommit", "1"] => "commit".into(),
        // One statement on several tables: it reads what the transaction has written, for the marks in the cache (ADR
        // 13).
        ["SELECT", ..] if words.contains(&"cache_state") => "SELECT what changed".into(),
        ["INSERT", ..] => format!("INSERT INTO {}", after("INTO").unwrap_or("?")),
        ["SELECT", first, ..] => match after("FROM") {
            Some(table) => format!("SELECT FROM {table}"),
            None => format!("SELECT {first}"),
        },
        ["DELETE", ..] => format!("DELETE FROM {}", after("FROM").unwrap_or("?")),
        [first, second, ..] => format!("{first} {second}"),
        short => short.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_named_by_what_they_do_to_which_table() {
        for (text, expected) in [
            ("SET autocommit = 0;", "begin"),
            ("SET autocommit = 1", "commit"),
            (
                "INSERT INTO orders (user_id, total) VALUES (?, ?), (?, ?)",
                "INSERT INTO orders",
            ),
            (
                "SELECT id FROM products WHERE id IN (?) LOCK IN SHARE MODE",
                "SELECT FROM products",
            ),
            ("SELECT LAST_INSERT_ID()", "SELECT LAST_INSERT_ID"),
            (
                "(SELECT 0, (SELECT b.beat FROM cache_beat b) FROM cache_state s) UNION ALL (SELECT 1 FROM orders)",
                "SELECT what changed",
            ),
            (
                "SHOW VARIABLES LIKE 'auto_increment_increment'",
                "SHOW VARIABLES",
            ),
            (
                "DELETE FROM stocks WHERE product_id IN (?)",
                "DELETE FROM stocks",
            ),
            ("COMMIT;", "COMMIT"),
            ("", ""),
        ] {
            assert_eq!(name(text), expected, "{text}");
        }
    }

    #[test]
    fn times_are_summed_up_by_name_and_without_our_own_look() {
        let log = "\
# User@Host: store[store] @  [127.0.0.1]
# Thread_id: 9  Schema: store  QC_hit: No
# Query_time: 0.000200  Lock_time: 0.000150  Rows_sent: 0  Rows_examined: 0
# Rows_affected: 1  Bytes_sent: 11
use store;
SET timestamp=1700000000;
INSERT INTO stocks (product_id, quantity) VALUES (1, -1),
  (2, -1);
# Query_time: 0.000100  Lock_time: 0.000050  Rows_sent: 0  Rows_examined: 0
SET timestamp=1700000000;
INSERT INTO stocks (product_id, quantity) VALUES (1, -1);
# Query_time: 0.500000  Lock_time: 0.000000  Rows_sent: 5  Rows_examined: 5
SET timestamp=1700000000;
SHOW GLOBAL STATUS WHERE Variable_name IN ('Questions');
";
        let mut sums = Sums::default();
        log.lines().for_each(|line| sums.take(line));
        let found: Vec<&Statement> = sums.by_name.values().collect();
        let [stocks] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(
            (stocks.name.as_str(), stocks.count),
            ("INSERT INTO stocks", 2)
        );
        assert!((stocks.seconds - 0.0003).abs() < 1e-9);
    }
}
