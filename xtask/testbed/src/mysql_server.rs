//! A MySQL server that somebody else runs, used for tests only.

use anyhow::{Context, Result};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};

/// The prefix of test databases there, so that no other database is taken for one of them.
const PREFIX: &str = "store_test";

/// The server at one URL.
#[derive(Debug)]
pub(crate) struct MysqlServer {
    /// `mysql://user:password@host:port`.
    url: String,
}

impl MysqlServer {
    pub(crate) fn new(url: String) -> Self {
        Self { url }
    }

    /// Makes an empty database and returns its URL. Drops a database that an earlier run left.
    ///
    /// # Errors
    /// When the server can't be reached or refuses; the message doesn't contain the password.
    pub(crate) async fn fresh_database(&self, name: &str) -> Result<String> {
        let name = format!("{PREFIX}_{name}");
        // The error may contain the password, so it is dropped.
        let opts = Opts::from_url(&self.url).ok();
        let opts = opts.with_context(|| {
            let variable = xtask::mysql::VARIABLE;
            format!("{variable} is not mysql://user:password@host:port")
        })?;
        let at = format!("{}:{}", opts.ip_or_hostname(), opts.tcp_port());
        let opts = OptsBuilder::from_opts(opts).prefer_socket(false);
        let connected = Conn::new(opts).await;
        let mut conn = connected.with_context(|| format!("connecting to MySQL at {at}"))?;
        for statement in [
            format!("DROP DATABASE IF EXISTS `{name}`"),
            format!("CREATE DATABASE `{name}`"),
        ] {
            let done = conn.query_drop(statement.as_str()).await;
            done.with_context(|| format!("{statement}, at {at}"))?;
        }
        conn.disconnect().await.context("disconnecting")?;
        Ok(format!("{}/{name}", self.url))
    }
}
