//! Database migrations: numbered SQL files, each applied once and recorded in the database. `schema` compares the
//! record with the files. Requests do not use this room, and a serving host applies no migration.

mod schema;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::config::MysqlTls;
use crate::mysql::{self, Server};
use crate::outbound::{Backend, Kind, Tls};

pub use schema::NotOurSchema;
pub(crate) use schema::{check, last_applied};

use schema::{MIGRATIONS, newest};

/// How long to wait, in seconds, for the lock that lets only one process migrate a database at a time.
const LOCK_WAIT_SECONDS: u32 = 60;

const RECORD: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version INT NOT NULL PRIMARY KEY,
    name VARCHAR(255) NOT NULL,
    applied_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci";

/// The errors of a statement that an earlier, interrupted run has already carried out: the table, column or key exists,
/// or what it drops does not exist. Each statement is carried out completely or not at all.
const DONE_BEFORE: [u16; 5] = [1050, 1051, 1060, 1061, 1091];

/// Why the migration of a database failed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The URL is wrong.
    #[error("--mysql-url: {0}; write mysql://user:password@host:port/database")]
    Url(String),
    /// A file of the TLS settings is wrong.
    #[error("{0}")]
    Tls(String),
    /// The server can't be reached or refuses.
    #[error("MySQL at {address}: {source}; check that it runs, and the user, password and rights")]
    Server {
        /// The host and port.
        address: String,
        /// The driver's error.
        source: mysql_async::Error,
    },
    /// Another process is migrating and does not finish.
    #[error(
        "MySQL at {0}: another process has been migrating this database for {LOCK_WAIT_SECONDS} s"
    )]
    Locked(String),
    /// A newer `store-host` has migrated the database.
    #[error("{0}")]
    Newer(NotOurSchema),
    /// A migration failed. The migrations before it stay applied.
    #[error("migration {version:04}-{name}: {source}")]
    Migration {
        /// The number of the migration.
        version: u32,
        /// The name of the migration.
        name: &'static str,
        /// The driver's error.
        source: mysql_async::Error,
    },
}

impl MigrateError {
    /// The process's exit code: 2 for a setting, such as a password that is refused, 3 for a schema that is not this
    /// program's, 1 for the rest, which may pass.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Url(_) | Self::Tls(_) => 2,
            Self::Newer(_) => 3,
            Self::Server { source, .. } if mysql::is_refusal(source) => 2,
            Self::Server { .. } | Self::Locked(_) | Self::Migration { .. } => 1,
        }
    }
}

/// Creates the database if it is missing, and applies the migrations that are missing there. Returns their names.
///
/// # Errors
/// See [`MigrateError`]. DDL commits by itself in MySQL: a migration that fails half-way stays half applied, and the
/// next run continues it.
pub async fn migrate(url: &str, tls: &MysqlTls) -> Result<Vec<String>, MigrateError> {
    let tls = Tls::load(&tls.settings()).map_err(MigrateError::Tls)?;
    let backend = Backend::parse(url, Kind::Mysql).map_err(MigrateError::Url)?;
    backend.check_tls(&tls).map_err(MigrateError::Url)?;
    let address = backend.to_string();
    let database = backend.database();
    let database = database.ok_or_else(|| MigrateError::Url("it names no database".into()))?;
    let server = |source| MigrateError::Server {
        address: address.clone(),
        source,
    };
    let opened = connect(&backend, &tls, database).await;
    let mut conn = opened.map_err(server)?;
    // The lock belongs to the session, so it ends with the connection, however this function ends.
    let locked: Option<Option<i64>> = conn
        .exec_first(
            "SELECT GET_LOCK(CONCAT('store-migrate-', DATABASE()), ?)",
            (LOCK_WAIT_SECONDS,),
        )
        .await
        .map_err(server)?;
    if locked.flatten() != Some(1) {
        return Err(MigrateError::Locked(address));
    }
    conn.query_drop(RECORD).await.map_err(server)?;
    let applied: Vec<u32> = conn
        .query("SELECT version FROM schema_migrations")
        .await
        .map_err(server)?;
    if let Some(&found) = applied.iter().max().filter(|&&found| found > newest()) {
        return Err(MigrateError::Newer(NotOurSchema { found }));
    }
    let mut done = Vec::new();
    for (version, name, sql) in MIGRATIONS {
        if applied.contains(&version) {
            continue;
        }
        apply(&mut conn, version, name, sql)
            .await
            .map_err(|source| MigrateError::Migration {
                version,
                name,
                source,
            })?;
        done.push(format!("{version:04}-{name}"));
    }
    conn.disconnect().await.map_err(server)?;
    Ok(done)
}

