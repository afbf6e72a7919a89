//! The other members of the fleet: whether each answers, and requests that are passed on to them.
//!
//! The page may speak to the listener that served it and to nobody else, so what it wants of another member goes through
//! here. Only members that settings name are reached, and only at paths of an admin listener. A change carries the
//! visitor's own token, which that member judges.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::member::Member;
use super::{Reply, answer, refusal};
use crate::logging::AUDIT;

/// A member on this machine or in this building connects at once.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Longest wait for something to read.
const READ_LIMIT: Duration = Duration::from_secs(4);

/// Longest wait for a change: a component is received, compiled and probed.
const CHANGE_LIMIT: Duration = Duration::from_secs(270);

/// Far above any answer of an admin listener.
const LARGEST_ANSWER: usize = 16 << 20;

/// Headers of a request that are passed on.
const PASSED_ON: [&str; 3] = ["authorization", "content-digest", "store-signature"];

/// What may be read of a member.
const READS: [&str; 6] = [
    "/status", "/history", "/traces", "/events", "/metrics", "/healthz",
];

/// What may be changed of one, besides its components.
const CHANGES: [&str; 6] = [
    "/token",
    "/reload",
    "/refresh",
    "/drain",
    "/undrain",
    "/cache/purge",
];

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
    client: Client<HttpConnector, Full<Bytes>>,
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

/// The methods of a path of another member; none if it is not passed on.
pub(super) fn methods(path: &str) -> &'static [Method] {
    if READS.contains(&path) {
        return &[Method::GET, Method::HEAD];
    }
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let is_change = match *segments.as_slice() {
        ["components", id, action] => {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            let is_known = ["swap", "rollback", "promote", "abort"].contains(&action);
            is_known && !id.is_empty() && id.bytes().all(fits)
        }
        _ => CHANGES.contains(&path),
    };
    if is_change { &[Method::POST] } else { &[] }
}

impl Fleet {
    pub(super) fn new(configured: Vec<Member>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_LIMIT));
        let client = Client::builder(TokioExecutor::new())
            // Who is replaced by another process at the same address should not be asked any more.
            .pool_idle_timeout(Duration::from_secs(10))
            .build(connector);
        Self {
            client,
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
            let (client, standing) = (self.client.clone(), self.standing.clone());
            let member = one.member.clone();
            looks.spawn(async move {
                let uri = uri(&member, "/healthz", None);
                let request = request(&Method::GET, uri, Bytes::new());
                let answers = send(&client, request, READ_LIMIT).await.map(|_| ());
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
        let uri = uri(&member, forward.path, forward.query);
        let mut request = request(forward.method, uri, forward.body);
        for name in PASSED_ON.map(HeaderName::from_static) {
            if let Some(value) = forward.headers.get(&name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        match send(&self.client, request, limit).await {
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

fn uri(member: &Member, path: &str, query: Option<&str>) -> String {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("http://{}{path}{query}", member.url.authority())
}

fn request(method: &Method, uri: String, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method.clone();
    // Parts of a request that was one already, and of a member's URL.
    *request.uri_mut() = uri.parse::<Uri>().unwrap_or_default();
    request
}

async fn send(
    client: &Client<HttpConnector, Full<Bytes>>,
    request: Request<Full<Bytes>>,
    limit: Duration,
) -> Result<Response<Bytes>, String> {
    let exchange = async {
        let answer = client
            .request(request)
            .await
            .map_err(|error| root(&error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER).collect().await;
        let body = body.map_err(|error| format!("the answer broke off: {error}"))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    };
    let late = || Err(format!("no answer within {} s", limit.as_secs()));
    tokio::time::timeout(limit, exchange)
        .await
        .unwrap_or_else(|_| late())
}

/// The innermost cause, which says what the system says.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// A member's answer as one of ours. Whatever it says of itself, it is data.
fn as_own(answered: Response<Bytes>) -> Reply {
    let (head, body) = answered.into_parts();
    let media_type = head.headers.get(CONTENT_TYPE);
    let media_type = media_type.map_or("", |value| value.to_str().unwrap_or_default());
    let known = ["application/problem+json", "application/json", "text/plain"];
    let known = known
        .into_iter()
        .find(|known| media_type.starts_with(known));
    let mut reply = answer(known.unwrap_or("application/octet-stream"), body);
    *reply.status_mut() = head.status;
    if let Some(wait) = head.headers.get(http::header::RETRY_AFTER) {
        let wait: HeaderValue = wait.clone();
        reply.headers_mut().insert(http::header::RETRY_AFTER, wait);
    }
    reply
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn only_paths_of_an_admin_listener_are_passed_on() {
        assert_eq!(methods("/status"), [Method::GET, Method::HEAD]);
        assert_eq!(methods("/components/orders/swap"), [Method::POST]);
        for not in [
            "/",
            "/console",
            "/fleet",
            "/fleet/a/status",
            "/components/../swap",
            "/components/a%2Fb/swap",
            "/components/a/delete",
            "/status/",
        ] {
            assert!(methods(not).is_empty(), "{not}");
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
