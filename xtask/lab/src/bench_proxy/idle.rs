//! Measures the memory of idle connections.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::servers::Balancer;

/// The number of open connections.
pub(super) const CONNECTIONS: usize = 10_000;

/// How many connections are opened at once.
const AT_ONCE: usize = 64;

/// How many other files this process may have open.
const OTHER_FILES: u64 = 256;

const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The memory of each connection in KiB, over all processes of the balancer. The memory with all connections is
/// compared with the memory after a first batch, as large as are opened at once, was opened and closed.
pub(super) async fn measure(balancer: &Balancer, path: &str) -> Result<f64> {
    allow_open_files()?;
    drop(open(balancer.port(false), path, AT_ONCE).await?);
    let before = balancer.memory_kib()?;
    let held = open(balancer.port(false), path, CONNECTIONS).await?;
    let after = balancer.memory_kib()?;
    drop(held);
    Ok(after.saturating_sub(before) as f64 / CONNECTIONS as f64)
}

/// Opens `count` connections, and waits for one answer on each.
async fn open(port: u16, path: &str, count: usize) -> Result<Vec<TcpStream>> {
    let opening = stream::iter(0..count).map(|_| used(port, path));
    opening.buffer_unordered(AT_ONCE).try_collect().await
}

async fn used(port: u16, path: &str) -> Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect(address).await.context("connecting")?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = [0; 4096];
    // An answer this small arrives in one piece.
    let length = timeout(ANSWER_LIMIT, stream.read(&mut answer)).await;
    let length = length.context("no answer in time")?.context("reading")?;
    ensure!(
        answer[..length].starts_with(b"HTTP/1.1 200 "),
        "answered {}",
        String::from_utf8_lossy(&answer[..length])
    );
    Ok(stream)
}

/// Raises this process's limit of open files for that many connections.
fn allow_open_files() -> Result<()> {
    let needed = CONNECTIONS as u64 + OTHER_FILES;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("asking for limits")?;
    ensure!(
        hard >= needed,
        "the row `idle` needs {needed} open files, and {hard} are allowed: raise it with `ulimit -Hn`"
    );
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(needed), hard).context("raising a limit")
}