async fn connect(backend: &Backend, tls: &Tls, database: &str) -> mysql_async::Result<Conn> {
    // The answers are small, so the connection needs no room for large ones.
    let server = Server::alone(&backend.without_database(), tls, 0);
    let mut conn = server.connect().await?;
    let name = database.replace('`', "``");
    conn.query_drop(format!("CREATE DATABASE IF NOT EXISTS `{name}`"))
        .await?;
    conn.query_drop(format!("USE `{name}`")).await?;
    Ok(conn)
}

async fn apply(conn: &mut Conn, version: u32, name: &str, sql: &str) -> mysql_async::Result<()> {
    for statement in statements(sql) {
        match conn.query_drop(statement).await {
            // The first migration needs an empty database. A table that it finds there belongs to somebody else.
            Err(mysql_async::Error::Server(error))
                if version > 1 && DONE_BEFORE.contains(&error.code) => {}
            outcome => outcome?,
        }
    }
    conn.exec_drop(
        "INSERT INTO schema_migrations (version, name) VALUES (?, ?)",
        (version, name),
    )
    .await
}

/// The statements of a file, without comment lines. Our migrations have no `;` inside a string.
fn statements(sql: &str) -> Vec<String> {
    let code: Vec<&str> = sql
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"))
        .collect();
    code.join("\n")
        .split(';')
        .map(str::trim)
        .filter(|statement| !statement.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_without_gaps() {
        for (index, (version, _, sql)) in MIGRATIONS.iter().enumerate() {
            assert_eq!(*version as usize, index + 1);
            assert!(!statements(sql).is_empty());
            let is_whole = |statement: &str| statement.matches('\'').count().is_multiple_of(2);
            assert!(
                statements(sql).iter().all(|one| is_whole(one)),
                "a `;` within quotes"
            );
        }
    }

    #[tokio::test]
    async fn a_wrong_url_is_not_repeated() {
        for wrong in [
            "mysql://u:secret@h:1/store?pool=secret",
            "mysql://u:secret@h:1/store?pool_min=secret",
            "mysql://u:secret@h:1/store?pool_min=9&pool_max=1",
            "mysql://u:secret@h:secret/store",
            "secret://u:secret@h:1/store",
            "secret",
            "mysql://u:secret@h:1/",
        ] {
            let outcome = migrate(wrong, &MysqlTls::default()).await;
            let error = outcome.expect_err(wrong).to_string();
            assert!(error.starts_with("--mysql-url: "), "{error}");
            assert!(!error.contains("secret"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_refused_password_is_a_setting_and_a_server_that_is_away_is_not() {
        let refused = mysql_async::Error::Server(mysql_async::ServerError {
            code: 1045,
            message: "Access denied".into(),
            state: "28000".into(),
        });
        let away = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        for (source, code) in [(refused, 2), (away.into(), 1)] {
            let address = "db:3306".to_owned();
            assert_eq!(MigrateError::Server { address, source }.exit_code(), code);
        }
    }

    #[test]
    fn comments_are_not_statements() {
        assert_eq!(
            statements("-- a; b\nCREATE a;\n\n  -- c\nCREATE b;\n"),
            ["CREATE a", "CREATE b"]
        );
    }
}
