//! The process that sends a [`Job`], seen from the one that started it.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};

use super::StreamResult;
use super::sender::Job;

/// Requests to one server, under way. They end with this process, however it ends.
pub struct Stream {
    sender: Child,
    /// The end of its input stops the sender.
    input: ChildStdin,
}

impl Stream {
    /// Runs `command` with an argument added, which must be this program, and tells it what to send.
    pub(super) async fn start(mut command: Command, job: &Job) -> Result<Self> {
        let mut sender = command
            .arg("send")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the load generator")?;
        let mut input = sender.stdin.take().context("no standard input")?;
        let line = serde_json::to_string(job)? + "\n";
        // If the sender has ended already, its own message says more than this error.
        _ = input.write_all(line.as_bytes()).await;
        Ok(Self { sender, input })
    }

    /// Ends the stream, waits for the answers to all that was due by then, and returns the results.
    pub async fn stop(self) -> Result<StreamResult> {
        result(self.end()).await
    }

    /// Ends these streams at the same time, otherwise as [`Stream::stop`].
    pub async fn stop_all(streams: impl IntoIterator<Item = Self>) -> Result<Vec<StreamResult>> {
        let ended: Vec<_> = streams.into_iter().map(Self::end).collect();
        let mut measured = Vec::new();
        for sender in ended {
            measured.push(result(sender).await?);
        }
        Ok(measured)
    }

    /// Lets nothing more become due; the sender goes on until it has the answers to what was.
    fn end(self) -> Child {
        drop(self.input);
        self.sender
    }

    /// Waits until all requests are answered, and returns the results.
    pub(super) async fn measured(self) -> Result<StreamResult> {
        let _until_the_end = self.input;
        result(self.sender).await
    }
}

async fn result(sender: Child) -> Result<StreamResult> {
    let output = sender.wait_with_output().await;
    let output = output.context("waiting for the load generator")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "the load generator failed: {}",
        said.trim()
    );
    serde_json::from_slice(&output.stdout).context("reading what was measured")
}
