//! What a database server is started with: MariaDB, or MySQL, which says some of it otherwise.

use std::path::PathBuf;

use anyhow::Result;
use xtask::programs::require_program;

use crate::mariadb::{MariaDbOptions, Purpose};
use crate::secret::Secret;

/// The user that everything connects as. Others have no password, and root only a socket in the data folder.
pub(crate) const USER: &str = "store";

/// The database of [`Purpose::Keeping`].
pub(crate) const DATABASE: &str = "store";

/// MySQL's one program, or one of MariaDB's.
pub(crate) fn program(options: &MariaDbOptions, of_mariadb: &str) -> Result<PathBuf> {
    match &options.mysqld {
        Some(mysqld) => Ok(mysqld.clone()),
        None => require_program(of_mariadb),
    }
}

/// The flags of a server of this purpose.
pub(crate) fn of(options: &MariaDbOptions) -> Vec<String> {
    let shared = shared(options.purpose).map(str::to_owned);
    own(options).into_iter().chain(shared).collect()
}

/// Run at each start, before the first connection is let in. The user is made anew: what it may do and the password that
/// it has are this start's, whatever an earlier one gave it.
pub(crate) fn init_sql(options: &MariaDbOptions, password: &Secret) -> String {
    let rights = match options.purpose {
        Purpose::Keeping => format!("GRANT ALL PRIVILEGES ON `{DATABASE}`.* TO '{USER}'@'%'"),
        Purpose::Testing | Purpose::Measuring => {
            format!("GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'%' WITH GRANT OPTION")
        }
    };
    let password = password.as_str();
    let user = match options.mysqld {
        // It replaces no user, and has a root without a password.
        Some(_) => format!(
            "ALTER USER 'root'@'localhost' ACCOUNT LOCK;\n\
             DROP USER IF EXISTS '{USER}'@'%';\n\
             CREATE USER '{USER}'@'%' IDENTIFIED BY '{password}'"
        ),
        None => format!("CREATE OR REPLACE USER '{USER}'@'%' IDENTIFIED BY '{password}'"),
    };
    format!("CREATE DATABASE IF NOT EXISTS `{DATABASE}`;\n{user};\n{rights};\n")
}

/// What MariaDB and MySQL call differently. SQL neither reads nor writes files.
fn own(options: &MariaDbOptions) -> Vec<String> {
    let size = redo_log(options.purpose);
    match options.mysqld {
        Some(_) => vec![
            "--secure-file-priv=NULL".to_owned(),
            format!("--innodb-redo-log-capacity={size}"),
            // It would listen on a second port, which is the same for all.
            "--mysqlx=OFF".to_owned(),
        ],
        None => vec![
            // No file has a path below this one.
            "--secure-file-priv=/dev/null".to_owned(),
            format!("--innodb-log-file-size={size}"),
        ],
    }
}

fn redo_log(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Keeping => "96M",
        // The server allocates it whole at its first start.
        Purpose::Testing => "32M",
        // Minutes of thousands of orders a second fit in. When it is nearly full, all connections may spin for minutes on
        // one processor before the thread that would empty it gets its turn: with 16M at once, with 96M now and then.
        Purpose::Measuring => "1G",
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
        // It reads a statement from each line.
        assert!(sql.lines().all(|line| line.ends_with(';')), "{sql}");
        assert!(sql.contains("ACCOUNT LOCK"), "{sql}");
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
