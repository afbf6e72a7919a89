//! A client that knows both proxies, and goes to the next proxy when one does not answer.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::history::{Answer, Errand, History, Tally, Try};

/// The time limit for a connection; both ends are on one network.
const CONNECTING: Duration = Duration::from_millis(300);

/// A client that makes one request at a time.
pub(super) struct Client {
    number: u32,
    http: reqwest::Client,
    urls: Vec<String>,
    /// The index of the proxy that it uses.
    at: usize,
    tally: Arc<Tally>,
    pub(super) history: History,
}

/// A request of a client.
pub(super) struct Message<'a> {
    pub(super) errand: Errand,
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) body: Option<&'a str>,
    pub(super) key: Option<&'a str>,
    /// How long the answer may take.
    pub(super) patience: Duration,
}

/// The result of a request.
#[derive(Debug)]
pub(super) enum Reply {
    Status(StatusCode, Value),
    NoConnection,
    Broken,
}

impl Client {
    pub(super) fn new(number: u32, urls: &[String], tally: Arc<Tally>) -> Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECTING)
            .build();
        Ok(Self {
            number,
            http: http.context("making an HTTP client")?,
            urls: urls.to_owned(),
            at: number as usize % urls.len(),
            tally,
            history: History::default(),
        })
    }

    /// Sends the request once, and notes the result. `is_good` says whether a status is a correct answer.
    pub(super) async fn send(
        &mut self,
        message: &Message<'_>,
        is_good: impl Fn(StatusCode, &Value) -> bool,
    ) -> Reply {
        let began = self.tally.began.elapsed();
        let reply = self.exchange(message).await;
        let answer = match &reply {
            Reply::Status(status, body) if is_good(*status, body) => Answer::Good,
            Reply::Status(status, _) => Answer::Bad(status.as_u16()),
            Reply::NoConnection => Answer::NoConnection,
            Reply::Broken => Answer::Broken,
        };
        self.tally.count(answer);
        self.history.tries.push(Try {
            client: self.number,
            errand: message.errand,
            began,
            ended: self.tally.began.elapsed(),
            answer,
        });
        if answer != Answer::Good {
            self.at = (self.at + 1) % self.urls.len();
        }
        reply
    }

    async fn exchange(&self, message: &Message<'_>) -> Reply {
        let url = format!("{}{}", self.urls[self.at], message.path);
        let mut request = self.http.request(message.method.clone(), url);
        request = request.timeout(message.patience);
        if let Some(body) = message.body {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_owned());
        }
        if let Some(key) = message.key {
            request = request.header("idempotency-key", key);
        }
        match request.send().await {
            Ok(answer) => {
                let status = answer.status();
                match answer.json().await {
                    Ok(body) => Reply::Status(status, body),
                    Err(_) => Reply::Broken,
                }
            }
            Err(error) if error.is_connect() => Reply::NoConnection,
            Err(_) => Reply::Broken,
        }
    }
}
