//! A client that sends any bytes and reads answers strictly.

use std::fmt;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::PATIENCE;
use super::wire::{self, Kind, Message, ReadResult};

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    bytes: Vec<u8>,
}

/// Why there was no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The connection ended, or was reset, before a byte of it.
    Closed,
    /// It ended within an answer, or what came was none.
    Broken(String),
    /// Nothing came for [`PATIENCE`].
    Silence,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed before a byte of the answer"),
            Self::Broken(why) => write!(f, "a broken answer: {why}"),
            Self::Silence => f.write_str("no answer"),
        }
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.unwrap()
    }

    pub(crate) async fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    /// From this address of the loopback network.
    pub(crate) async fn connect_from(source: &str, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
        Self::over(socket.connect(address).await.unwrap())
    }

    fn over(stream: TcpStream) -> Self {
        Self {
            stream,
            bytes: Vec::new(),
        }
    }

    /// Sends bytes. A proxy that has had enough may close while we send; its answer is still to be read.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn finish(&mut self) {
        _ = self.stream.shutdown().await;
    }

    /// Reads one answer.
    pub(crate) async fn try_answer(&mut self, kind: Kind) -> Result<Message, NoAnswer> {
        let mut ended = false;
        loop {
            match wire::read(&self.bytes, kind, ended) {
                ReadResult::Message(message, length) => {
                    self.bytes.drain(..length);
                    // Only a step on the way to the answer.
                    if message.status() != 100 {
                        return Ok(message);
                    }
                    continue;
                }
                ReadResult::Wrong(why) => return Err(NoAnswer::Broken(why)),
                ReadResult::Partial if ended && self.bytes.is_empty() => {
                    return Err(NoAnswer::Closed);
                }
                ReadResult::Partial if ended => {
                    let had = self.bytes.escape_ascii().to_string();
                    return Err(NoAnswer::Broken(format!("cut off after {had:?}")));
                }
                ReadResult::Partial => {}
            }
            match timeout(PATIENCE, self.stream.read_buf(&mut self.bytes)).await {
                Ok(Ok(0) | Err(_)) => ended = true,
                Ok(Ok(_)) => {}
                Err(_) => return Err(NoAnswer::Silence),
            }
        }
    }

    /// Reads one answer.
    pub(crate) async fn answer(&mut self) -> Message {
        let answer = self.try_answer(Kind::Response).await;
        answer.unwrap_or_else(|none| panic!("{none}"))
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn ask(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.send(request).await;
        self.answer().await
    }

    /// Whatever comes until the other side closes; `None` if it doesn't.
    pub(crate) async fn rest(&mut self) -> Option<Vec<u8>> {
        loop {
            match timeout(PATIENCE, self.stream.read_buf(&mut self.bytes)).await {
                Ok(Ok(0) | Err(_)) => return Some(std::mem::take(&mut self.bytes)),
                Ok(Ok(_)) => {}
                Err(_) => return None,
            }
        }
    }
}

/// A request without a body.
pub(crate) fn get(target: &str) -> String {
    request("GET", target, &[], "")
}

/// A request as most clients write it.
pub(crate) fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> String {
    let length = match method {
        "GET" | "HEAD" | "OPTIONS" if body.is_empty() => String::new(),
        _ => format!("content-length: {}\r\n", body.len()),
    };
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("{method} {target} HTTP/1.1\r\nhost: shop.example\r\n{headers}{length}\r\n{body}")
}
