//! The other members of the fleet: whether each answers, and requests that are passed on to them.
//!
//! The page may speak to the listener that served it and to nobody else, so what it wants of another member goes through
//! here. Only members that settings name are reached, and only at paths of an admin listener. A change carries the
//! visitor's own token, which that member judges.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::exchange::{Asked, Sender, as_own};
use super::member::Member;
use super::paths::methods;
use super::{Reply, refusal};
use crate::logging::AUDIT;

/// Longest wait for something to read.
const READ_LIMIT: Duration = Duration::from_secs(4);

/// Longest wait for a change: a component is received, compiled and probed.
const CHANGE_LIMIT: Duration = Duration::from_secs(270);

/// A request to be passed on.
pub struct Forward<'a> {
    /// The member.
    pub name: &'a str,
    /// The path there.
    pub path: &'a str,
    /// The query, if there is one.
    pub query: Option<&'a str>,
    /// The method, which the path has.
    pub method: &'a Method,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Who sent it, for the audit log.
    pub peer: &'a str,
}

/// All other members.
pub(super) struct Fleet {
    sender: Sender,
    configured: Vec<Member>,
    standing: Arc<Mutex<Vec<Standing>>>,
    /// Looks that are under way.
    looks: Mutex<JoinSet<()>>,
    /// The right to receive a component that is passed on: one at a time is in this program's memory.
    uploads: Arc<Semaphore>,
}

/// What is known of a member.
struct Standing {
    member: Member,
    /// `None` before the first look.
    answers: Option<Result<(), String>>,
    since: Instant,
    /// Whether somebody looks now.
    is_looked_at: bool,
}

impl Fleet {
    pub(super) fn new(configured: Vec<Member>) -> Self {
        Self {
            sender: Sender::new(),
            configured,
            standing: Arc::default(),
            looks: Mutex::default(),
            uploads: Arc::new(Semaphore::new(1)),
        }
    }

    /// Begins to look whether each member answers: those that are configured, and those that were `found`.
    pub(super) fn look(&self, found: Vec<Member>) {
        let now = Instant::now();
        let mut standing = self.standing.lock();
        let found = found.into_iter();
        let found = found.filter(|found| self.configured.iter().all(|one| one.url != found.url));
        let wanted: Vec<Member> = self.configured.iter().cloned().chain(found).collect();
        let mut before = std::mem::take(&mut *standing);
        for member in wanted {
            let known = before.iter().position(|known| known.member == member);
            standing.push(match known {
                Some(at) => before.swap_remove(at),
                None => Standing {
                    member,
                    answers: None,
                    since: now,
                    is_looked_at: false,
                },
            });
        }
        let mut looks = self.looks.lock();
        while looks.try_join_next().is_some() {}
        for one in standing.iter_mut().filter(|one| !one.is_looked_at) {
            one.is_looked_at = true;
            let (sender, standing) = (self.sender.clone(), self.standing.clone());
            let member = one.member.clone();
            looks.spawn(async move {
                let asked = Asked {
                    method: &Method::GET,
                    path: "/healthz",
                    query: None,
                    headers: &HeaderMap::new(),
                    body: Bytes::new(),
                };
                let answers = sender.send(&member, asked, READ_LIMIT).await.map(|_| ());
                note(&standing, &member, answers);
            });
        }
    }

    /// The members as `GET /fleet` shows them.
    pub(super) fn members(&self) -> Value {
        let now = Instant::now();
        let standing = self.standing.lock();
        let members = standing.iter().map(|one| {
            json!({
                "name": one.member.name,
                "url": one.member.url,
                "state": match &one.answers {
                    None => "unknown",
                    Some(Ok(())) => "up",
                    Some(Err(_)) => "gone",
                },
                "for_s": now.saturating_duration_since(one.since).as_secs(),
                "reason": one.answers.as_ref().and_then(|answers| answers.as_ref().err()),
            })
        });
        members.collect()
    }

    /// See [`super::Console::may_upload`].
    pub(super) async fn may_upload(
        &self,
        name: &str,
        headers: &HeaderMap,
    ) -> Result<OwnedSemaphorePermit, Reply> {
        let asked = Forward {
            name,
            path: "/token",
            query: None,
            method: &Method::POST,
            headers,
            body: Bytes::new(),
            peer: "",
        };
        let answer = self.pass_on(asked, READ_LIMIT).await;
        // An older program has no such path, and judges the change itself.
        let is_allowed = answer.status().is_success() || answer.status() == StatusCode::NOT_FOUND;
        if !is_allowed {
            return Err(answer);
        }
        let detail = "another component is being passed on; try again in a moment";
        let permit = self.uploads.clone().try_acquire_owned();
        permit.map_err(|_| refusal(StatusCode::SERVICE_UNAVAILABLE, detail))
    }

    /// See [`super::Console::forward`].
    pub(super) async fn forward(&self, forward: Forward<'_>) -> Reply {
        if !methods(forward.path).contains(forward.method) {
            return refusal(StatusCode::NOT_FOUND, "no such path is passed on");
        }
        if *forward.method != Method::POST {
            return self.pass_on(forward, READ_LIMIT).await;
        }
        let (peer, member, path) = (forward.peer, forward.name, forward.path);
        let answer = self.pass_on(forward, CHANGE_LIMIT).await;
        if path != "/token" {
            let status = answer.status().as_u16();
            tracing::info!(target: AUDIT, peer, member, path, status, "Passed `{path}` on to `{member}`, which answered {status}");
        }
        answer
    }

