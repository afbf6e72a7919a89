//! Shows a host's log file in the terminal while the host writes it.

use std::io::{self, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncSeekExt, BufReader};
use tokio::sync::watch;
use tokio::time::sleep;

/// The wait between two checks of a log that has nothing new.
const INTERVAL: Duration = Duration::from_millis(100);

/// Prints each complete line of the log from byte `start` on, with `label` in front, until the writer has `ended` and
/// every line is printed.
pub(super) async fn follow(
    label: String,
    log: PathBuf,
    start: u64,
    ended: watch::Receiver<bool>,
) -> Result<()> {
    let mut file = File::open(&log)
        .await
        .with_context(|| format!("opening {}", log.display()))?;
    file.seek(SeekFrom::Start(start))
        .await
        .context("finding the start of a log")?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        // Read before the file, so that lines written before the end are still printed.
        let last_look = *ended.borrow();
        let read = reader
            .read_until(b'\n', &mut line)
            .await
            .with_context(|| format!("reading {}", log.display()))?;
        if line.ends_with(b"\n") {
            // If the terminal has gone away, the store still goes on.
            let _ = write!(io::stdout(), "{label} │ {}", String::from_utf8_lossy(&line));
            line.clear();
        } else if read == 0 {
            if last_look {
                return Ok(());
            }
            sleep(INTERVAL).await;
        }
    }
}
