//! A MySQL server that somebody else runs, for tests and for nothing else.

use anyhow::{Context, Result};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};

/// What databases of tests begin with there, so that nobody's own is taken for one.
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

    /// Makes an empty database, and gives its URL. One that an earlier run left there is gone with that.
    ///
    /// # Errors
    /// When the server can't be reached or refuses; the message does not have its password.
    pub(crate) async fn fresh_database(&self, name: &str) -> Result<String> {
        let name = format!("{PREFIX}_{name}");
        // What is wrong with it may be said with its password.
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