    async fn pass_on(&self, forward: Forward<'_>, limit: Duration) -> Reply {
        let Some(member) = self.member(forward.name) else {
            let detail = format!("no member of the fleet is `{}`", forward.name);
            return refusal(StatusCode::NOT_FOUND, &detail);
        };
        if *forward.method == Method::POST && !forward.headers.contains_key(AUTHORIZATION) {
            let detail = "send the member's admin token as `Authorization: Bearer TOKEN`";
            return refusal(StatusCode::UNAUTHORIZED, detail);
        }
        let asked = Asked {
            method: forward.method,
            path: forward.path,
            query: forward.query,
            headers: forward.headers,
            body: forward.body,
        };
        match self.sender.send(&member, asked, limit).await {
            Ok(answered) => as_own(answered),
            Err(reason) => {
                let detail = format!("{} at {}: {reason}", member.name, member.url);
                note(&self.standing, &member, Err(reason));
                refusal(StatusCode::BAD_GATEWAY, &detail)
            }
        }
    }

    fn member(&self, name: &str) -> Option<Member> {
        let standing = self.standing.lock();
        let found = standing.iter().map(|one| &one.member);
        found
            .chain(&self.configured)
            .find(|one| one.name == name)
            .cloned()
    }
}

/// Keeps whether a member answers; since when, if that is new.
fn note(standing: &Mutex<Vec<Standing>>, member: &Member, answers: Result<(), String>) {
    let mut standing = standing.lock();
    let Some(one) = standing.iter_mut().find(|one| one.member == *member) else {
        return;
    };
    one.is_looked_at = false;
    let was_up = one.answers.as_ref().map(Result::is_ok);
    if was_up != Some(answers.is_ok()) {
        one.since = Instant::now();
        if let Err(reason) = &answers {
            let (member, url) = (&one.member.name, &one.member.url);
            tracing::warn!(member, %url, "`{member}`, of the console's fleet, does not answer: {reason}");
        }
    }
    one.answers = Some(answers);
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::CONTENT_TYPE;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn member(name: &str, port: u16) -> Member {
        let text = format!("{name}=http://127.0.0.1:{port}");
        text.parse().expect("a member")
    }

    fn get<'a>(name: &'a str, path: &'a str, headers: &'a HeaderMap) -> Forward<'a> {
        Forward {
            name,
            path,
            query: None,
            method: &Method::GET,
            headers,
            body: Bytes::new(),
            peer: "a test",
        }
    }

    #[tokio::test]
    async fn a_member_that_is_gone_is_shown_with_the_reason() {
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = socket.local_addr().expect("an address").port();
        drop(socket);
        let fleet = Fleet::new(vec![member("a", port)]);
        let headers = HeaderMap::new();
        let unknown = fleet.forward(get("b", "/status", &headers)).await;
        assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
        fleet.look(vec![]);
        let gone = fleet.forward(get("a", "/status", &headers)).await;
        assert_eq!(gone.status(), StatusCode::BAD_GATEWAY);
        let shown = fleet.members();
        assert_eq!(shown[0]["state"], "gone", "{shown}");
        let reason = shown[0]["reason"].as_str().expect("a reason");
        assert!(reason.contains("refused"), "{reason}");
    }

    #[tokio::test]
    async fn what_a_member_answers_is_data_and_a_change_carries_the_visitor_s_token() {
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = socket.local_addr().expect("an address").port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = socket.accept().await.expect("a connection");
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.expect("a head");
            let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nset-cookie: a=b\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
            stream.write_all(answer.as_bytes()).await.expect("written");
            String::from_utf8_lossy(&head[..read]).into_owned()
        });
        let fleet = Fleet::new(vec![member("a", port)]);
        let mut headers = HeaderMap::new();
        headers.insert("cookie", HeaderValue::from_static("secret=1"));
        headers.insert("origin", HeaderValue::from_static("http://page"));
        let mut change = get("a", "/reload", &headers);
        change.method = &Method::POST;
        let refused = fleet.forward(change).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        let mut with_token = headers.clone();
        with_token.insert("authorization", HeaderValue::from_static("Bearer t"));
        let mut change = get("a", "/reload", &with_token);
        change.method = &Method::POST;
        let answered = fleet.forward(change).await;
        assert_eq!(answered.body(), "hi");
        let type_of = &answered.headers()[CONTENT_TYPE];
        assert_eq!(type_of, "application/octet-stream");
        assert!(!answered.headers().contains_key("set-cookie"));
        let asked = server.await.expect("a request");
        assert!(asked.starts_with("POST /reload HTTP/1.1"), "{asked}");
        assert!(asked.contains("authorization: Bearer t"), "{asked}");
        assert!(
            !asked.contains("cookie") && !asked.contains("origin"),
            "{asked}"
        );
    }
}
