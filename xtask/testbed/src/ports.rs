//! TCP ports for servers that can't pick a port themselves.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::polling::poll_until;
use crate::process::Process;

/// How often a server is started again because another process took its port before the server could bind it.
const PORT_TRIES: usize = 5;

/// How long a stopped server waits for its own port. A client's outgoing connection may hold the port for a moment.
const OWN_PORT_LIMIT: Duration = Duration::from_secs(60);

/// Starts a server on its last port, which is stored in `folder`, or on a free port if that is taken. If `start` finds
/// further ports itself, it does so anew for each try.
pub(crate) async fn start_on_some_port<S, F, T>(folder: &Path, start: S) -> Result<(u16, T)>
where
    S: Fn(u16) -> F,
    F: Future<Output = Result<T>>,
{
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let memory = folder.join("port");
    let mut port = match remembered_port(&memory) {
        Some(port) => port,
        None => free_port()?,
    };
    let mut tries = 1;
    let started = loop {
        match start(port).await {
            Err(error) if says_port_taken(&error) && tries < PORT_TRIES => port = free_port()?,
            started => break started?,
        }
        tries += 1;
    };
    fs::write(&memory, port.to_string())
        .with_context(|| format!("writing {}", memory.display()))?;
    Ok((port, started))
}

/// Starts a server again on its port, which its clients know.
pub(crate) async fn start_on_own_port<S, F>(port: u16, start: S) -> Result<Process>
where
    S: Fn(u16) -> F,
    F: Future<Output = Result<Process>>,
{
    let what = format!("taking port {port} again");
    poll_until(OWN_PORT_LIMIT, &what, async || match start(port).await {
        Err(error) if says_port_taken(&error) => Ok(None),
        started => started.map(Some),
    })
    .await
}

fn remembered_port(memory: &Path) -> Option<u16> {
    fs::read_to_string(memory).ok()?.trim().parse().ok()
}

/// Starts a server on free ports that `start` finds. Repeats this if another process took one of them before the server
/// could bind it.
pub(crate) async fn again_if_port_taken<S, F, T>(start: S) -> Result<T>
where
    S: Fn() -> F,
    F: Future<Output = Result<T>>,
{
    let mut tries = 1;
    loop {
        match start().await {
            Err(error) if says_port_taken(&error) && tries < PORT_TRIES => tries += 1,
            started => return started,
        }
    }
}

/// A port of 127.0.0.1 that was free just now. The server that gets it may still find it taken.
///
/// # Errors
/// When there is no free port.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("looking for a free port")?;
    let address = listener.local_addr().context("reading the free port")?;
    Ok(address.port())
}

/// Two different free ports, as [`free_port`] finds them.
pub(crate) fn two_free_ports() -> Result<(u16, u16)> {
    let first = TcpListener::bind(("127.0.0.1", 0)).context("looking for a free port")?;
    let second = free_port()?;
    let address = first.local_addr().context("reading the free port")?;
    Ok((address.port(), second))
}

/// Whether a server failed to start because its port is taken. The error ends with the server's log, which contains the
/// wording of libc; servers written in Go write it without the capital.
pub fn says_port_taken(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("ddress already in use")
}
