//! The running process, from its start to its end.
//!
//! `run` has the order in which everything starts and stops. `pingora` runs pingora's server with its services,
//! `signals` hears the system's signals, `sockets` has the listening sockets, and `console` is the console of this
//! proxy. Nothing here looks at a request, and no other room imports this one.

mod console;
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
    /// Traces can't be sent as the environment says.
    #[error("{0}")]
    Trace(String),
    /// The admin token can't be read or made.
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
    /// pingora failed, or the metrics or threads can't be had.
    #[error("{0}")]
    Internal(String),
}

impl StartError {
    /// The process's exit code: 2 for a wrong setting, 4 for a taken port, neither of which another start would mend; 1 for
    /// anything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Tls(_) | Self::Token(_) | Self::Trace(_) => 2,
            Self::Listen { error, .. } if error.kind() == io::ErrorKind::AddrInUse => 4,
            _ => 1,
        }
    }
}

/// Checks of a configuration what can be checked without serving, beyond what reading it does. Returns what its names stand
/// for, in lines that begin with `#`; one that stands for nothing may come to do so later.
///
/// # Errors
/// A certificate can't be used.
pub async fn check(config: &Config) -> Result<String, StartError> {
    crate::downstream::entrance::certificates(&config.listen)?;
    Ok(crate::names::describe(config).await)
}
