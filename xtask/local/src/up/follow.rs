//! Showing a log file in the terminal while a host writes it.

use std::io::{self, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncSeekExt, BufReader};
use tokio::sync::watch;
use tokio::time::sleep;

/// Between two looks at a log that has nothing new.
const INTERVAL: Duration = Duration::from_millis(100);

/// Prints each complete line of the log from byte `start` on behind `label`, until the writer has `ended` and all is
/// printed.
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
        // Read before the look at the file: what was written before the end is still printed.
        let last_look = *ended.borrow();
        let read = reader
            .read_until(b'\n', &mut line)
            .await
            .with_context(|| format!("reading {}", log.display()))?;
        if line.ends_with(b"\n") {
            // A terminal that has gone away is no reason to stop the store.
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
