//! Takes an accepted connection through its TLS handshake to `front`. The handshake has a deadline, like everything
//! that a client does.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use pingora_core::apps::ServerApp;
use pingora_core::listeners::tls::Acceptor;
use pingora_core::protocols::l4::stream::Stream as Socket;
use pingora_core::protocols::{Peek, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_error::{Error, ErrorType};
use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;
use tokio::time::timeout;

use super::front::{Front, OpenConnections};
use super::tls::Certificate;
use crate::clients::address_of;
use crate::config::{Listen, TlsError};
use crate::metrics::Reason;
use crate::table::live::LiveTable;

/// The service behind all listeners.
pub(crate) struct Entrance {
    front: Arc<Front>,
    live: Arc<LiveTable>,
    tls: Vec<TlsListener>,
    occupants: Occupants,
}

struct TlsListener {
    address: SocketAddr,
    acceptor: Acceptor,
}

/// Counts client connections, including those in a TLS handshake.
#[derive(Clone)]
pub(crate) struct Occupants {
    open: Arc<OpenConnections>,
    shaking_hands: Arc<AtomicUsize>,
}

impl Occupants {
    pub(crate) fn count(&self) -> usize {
        self.open.count() + self.shaking_hands.load(Ordering::Relaxed)
    }
}

/// One TLS handshake; counted until it is dropped.
struct Handshake(Arc<AtomicUsize>);

impl Handshake {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Entrance {
    /// `certificates` has one certificate for each listener with TLS, in the order of `listen`.
    ///
    /// # Errors
    /// TLS can't be set up.
    pub(crate) fn new(
        front: Front,
        live: Arc<LiveTable>,
        listen: &[Listen],
        certificates: &[Arc<Certificate>],
    ) -> Result<Self, rustls::Error> {
        let tls = listen
            .iter()
            .filter(|listen| listen.tls.is_some())
            .zip(certificates)
            .map(|(listen, certificate)| {
                Ok(TlsListener {
                    address: listen.address,
                    acceptor: acceptor(listen.h2, certificate.clone())?,
                })
            })
            .collect::<Result<_, rustls::Error>>()?;
        let occupants = Occupants {
            open: front.open_connections(),
            shaking_hands: Arc::default(),
        };
        Ok(Self {
            front: Arc::new(front),
            live,
            tls,
            occupants,
        })
    }

    pub(crate) fn occupants(&self) -> Occupants {
        self.occupants.clone()
    }

    /// The TLS acceptor of the stream's listener; `None` if the listener has no TLS.
    fn tls_of(&self, stream: &Stream) -> Option<&Acceptor> {
        if self.tls.is_empty() {
            return None;
        }
        let digest = stream.get_socket_digest()?;
        let local = *digest.local_addr()?.as_inet()?;
        let of_all_addresses =
            |address: SocketAddr| address.ip().is_unspecified() && address.port() == local.port();
        self.tls
            .iter()
            .find(|listener| same(listener.address, local) || of_all_addresses(listener.address))
            .map(|listener| &listener.acceptor)
    }

    async fn enter(&self, stream: Stream, shutdown: ShutdownWatch) {
        let client = client_of(&stream);
        let place = self.front.place(client);
        let stream = match self.tls_of(&stream) {
            Some(_) if place.is_err() => {
                return self.refuse(client, Reason::ClientConnections);
            }
            // In a box, so that a connection holds the memory of the handshake only while the handshake lasts.
            Some(acceptor) => match Box::pin(self.shake_hands(stream, acceptor, client)).await {
                Some(stream) => stream,
                None => return,
            },
            None => stream,
        };
        self.front.serve(stream, place, &shutdown).await;
    }

    async fn shake_hands(
        &self,
        stream: Stream,
        acceptor: &Acceptor,
        client: IpAddr,
    ) -> Option<Stream> {
        let (limit, connections) = {
            let limits = &self.live.table().config.limits;
            (limits.header_timeout, limits.connections)
        };
        let mut socket = stream.into_any().downcast::<Socket>().ok()?;
        let _handshake = Handshake::begin(&self.occupants.shaking_hands);
        if self.occupants.count() > connections {
            // Before the handshake is complete, the client can't be told why.
            self.refuse(client, Reason::Connections);
            return None;
        }
        let mut has_begun = false;
        let handshake = async {
            let silent = |error| Error::because(ErrorType::ConnectionClosed, "no byte came", error);
            socket.try_peek(&mut [0]).await.map_err(silent)?;
            has_begun = true;
            acceptor.tls_handshake(*socket).await
        };
        let shaken = timeout(limit, handshake).await;
        match shaken {
            Ok(Ok(stream)) => return Some(Box::new(stream)),
            Ok(Err(error)) if has_begun => {
                tracing::debug!(%client, %error, "TLS handshake failed");
                self.refuse(client, Reason::TlsHandshake);
            }
            Err(_) if has_begun => self.refuse(client, Reason::Timeout),
            // The client sent nothing, so there is no request to refuse.
            Ok(Err(_)) | Err(_) => {}
        }
        None
    }

    fn refuse(&self, client: IpAddr, reason: Reason) {
        let refusals = self.front.refusals();
        refusals.note_unread(client, "-", Some(reason));
    }
}

fn client_of(stream: &Stream) -> IpAddr {
    let digest = stream.get_socket_digest();
    address_of(digest.as_ref().and_then(|digest| digest.peer_addr()))
}

/// Compares addresses in their canonical form: a socket for both families reports an IPv4 address as an IPv6 one.
fn same(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
}

#[async_trait]
impl ServerApp for Entrance {
    /// Pingora's own task is large enough for any handshake. That task ends here, and a new one goes on, so that an
    /// idle connection does not hold so much memory.
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let (entrance, shutdown) = (self.clone(), shutdown.clone());
        tokio::spawn(async move { entrance.enter(stream, shutdown).await });
        None
    }

    async fn cleanup(&self) {
        self.front.cleanup().await;
    }
}

fn acceptor(h2: bool, certificate: Arc<dyn ResolvesServerCert>) -> Result<Acceptor, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    let protocols: &[&[u8]] = if h2 {
        &[b"h2", b"http/1.1"]
    } else {
        &[b"http/1.1"]
    };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(Acceptor::from_server_config(Arc::new(config)))
}

/// The certificates of all listeners that have one, in the order of `listen`.
///
/// # Errors
/// A certificate or its key can't be used.
pub(crate) fn certificates(listen: &[Listen]) -> Result<Vec<Arc<Certificate>>, TlsError> {
    let files = listen.iter().filter_map(|listen| listen.tls.as_ref());
    files.map(Certificate::load).collect()
}
