//! Requests at a low fixed rate from several addresses of this machine, which the other generators can't do.
//!
//! The requests are spaced to the millisecond, and timed from the moment at which each was due. A separate thread sends
//! them, so that other work of this process does not delay them.

use std::net::IpAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::stream_result::Tally;
use super::{Request, StreamResult};

/// How long to wait for an answer: longer than the servers' own limit.
const PATIENCE: Duration = Duration::from_secs(40);

/// Clients that send requests in turn, until stopped.
pub(crate) struct Clients {
    stop: Arc<Notify>,
    thread: JoinHandle<Result<StreamResult>>,
}

/// How long a request took, or why it failed.
type Outcome = Result<Duration, String>;

impl Clients {
    /// Starts to send `rate` requests per second to the server at `base`, from each of `addresses` in turn.
    pub(crate) fn start(
        base: &str,
        addresses: &[IpAddr],
        rate: u32,
        requests: impl Iterator<Item = Request> + Send + 'static,
    ) -> Result<Self> {
        let clients: Vec<Client> = addresses
            .iter()
            .map(|address| {
                let client = Client::builder().local_address(*address);
                client.no_proxy().timeout(PATIENCE).build()
            })
            .collect::<Result<_, _>>()
            .context("making clients")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting a runtime")?;
        let stop = Arc::new(Notify::new());
        let (stopped, base) = (stop.clone(), base.to_owned());
        let thread = thread::Builder::new()
            .name("clients".to_owned())
            .spawn(move || {
                let sending = send(&base, &clients, rate, requests, &stopped);
                runtime.block_on(sending)
            })
            .context("starting a thread")?;
        Ok(Self { stop, thread })
    }

    /// Stops sending, waits for the missing answers, and returns the results.
    pub(crate) async fn stop(self) -> Result<StreamResult> {
        self.stop.notify_one();
        let ended = tokio::task::spawn_blocking(move || self.thread.join()).await;
        ended
            .context("waiting for the clients")?
            .map_err(|_| anyhow!("a client failed"))?
    }
}

async fn send(
    base: &str,
    clients: &[Client],
    rate: u32,
    requests: impl Iterator<Item = Request>,
    stop: &Notify,
) -> Result<StreamResult> {
    let began = Instant::now();
    let mut under_way: JoinSet<Outcome> = JoinSet::new();
    let sending = (0_u32..).zip(requests).zip(clients.iter().cycle());
    let mut stopped = std::pin::pin!(stop.notified());
    for ((number, request), client) in sending {
        let due = began + Duration::from_secs_f64(f64::from(number) / f64::from(rate));
        tokio::select! {
            biased;
            () = &mut stopped => break,
            () = sleep_until(due) => {}
        }
        let method = match request.body {
            Some(_) => Method::POST,
            None => Method::GET,
        };
        let mut asked = client.request(method, format!("{base}{}", request.path));
        if let Some(body) = request.body {
            asked = asked.header(CONTENT_TYPE, "application/json").body(body);
        }
        under_way.spawn(outcome(asked, due));
    }
    let seconds = began.elapsed().as_secs_f64();
    let mut tally = Tally::default();
    for outcome in under_way.join_all().await {
        match outcome {
            Ok(took) => tally.answered(took),
            Err(reason) => tally.fail(&reason, 1),
        }
    }
    Ok(tally.measured("clients", seconds))
}

async fn outcome(request: reqwest::RequestBuilder, due: Instant) -> Outcome {
    let answer = request.send().await.map_err(|error| reason(&error))?;
    let status = answer.status();
    answer.bytes().await.map_err(|error| reason(&error))?;
    if !status.is_success() {
        return Err(status.as_str().to_owned());
    }
    Ok(due.elapsed())
}

/// The innermost cause of an error. The outer causes contain the URL, so each URL would be counted separately.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn each_address_sends_its_requests() {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", server.local_addr().expect("bound"));
        let addresses = ["127.0.0.2", "127.0.0.3"].map(|text| text.parse().expect("an address"));
        let request = Request {
            path: "/x".to_owned(),
            body: Some("{}".to_owned()),
        };
        let clients = Clients::start(&base, &addresses, 1000, std::iter::repeat(request));
        let clients = clients.expect("started");
        let mut seen = HashSet::new();
        while seen.len() < 2 {
            let (mut stream, from) = server.accept().await.expect("a client");
            let mut head = [0; 1024];
            let length = stream.read(&mut head).await.expect("a head");
            assert!(head[..length].starts_with(b"POST /x HTTP/1.1\r\n"));
            let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).await.expect("taken");
            seen.insert(from.ip());
        }
        drop(server);
        let measured = clients.stop().await.expect("measured");
        assert!(measured.requests >= 2, "{measured:?}");
        assert_eq!(seen, HashSet::from(addresses));
    }
}
