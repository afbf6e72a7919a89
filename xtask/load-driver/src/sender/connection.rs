//! Connections to the server, with TLS if its URL says so, and with HTTP/1.1 or HTTP/2.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::HOST;
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::PATIENCE;
use crate::Target;

type Body = Full<Bytes>;

/// How to reach a server.
pub(super) struct Server {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    http2: bool,
    keep_alive: bool,
}

impl Server {
    pub(super) fn of(target: &Target) -> Result<Self> {
        let base: Uri = target.base.parse().context("reading the server's URL")?;
        let host = base.host().context("the URL has no host")?.to_owned();
        let (tls, usual_port) = match base.scheme_str() {
            Some("https") => {
                let name = ServerName::try_from(host.clone());
                let name = name.context("reading the server's name")?;
                (Some((tls(target)?, name)), 443)
            }
            _ => (None, 80),
        };
        Ok(Self {
            host,
            port: base.port_u16().unwrap_or(usual_port),
            tls,
            http2: target.http2,
            keep_alive: target.keep_alive,
        })
    }

    async fn connect(&self, from: Option<Ipv4Addr>) -> Result<Sender> {
        let stream = self.reach(from).await;
        let stream = stream.with_context(|| format!("connecting to {}", self.host))?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => self.speak(stream).await,
            Some((connector, name)) => {
                self.speak(connector.connect(name.clone(), stream).await?)
                    .await
            }
        }
    }

    /// Opens a connection from this address, or from one that the system chooses.
    async fn reach(&self, from: Option<Ipv4Addr>) -> Result<TcpStream> {
        let server = (self.host.as_str(), self.port);
        let Some(from) = from else {
            return Ok(TcpStream::connect(server).await?);
        };
        let address = lookup_host(server).await?.find(SocketAddr::is_ipv4);
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        Ok(socket.connect(address.context("no IPv4 address")?).await?)
    }

    /// Begins HTTP. A task of its own reads and writes the connection until the sender is dropped.
    async fn speak<S>(&self, stream: S) -> Result<Sender>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(stream);
        Ok(if self.http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            tokio::spawn(connection);
            Sender::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(stream).await?;
            tokio::spawn(connection);
            Sender::Http1(sender)
        })
    }
}

/// TLS that believes the target's certificate only.
fn tls(target: &Target) -> Result<TlsConnector> {
    let file: &Path = target
        .certificate
        .as_deref()
        .context("TLS needs the server's certificate")?;
    let reading = || format!("reading {}", file.display());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file).with_context(reading)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions()?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    let protocol: &[u8] = if target.http2 { b"h2" } else { b"http/1.1" };
    config.alpn_protocols = vec![protocol.to_owned()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The requests of a target, ready to send.
pub(super) fn requests(target: &Target) -> Result<Vec<Request<Body>>> {
    let requests = target.requests.iter().map(|request| {
        let url = format!("{}{}", target.base, request.path);
        let what = || format!("the URL {url}");
        let uri: Uri = url.parse().with_context(what)?;
        let authority = uri.authority().with_context(what)?.clone();
        // HTTP/2 takes scheme and host from the URI, HTTP/1.1 has the host in a header line.
        let mut made = match target.http2 {
            true => Request::builder().version(Version::HTTP_2).uri(uri),
            false => {
                let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
                let made = Request::builder().uri(path);
                made.header(HOST, authority.as_str())
            }
        };
        for (name, value) in target.header_lines(request) {
            made = made.header(name, value);
        }
        let body = Body::from(request.body.clone().unwrap_or_default());
        made.method(request.method()).body(body).with_context(what)
    });
    requests.collect()
}

/// The client's end of an open connection.
enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Sender {
    /// Whether it takes another request; if not, the connection was closed.
    async fn is_ready(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.ready().await.is_ok(),
        }
    }
}

/// A place for one connection at a time. It is opened anew when the server has closed it.
pub(super) struct Connection<'a> {
    server: &'a Server,
    /// The address of the client whose connection it is; `None` for the one that the system chooses.
    from: Option<Ipv4Addr>,
    open: Mutex<Option<Sender>>,
}

impl<'a> Connection<'a> {
    /// Connects, so that the first request does not wait for it; but not if each request has a connection of its own,
    /// or if the client has an address of its own: if the server does not let it connect, requests fail, and not the
    /// job.
    pub(super) async fn open(server: &'a Server, from: Option<Ipv4Addr>) -> Result<Self> {
        let open = match server.keep_alive && from.is_none() {
            true => {
                let connected = timeout(PATIENCE, server.connect(from)).await;
                Some(connected.context("connecting")??)
            }
            false => None,
        };
        Ok(Self {
            server,
            from,
            open: Mutex::new(open),
        })
    }

    /// Sends a request and reads its answer to the end. The error's innermost cause says what failed.
    pub(super) async fn exchange(&self, request: Request<Body>) -> Result<()> {
        let answer = self.answer(request).await?;
        let status = answer.status();
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        if !status.is_success() {
            bail!("{}", status.as_str());
        }
        Ok(())
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Incoming>> {
        // Over HTTP/2, the requests of a connection wait here while it is opened, and not for each other's answers.
        let mut open = self.open.lock().await;
        let sender = match open.take() {
            Some(mut sender) if self.server.keep_alive => sender.is_ready().await.then_some(sender),
            _ => None,
        };
        let sender = match sender {
            Some(sender) => sender,
            None => self.server.connect(self.from).await?,
        };
        match open.insert(sender) {
            Sender::Http1(sender) => {
                let answer = sender.send_request(request);
                drop(open);
                Ok(answer.await?)
            }
            Sender::Http2(sender) => {
                let answer = sender.send_request(request);
                drop(open);
                Ok(answer.await?)
            }
        }
    }
}
