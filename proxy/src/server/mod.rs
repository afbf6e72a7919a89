//! The running process, from its start to its end.
//!
//! `run` has the order in which everything starts and stops. `pingora` runs pingora's server with its services,
//! `signals` waits for the system's signals, `sockets` has the listening sockets, and `console` is the console of this
//! proxy. Nothing here looks at a request, and no other module imports this one.

mod console;
mod pingora;
mod run;
mod signals;
mod sockets;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use store_server::io_fault;

use crate::config::{Config, ConfigError, TlsError};

pub use run::serve;

/// Why the proxy can't start.
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
        /// The system's error.
        error: io::Error,
    },
    /// Tracing can't be set up as the environment says.
    #[error("{0}")]
    Trace(String),
    /// The file with the admin token can't be read or created.
    #[error("`server.admin_token_file`: {0}")]
    Token(String),
    /// A file can't be written or opened.
    #[error("{}: {error}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// Pingora failed, or metrics or threads can't be set up.
    #[error("{0}")]
    Internal(String),
}

impl StartError {
    /// The process's exit code: 2 for a wrong setting, or a port or file that the proxy may not have, and 4 for a taken
    /// port, as another start would fail too; 1 for anything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Tls(_) | Self::Token(_) | Self::Trace(_) => 2,
            Self::Listen { error, .. } if error.kind() == io::ErrorKind::AddrInUse => 4,
            Self::Listen { error, .. } | Self::File { error, .. } if io_fault::stands(error) => 2,
            _ => 1,
        }
    }
}

/// Makes the checks of a configuration that need no serving process and that reading the file does not make. Returns
/// the addresses of its names, in lines that begin with `#`; a name without addresses may get some later.
///
/// # Errors
/// A certificate can't be used.
pub async fn check(config: &Config) -> Result<String, StartError> {
    crate::downstream::entrance::certificates(&config.listen)?;
    Ok(crate::names::describe(config).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let listen = |kind: io::ErrorKind| StartError::Listen {
            address: SocketAddr::from(([127, 0, 0, 1], 80)),
            error: kind.into(),
        };
        let file = |kind: io::ErrorKind| StartError::File {
            file: "/run/store-proxy/pid".into(),
            error: kind.into(),
        };
        for (error, code) in [
            (listen(io::ErrorKind::AddrInUse), 4),
            (listen(io::ErrorKind::PermissionDenied), 2),
            (listen(io::ErrorKind::AddrNotAvailable), 1),
            (file(io::ErrorKind::PermissionDenied), 2),
            (file(io::ErrorKind::StorageFull), 1),
        ] {
            assert_eq!(error.exit_code(), code, "{error}");
        }
    }
}
