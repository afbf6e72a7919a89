//! Instructions outside the kernel, as valgrind's tool callgrind counts them: a figure that depends neither on the
//! processor nor on what else runs at that hour.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Under valgrind a server is some fifty times slower; one that answers nothing for so long is stuck.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The file with what one run of a server counted.
pub(crate) struct Counts(PathBuf);

impl Counts {
    /// Of a run that begins. What the file held is forgotten.
    ///
    /// # Errors
    /// The file can't be removed.
    pub(crate) fn new(file: PathBuf) -> Result<Self> {
        if file.exists() {
            fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
        }
        Ok(Self(file))
    }

    /// What the server's command line begins with, so that it is counted. Its children are not.
    pub(crate) fn wrapper(&self) -> [String; 3] {
        [
            "valgrind".to_owned(),
            "--tool=callgrind".to_owned(),
            format!("--callgrind-out-file={}", self.0.display()),
        ]
    }

    /// All that the server did, once it has ended.
    ///
    /// # Errors
    /// Nothing was counted.
    pub(crate) fn total(&self) -> Result<u64> {
        let what = || format!("reading {}", self.0.display());
        let text = fs::read_to_string(&self.0).with_context(what)?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals:"));
        total
            .and_then(|total| total.trim().parse().ok())
            .with_context(what)
    }
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
    fn what_was_counted_is_read_once_the_server_has_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("counted");
        let counts = Counts::new(file.clone()).expect("nothing there");
        assert!(counts.total().is_err());
        fs::write(&file, "version: 1\nsummary: 1\n").expect("written");
        assert!(counts.total().is_err());
        fs::write(&file, "version: 1\nsummary: 1\n\ntotals: 42\n").expect("written");
        assert_eq!(counts.total().expect("counted"), 42);
        let counts = Counts::new(file).expect("removed");
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
