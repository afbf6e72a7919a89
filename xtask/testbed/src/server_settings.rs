//! The settings of a database server: MariaDB, or MySQL, which has other names for some of them.

use std::path::PathBuf;

use anyhow::Result;
use xtask::programs::require_program;

use crate::mariadb::{MariaDbOptions, Purpose};
use crate::secret::Secret;

/// The user of all connections. Other users have no password, and root only has a socket in the data folder.
pub(crate) const USER: &str = "store";

/// The database of a server for [`Purpose::Keeping`].
pub(crate) const DATABASE: &str = "store";

/// MySQL's only program, or the given program of MariaDB.
pub(crate) fn program(options: &MariaDbOptions, of_mariadb: &str) -> Result<PathBuf> {
    match &options.mysqld {
        Some(mysqld) => Ok(mysqld.clone()),
        None => require_program(of_mariadb),
    }
}

/// The flags of a server with this purpose.
pub(crate) fn of(options: &MariaDbOptions) -> Vec<String> {
    let shared = shared(options.purpose).map(str::to_owned);
    own(options).into_iter().chain(shared).collect()
}

/// The SQL that runs at each start, before the server accepts connections. It makes the user anew, so that the user's
/// rights and password are always those of this start.
pub(crate) fn init_sql(options: &MariaDbOptions, password: &Secret) -> String {
    let rights = match options.purpose {
        Purpose::Keeping => format!("GRANT ALL PRIVILEGES ON `{DATABASE}`.* TO '{USER}'@'%'"),
        Purpose::Testing | Purpose::Measuring => {
            format!("GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'%' WITH GRANT OPTION")
        }
    };
    let password = password.as_str();
    let user = match options.mysqld {
        // MySQL can't replace a user, and its root has no password.
        Some(_) => format!(
            "ALTER USER 'root'@'localhost' ACCOUNT LOCK;\n\
             DROP USER IF EXISTS '{USER}'@'%';\n\
             CREATE USER '{USER}'@'%' IDENTIFIED BY '{password}'"
        ),
        None => format!("CREATE OR REPLACE USER '{USER}'@'%' IDENTIFIED BY '{password}'"),
    };
    // Each member of a group does this for itself; in its log, it would be a transaction that the others lack.
    let unlogged = match options.mysqld {
        Some(_) => "SET SESSION sql_log_bin = OFF;\n",
        None => "",
    };
    format!("{unlogged}CREATE DATABASE IF NOT EXISTS `{DATABASE}`;\n{user};\n{rights};\n")
}

/// The flags that differ between MariaDB and MySQL. They also keep SQL from reading and writing files.
fn own(options: &MariaDbOptions) -> Vec<String> {
    let size = redo_log(options.purpose);
    match options.mysqld {
        Some(_) => vec![
            "--secure-file-priv=NULL".to_owned(),
            format!("--innodb-redo-log-capacity={size}"),
            format!("--sync-binlog={}", binlog_flushes(options.purpose)),
            // Otherwise every MySQL server would listen on the same second port.
            "--mysqlx=OFF".to_owned(),
        ],
        None => vec![
            // No file can have a path below this one.
            "--secure-file-priv=/dev/null".to_owned(),
            format!("--innodb-log-file-size={size}"),
        ],
    }
}

fn redo_log(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Keeping => "96M",
        // The server allocates the whole log at its first start.
        Purpose::Testing => "32M",
        // Room for minutes of thousands of orders a second. If the log is nearly full, all connections may spin on one
        // processor for minutes before the thread that empties the log gets its turn: with 16M this happens at once,
        // with 96M now and then.
        Purpose::Measuring => "1G",
    }
}

/// After how many commits MySQL flushes its binary log, which it writes unless told otherwise; 0 leaves that to the
/// system, as `innodb-flush-log-at-trx-commit=2` does with the redo log.
const fn binlog_flushes(purpose: Purpose) -> u8 {
    match purpose {
        Purpose::Keeping => 1,
        Purpose::Testing | Purpose::Measuring => 0,
    }
}

fn shared(purpose: Purpose) -> [&'static str; 2] {
    match purpose {
        Purpose::Keeping => [
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=256M",
        ],
        Purpose::Testing => [
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-buffer-pool-size=128M",
        ],
        Purpose::Measuring => [
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-buffer-pool-size=512M",
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(mysqld: Option<PathBuf>) -> MariaDbOptions {
        MariaDbOptions {
            mysqld,
            ..MariaDbOptions::new("folder", "log", Purpose::Testing)
        }
    }

    #[test]
    fn mysql_is_told_in_its_own_words() {
        let folder = tempfile::tempdir().expect("a folder");
        let password = Secret::kept_in(&folder.path().join("password")).expect("a password");
        let mysql = options(Some("/opt/mysql/bin/mysqld".into()));
        let sql = init_sql(&mysql, &password);
        assert!(!sql.contains("OR REPLACE"), "{sql}");
        // The server reads one statement from each line.
        assert!(sql.lines().all(|line| line.ends_with(';')), "{sql}");
        assert!(sql.contains("ACCOUNT LOCK"), "{sql}");
        assert!(sql.starts_with("SET SESSION sql_log_bin = OFF;"), "{sql}");
        let flags = of(&mysql).join(" ");
        assert!(flags.contains("--innodb-redo-log-capacity=32M"), "{flags}");
        assert!(flags.contains("--secure-file-priv=NULL"), "{flags}");

        let mariadb = options(None);
        let sql = init_sql(&mariadb, &password);
        assert!(sql.contains("CREATE OR REPLACE USER"), "{sql}");
        let flags = of(&mariadb).join(" ");
        assert!(flags.contains("--innodb-log-file-size=32M"), "{flags}");
    }
}
