//! A stand-in for a service manager: the socket that `NOTIFY_SOCKET` names (`sd_notify(3)`).

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// The watchdog message, which a server sends as a sign of life.
const LIFE: &str = "WATCHDOG=1";

/// Receives the messages of one server.
#[derive(Debug)]
pub struct ServiceManager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl ServiceManager {
    /// Makes the socket in `folder`. Waits up to `patience` for each message.
    ///
    /// # Errors
    /// When the socket can't be made.
    pub fn start(folder: &Path, patience: Duration) -> Result<Self> {
        let path = folder.join("notify");
        let bound = UnixDatagram::bind(&path);
        let socket = bound.with_context(|| format!("making {}", path.display()))?;
        socket.set_read_timeout(Some(patience))?;
        Ok(Self { socket, path })
    }

    /// The environment variables that name the socket, and make a server send at least five watchdog messages a second.
    pub fn variables(&self) -> Vec<(String, String)> {
        let path = self.path.display().to_string();
        let variables = [
            ("NOTIFY_SOCKET", path.as_str()),
            ("WATCHDOG_USEC", "200000"),
        ];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        variables.map(owned).into()
    }

    /// Waits for a message with all of these lines. Skips watchdog messages.
    ///
    /// # Errors
    /// When another message arrives, or none in time.
    pub fn hears(&self, lines: &[&str]) -> Result<()> {
        loop {
            let message = self.message()?;
            if message.trim() == LIFE {
                continue;
            }
            let said: Vec<&str> = message.lines().collect();
            let is_it = lines.iter().all(|line| said.contains(line));
            ensure!(is_it, "the server said {said:?}, not {lines:?}");
            return Ok(());
        }
    }

    /// Waits for a watchdog message.
    ///
    /// # Errors
    /// When another message arrives, or none in time.
    pub fn sees_life(&self) -> Result<()> {
        let message = self.message()?;
        ensure!(message == "WATCHDOG=1\n", "the server said {message:?}");
        Ok(())
    }

    fn message(&self) -> Result<String> {
        let mut buffer = [0; 1024];
        let received = self.socket.recv(&mut buffer);
        let length = received.context("waiting for a message of the server")?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }
}
