//! Opens streams to Redis servers, with TLS or without.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::config::HostPort;

/// What commands and replies go over.
pub(super) type Stream = Either<TcpStream, TlsStream<TcpStream>>;

/// How the servers of one address are spoken to.
pub(super) struct Dialer(Option<TlsConnector>);

impl Dialer {
    pub(super) fn new(tls: Option<Arc<ClientConfig>>) -> Self {
        Self(tls.map(TlsConnector::from))
    }

    /// What is said of a server that lets a connection wait.
    pub(super) fn silence(&self) -> &'static str {
        match self.0 {
            None => "no connection in time",
            Some(_) => "no connection with TLS in time; it may speak none on this port",
        }
    }

    /// Looks the server's name up, and opens a stream to it. There is no limit of time here.
    ///
    /// # Errors
    /// The name leads nowhere, nobody listens, or TLS is not agreed on.
    pub(super) async fn open(&self, server: &HostPort) -> std::io::Result<Stream> {
        let stream = TcpStream::connect((server.host.as_str(), server.port)).await?;
        stream.set_nodelay(true)?;
        let Some(connector) = &self.0 else {
            return Ok(Either::Left(stream));
        };
        let name = ServerName::try_from(server.host.clone()).map_err(std::io::Error::other)?;
        Ok(Either::Right(connector.connect(name, stream).await?))
    }
}
