//! Measures the memory of idle connections.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The number of open connections.
pub(crate) const IDLE_CONNECTIONS: usize = 10_000;

/// How many connections are opened at once.
const AT_ONCE: usize = 64;

/// How many other files this process may have open.
const OTHER_FILES: u64 = 256;

const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The memory in KiB that each connection takes which had one request, for `path`, and is now idle. `memory_kib` returns
/// the memory of the server at `base`. With all connections it is compared with what it is after a first batch, as large
/// as are opened at once, was opened and closed.
pub(crate) async fn idle_connection_kib(
    base: &str,
    path: &str,
    memory_kib: impl Fn() -> Result<u64>,
) -> Result<f64> {
    allow_open_files()?;
    let address = base.trim_start_matches("http://");
    drop(open(address, path, AT_ONCE).await?);
    let before = memory_kib()?;
    let held = open(address, path, IDLE_CONNECTIONS).await?;
    let after = memory_kib()?;
    drop(held);
    Ok(after.saturating_sub(before) as f64 / IDLE_CONNECTIONS as f64)
}

/// Opens `count` connections, and waits for one answer on each.
async fn open(address: &str, path: &str, count: usize) -> Result<Vec<TcpStream>> {
    let opening = stream::iter(0..count).map(|_| used(address, path));
    opening.buffer_unordered(AT_ONCE).try_collect().await
}

async fn used(address: &str, path: &str) -> Result<TcpStream> {
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
    let needed = IDLE_CONNECTIONS as u64 + OTHER_FILES;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("asking for limits")?;
    ensure!(
        hard >= needed,
        "the idle connections need {needed} open files, and {hard} are allowed: raise it with `ulimit -Hn`"
    );
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(needed), hard).context("raising a limit")
}
