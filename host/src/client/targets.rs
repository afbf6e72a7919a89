//! The hosts that a command calls, and the token for them.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::ClientError;
use super::http::Caller;
use crate::config::{AdminUrl, Secret, duration};

/// The environment variable that may hold the token. There is no flag for the token itself, because every user of a
/// machine can read the flags of its processes.
const TOKEN_VARIABLE: &str = "STORE_HOST_ADMIN_TOKEN";

/// Which hosts, and how they are asked.
#[derive(Debug, Args)]
pub struct Targets {
    /// A host's admin interface, as http://host:port or unix:/path; give it several times for several hosts
    #[arg(
        long = "admin",
        env = "STORE_HOST_ADMIN",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:5100"
    )]
    pub admin: Vec<AdminUrl>,

    /// File with the admin token; without it, STORE_HOST_ADMIN_TOKEN is the token
    #[arg(long, env = "STORE_HOST_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,

    /// Longest wait for each host's answer; a large component takes a while to compile
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
    pub timeout: Duration,
}

impl Targets {
    /// A caller with the token and the timeout of the command line.
    pub(super) fn caller(&self) -> Result<Caller, ClientError> {
        Ok(Caller {
            token: self.token()?,
            timeout: self.timeout,
        })
    }

    /// Calls `ask` for one host after the other, and stops at the first that fails.
    pub(super) async fn each(
        &self,
        mut ask: impl AsyncFnMut(&AdminUrl) -> Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        for (number, admin) in (1..).zip(&self.admin) {
            ask(admin)
                .await
                .map_err(|error| error.before(&self.admin[number..]))?;
        }
        Ok(())
    }

    /// Calls `ask` for every host, even after one has failed.
    ///
    /// # Errors
    /// The errors of all hosts that failed.
    pub(super) async fn all(
        &self,
        mut ask: impl AsyncFnMut(&AdminUrl) -> Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        let mut failed = Vec::new();
        for admin in &self.admin {
            failed.extend(ask(admin).await.err());
        }
        if failed.is_empty() {
            Ok(())
        } else {
            Err(ClientError::Several(failed))
        }
    }

    fn token(&self) -> Result<Option<Secret>, ClientError> {
        let text = match &self.admin_token_file {
            Some(path) => std::fs::read_to_string(path).map_err(|source| ClientError::File {
                path: path.clone(),
                source,
            })?,
            None => std::env::var(TOKEN_VARIABLE).unwrap_or_default(),
        };
        let token = text.trim();
        Ok((!token.is_empty()).then(|| Secret(token.to_owned())))
    }
}
