//! `store-proxy healthcheck`: checks whether the proxy on this machine serves, for images without another program to do
//! so.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use store_server::listener::reachable;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::{AdminClient, ClientError};
use crate::config::{self, ConfigError};

/// Longest wait for an answer, and for each connection.
const LIMIT: Duration = Duration::from_secs(2);

/// Why the proxy does not seem to serve.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// The settings, which say where the proxy listens, are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The process does not answer.
    #[error(transparent)]
    Silent(#[from] ClientError),
    /// A listener for clients takes no connection.
    #[error("no connection to {address}: {error}")]
    Listener {
        /// The address of the listener.
        address: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
}

/// Asks the process with the settings in `file` for its status, and connects to each of its listeners.
///
/// # Errors
/// See [`HealthError`].
pub async fn healthcheck(file: &Path) -> Result<(), HealthError> {
    let config = config::load(file)?;
    let proxy = AdminClient::at(config.server.admin, None)?;
    let silent = |_| ClientError::Unreachable {
        admin: config.server.admin.to_string(),
        reason: format!("no answer within {LIMIT:?}"),
    };
    timeout(LIMIT, proxy.status()).await.map_err(silent)??;
    for listen in &config.listen {
        let address = reachable(listen.address);
        let connected = timeout(LIMIT, TcpStream::connect(address)).await;
        connected
            .unwrap_or_else(|late| Err(late.into()))
            .map_err(|error| HealthError::Listener { address, error })?;
    }
    Ok(())
}
