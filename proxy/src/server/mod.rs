//! The running process, from its start to its end: pingora's server with its services, sockets, signals and the order in
//! which it all begins and stops.
//!
//! Here things are put together. Nothing here looks at a request, and no other room imports this one.

mod pingora;
mod run;
mod signals;
mod sockets;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::{Config, ConfigError, TlsError};

pub use run::serve;

/// Why the proxy does not serve.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A certificate can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address can't be listened on.
    #[error("can't listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// There is no admin token to be had.
    #[error("`server.admin_token_file`: {0}")]
    Token(String),
    /// A file can't be written or opened.
    #[error("{}: {error}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// pingora ended, or never began.
    #[error("{0}")]
    Internal(String),
}

impl StartError {
    /// The process's exit code: 2 for a wrong setting, 1 for anything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Tls(_) | Self::Token(_) => 2,
            _ => 1,
        }
    }
}

/// Checks everything about a configuration that can be checked without serving. Says what its names stand for, in lines that
/// begin with `#`; one that stands for nothing may come to do so later.
///
/// # Errors
/// A certificate can't be used.
pub async fn check(config: &Config) -> Result<String, StartError> {
    crate::downstream::entrance::certificates(&config.listen)?;
    Ok(crate::names::describe(config).await)
}
