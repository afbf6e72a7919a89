//! Sends one request to an admin listener, over TCP or a Unix socket, and reads the whole answer.
//!
//! Each request opens a connection of its own. On a kept connection, a process that has been replaced at its address
//! would still be asked.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::admin_url::AdminUrl;

/// Most bytes of an answer; far more than any admin listener sends.
const LARGEST_ANSWER: usize = 16 << 20;

/// How long the parts of a request may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time limit for the connection. A machine that is gone may not even refuse it.
    pub connect: Duration,
    /// Time limit for the whole answer, including the connection.
    pub answer: Duration,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// No connection could be made, so nobody got the request.
    NotConnected(io::Error),
    /// The connection broke before the answer began.
    Broken(hyper::Error),
    /// The answer broke off, or is larger than the limit.
    BrokeOff(Box<dyn Error + Send + Sync>),
    /// The answer did not come in time.
    Late,
}

impl NoAnswer {
    /// The innermost cause, which is the system's own message.
    #[must_use]
    pub fn cause(&self) -> String {
        match self {
            Self::NotConnected(error) => innermost(error),
            Self::Broken(error) => innermost(error),
            Self::BrokeOff(error) => innermost(error.as_ref()),
            Self::Late => "operation timed out".into(),
        }
    }
}

/// Sends `request` to the listener at `url`, and reads its answer. The request's URI must be a path with or without a
/// query.
///
/// # Errors
/// The whole answer could not be read.
pub async fn send(
    url: &AdminUrl,
    request: Request<Bytes>,
    limits: Limits,
) -> Result<Response<Bytes>, NoAnswer> {
    timeout(limits.answer, send_to(url, request, limits.connect))
        .await
        .unwrap_or(Err(NoAnswer::Late))
}

async fn send_to(
    url: &AdminUrl,
    mut request: Request<Bytes>,
    limit: Duration,
) -> Result<Response<Bytes>, NoAnswer> {
    let host = match url {
        AdminUrl::Tcp(authority) => authority,
        AdminUrl::Unix(_) => "localhost",
    };
    let unnameable =
        |error| NoAnswer::NotConnected(io::Error::new(io::ErrorKind::InvalidInput, error));
    let host = HeaderValue::from_str(host).map_err(unnameable)?;
    request.headers_mut().insert(HOST, host);
    match url {
        AdminUrl::Tcp(authority) => {
            let stream = connect(connect_to_host(authority, limit), limit).await?;
            exchange(stream, request).await
        }
        AdminUrl::Unix(path) => {
            let stream = connect(UnixStream::connect(path), limit).await?;
            exchange(stream, request).await
        }
    }
}

async fn connect<S>(
    connecting: impl Future<Output = io::Result<S>>,
    limit: Duration,
) -> Result<S, NoAnswer> {
    timeout(limit, connecting)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(NoAnswer::NotConnected)
}

async fn connect_to_host(authority: &str, limit: Duration) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = lookup_host(authority).await?.collect();
    connect_to_any(&addresses, limit).await
}

/// Connects to the first of these addresses that accepts. Each gets the same part of the time, so that one that leads
/// nowhere leaves time for the next.
async fn connect_to_any(addresses: &[SocketAddr], limit: Duration) -> io::Result<TcpStream> {
    let parts = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no addresses");
    for address in addresses {
        match timeout(limit / parts, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = error,
            Err(_) => failure = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failure)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, NoAnswer> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(NoAnswer::Broken)?;
    // Dropping the set ends the connection's task.
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let answer = sender.send_request(request.map(Full::new)).await;
    let (head, body) = answer.map_err(NoAnswer::Broken)?.into_parts();
    let body = Limited::new(body, LARGEST_ANSWER).collect().await;
    let body = body.map_err(NoAnswer::BrokeOff)?;
    Ok(Response::from_parts(head, body.to_bytes()))
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    const LIMITS: Limits = Limits {
        connect: Duration::from_secs(20),
        answer: Duration::from_secs(20),
    };

    async fn listener() -> (TcpListener, AdminUrl) {
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("an address");
        (socket, AdminUrl::Tcp(address.to_string()))
    }

    fn request() -> Request<Bytes> {
        let request = Request::post("/reload?a=b").body(Bytes::new());
        request.expect("a request")
    }

    #[tokio::test]
    async fn the_whole_answer_is_read() {
        let (socket, url) = listener().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = socket.accept().await.expect("a connection");
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.expect("a head");
            let answer = b"HTTP/1.1 409 Conflict\r\ncontent-length: 2\r\n\r\nno";
            stream.write_all(answer).await.expect("written");
            String::from_utf8_lossy(&head[..read]).into_owned()
        });
        let answer = send(&url, request(), LIMITS).await.expect("an answer");
        assert_eq!(answer.status(), http::StatusCode::CONFLICT);
        assert_eq!(answer.body(), "no");
        let asked = server.await.expect("a request");
        assert!(
            asked.starts_with("POST /reload?a=b HTTP/1.1\r\n"),
            "{asked}"
        );
        let AdminUrl::Tcp(authority) = &url else {
            panic!("{url} is no TCP address");
        };
        assert!(asked.contains(&format!("host: {authority}\r\n")), "{asked}");
    }

    /// A listener whose queue is full answers no connection, as an address that leads nowhere.
    #[tokio::test]
    async fn an_address_that_leads_nowhere_leaves_time_for_the_next() {
        let full = TcpSocket::new_v4().expect("a socket");
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        full.bind(any_port).expect("a port");
        let full = full.listen(1).expect("a listener");
        let nowhere = full.local_addr().expect("an address");
        let soon = Duration::from_millis(200);
        let mut waiting = Vec::new();
        while let Ok(Ok(stream)) = timeout(soon, TcpStream::connect(nowhere)).await {
            waiting.push(stream);
        }
        let (socket, _) = listener().await;
        let good = socket.local_addr().expect("an address");
        let limit = Duration::from_secs(2);
        let stream = connect_to_any(&[nowhere, good], limit).await;
        let peer = stream.and_then(|stream| stream.peer_addr());
        assert_eq!(peer.expect("a connection"), good);
        let failure = connect_to_any(&[nowhere], soon).await.expect_err("nobody");
        assert_eq!(failure.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn it_is_told_why_there_is_no_answer() {
        let (socket, url) = listener().await;
        let server = tokio::spawn(async move {
            for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"] {
                let (mut stream, _) = socket.accept().await.expect("a connection");
                let read = stream.read(&mut [0; 4096]).await.expect("a head");
                assert!(read > 0);
                stream.write_all(answer.as_bytes()).await.expect("written");
            }
        });
        let broken = send(&url, request(), LIMITS).await.expect_err("none");
        assert!(matches!(broken, NoAnswer::Broken(_)), "{broken:?}");
        let broke_off = send(&url, request(), LIMITS).await.expect_err("half");
        assert!(matches!(broke_off, NoAnswer::BrokeOff(_)), "{broke_off:?}");
        let soon = Limits {
            answer: Duration::from_millis(50),
            ..LIMITS
        };
        let (_silent, unheard) = listener().await;
        let late = send(&unheard, request(), soon).await.expect_err("none");
        assert!(matches!(late, NoAnswer::Late), "{late:?}");
        server.await.expect("two connections");
        let refused = send(&url, request(), LIMITS).await.expect_err("nobody");
        assert!(matches!(refused, NoAnswer::NotConnected(_)), "{refused:?}");
        assert!(refused.cause().contains("refused"), "{}", refused.cause());
    }
}
