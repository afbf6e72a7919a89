//! How long an answer of a server is waited for.

use std::time::Duration;

use tokio::time::timeout;

use super::group::WriterTenure;

/// The longest wait for an answer.
#[derive(Clone)]
pub(super) struct AnswerLimit {
    pub(super) time: Duration,
    /// Present if the server is a member of a group: the wait also ends shortly after the member has ceased to be the
    /// writer.
    pub(super) tenure: Option<WriterTenure>,
}

/// Waits for the server's answer, up to `limit`. After that it returns an I/O error, as for a broken connection.
pub(super) async fn within<T>(
    limit: &AnswerLimit,
    answer: impl Future<Output = mysql_async::Result<T>>,
) -> mysql_async::Result<T> {
    let silent = |reason| std::io::Error::new(std::io::ErrorKind::TimedOut, reason);
    let answer = timeout(limit.time, answer);
    let answer = match &limit.tenure {
        None => answer.await,
        Some(tenure) => tokio::select! {
            biased;
            answer = answer => answer,
            () = tenure.over() => return Err(silent("no answer, and this MySQL member is not the writer").into()),
        },
    };
    answer.map_err(|_| silent("no answer in time"))?
}
