//! Instructions outside the kernel, as valgrind's tool callgrind counts them: a figure that depends neither on the
//! processor nor on what else runs at that hour.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Under valgrind a server is some fifty times slower; one that answers nothing for so long is stuck.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What one run of a server counted, in a folder of its own.
pub(crate) struct Counts(PathBuf);

impl Counts {
    /// Of a run that begins. What the folder held is forgotten.
    ///
    /// # Errors
    /// The folder can't be emptied.
    pub(crate) fn new(folder: PathBuf) -> Result<Self> {
        let what = || format!("making {}", folder.display());
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(what)?;
        }
        fs::create_dir_all(&folder).with_context(what)?;
        Ok(Self(folder))
    }

    /// What the server's command line begins with, so that it and its children are counted.
    pub(crate) fn wrapper(&self) -> Vec<String> {
        let files = self.0.join("%p");
        vec![
            "valgrind".to_owned(),
            "--tool=callgrind".to_owned(),
            "--trace-children=yes".to_owned(),
            format!("--callgrind-out-file={}", files.display()),
        ]
    }

    /// All that the server and its children did, once they have ended.
    ///
    /// # Errors
    /// Nothing was counted.
    pub(crate) fn total(&self) -> Result<u64> {
        let folder = fs::read_dir(&self.0);
        let folder = folder.with_context(|| format!("reading {}", self.0.display()))?;
        let mut total = None;
        for file in folder {
            let file = file.context("reading a folder")?.path();
            let text = fs::read_to_string(&file);
            let text = text.with_context(|| format!("reading {}", file.display()))?;
            total = Some(total.unwrap_or(0) + total_of(&text, &file)?);
        }
        total.context("valgrind has counted nothing")
    }
}

/// The sum in one file of callgrind.
fn total_of(text: &str, file: &Path) -> Result<u64> {
    let total = text.lines().find_map(|line| line.strip_prefix("totals:"));
    total
        .and_then(|total| total.trim().parse().ok())
        .with_context(|| format!("no total in {}", file.display()))
}

/// Asks for `path` so many times over each of so many connections, all of them at once.
///
/// # Errors
/// An answer is none, or is not 200.
pub(crate) async fn ask(port: u16, path: &str, connections: u32, times: u32) -> Result<()> {
    let asking = (0..connections).map(|_| ask_on_one(port, path.to_owned(), times));
    let asking: Vec<_> = asking.map(tokio::spawn).collect();
    for asked in asking {
        asked.await.context("asking")??;
    }
    Ok(())
}

async fn ask_on_one(port: u16, path: String, times: u32) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect(address).await.context("connecting")?;
    stream.set_nodelay(true).context("connecting")?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let mut read = Vec::new();
    for _ in 0..times {
        stream
            .write_all(request.as_bytes())
            .await
            .context("asking")?;
        loop {
            if let Some(length) = answer_length(&read)? {
                read.drain(..length);
                break;
            }
            let more = timeout(ANSWER_LIMIT, stream.read_buf(&mut read)).await;
            let more = more.context("no answer in time")?.context("reading")?;
            ensure!(more > 0, "the connection was closed");
        }
    }
    Ok(())
}

/// How long the answer at the beginning of these bytes is; nothing if it is not whole.
fn answer_length(read: &[u8]) -> Result<Option<usize>> {
    let end = read.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let Some(head_bytes) = end.map(|end| end + 4) else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&read[..head_bytes]);
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    ensure!(status.split(' ').nth(1) == Some("200"), "answered {status}");
    let fields = lines.filter_map(|line| line.split_once(':'));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let Some((_, length)) = lengths.next() else {
        bail!("an answer without a length: {head}");
    };
    let length: usize = length.trim().parse().context("reading a length")?;
    let whole = head_bytes + length;
    Ok((read.len() >= whole).then_some(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_all_processes_are_added() {
        let folder = tempfile::tempdir().expect("a folder");
        let counts = Counts::new(folder.path().join("run")).expect("a folder");
        assert!(counts.total().is_err());
        for (id, total) in [("7", 40), ("8", 2)] {
            let text = format!("version: 1\nsummary: 1\n\ntotals: {total}\n");
            fs::write(counts.0.join(id), text).expect("written");
        }
        assert_eq!(counts.total().expect("counted"), 42);
        let counts = Counts::new(counts.0).expect("emptied");
        fs::write(counts.0.join("9"), "version: 1\n").expect("written");
        assert!(counts.total().is_err());
    }

    #[test]
    fn an_answer_is_as_long_as_it_says() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhiHTTP";
        assert_eq!(answer_length(answer).expect("good"), Some(answer.len() - 4));
        for short in [&answer[..20], &answer[..answer.len() - 5]] {
            assert_eq!(answer_length(short).expect("good"), None);
        }
        assert!(answer_length(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n").is_err());
        assert!(answer_length(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
