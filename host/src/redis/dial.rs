//! Opens streams to Redis servers, with TLS or without.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::config::HostPort;

/// The stream that carries commands and replies.
pub(super) type Stream = Either<TcpStream, TlsStream<TcpStream>>;

/// Opens streams to the servers of one address.
pub(super) struct Dialer(Option<TlsConnector>);

impl Dialer {
    pub(super) fn new(tls: Option<Arc<ClientConfig>>) -> Self {
        Self(tls.map(TlsConnector::from))
    }

    /// The error text for a server that does not answer while a connection is opened.
    pub(super) fn silence(&self) -> &'static str {
        match self.0 {
            None => "no connection in time",
            Some(_) => "no connection with TLS in time; it may speak none on this port",
        }
    }

    /// Resolves the server's name, and opens a stream to it. There is no time limit here.
    ///
    /// # Errors
    /// The name has no address, no server listens there, or client and server don't agree on TLS.
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
