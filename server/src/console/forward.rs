//! Passes requests on to other members, and writes the audit log about them.
//!
//! Only members that the settings name are reached, and only at paths of an admin listener. A change carries the
//! visitor's own token, which the member checks.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::OwnedSemaphorePermit;

use super::exchange::{MemberRequest, as_own};
use super::fleet::{Fleet, READ_LIMIT};
use super::member::Member;
use super::paths::{carries_component, methods};
use super::reply::{Reply, refusal};
use crate::recent::AUDIT;

/// Time limit for a change: the member receives, compiles and probes a component.
const CHANGE_LIMIT: Duration = Duration::from_secs(270);

/// The path that tells whether the token of a request is right.
const TOKEN: &str = "/token";

/// A request to pass on, without its body.
#[derive(Clone, Copy)]
pub struct Forward<'a> {
    /// Name of the member.
    pub name: &'a str,
    /// The path at the member.
    pub path: &'a str,
    /// The query, if there is one.
    pub query: Option<&'a str>,
    /// The method, which must be allowed for the path.
    pub method: &'a Method,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// The sender's address, for the audit log.
    pub peer: &'a str,
}

impl Fleet {
    /// See [`super::Console::forward`].
    pub(super) async fn forward<E: fmt::Display>(
        &self,
        forward: Forward<'_>,
        body: impl Future<Output = Result<Bytes, E>>,
    ) -> Result<Reply, E> {
        if !methods(forward.path).contains(forward.method) {
            let detail = "this path of another member can't be reached through the console";
            return Ok(refusal(StatusCode::NOT_FOUND, detail));
        }
        let Some(member) = self.member(forward.name) else {
            // The name is text of the sender, so log lines don't repeat it.
            let detail = format!("no member of the fleet is `{}`", forward.name);
            return Ok(refusal(StatusCode::NOT_FOUND, &detail));
        };
        if *forward.method != Method::POST {
            let answer = self.ask(&member, forward, Bytes::new(), READ_LIMIT).await;
            return Ok(answer.unwrap_or_else(|why| no_answer(&why)));
        }
        if !forward.headers.contains_key(AUTHORIZATION) {
            let detail = "send the member's admin token as `Authorization: Bearer TOKEN`";
            forward.not_passed_on(&"no token came with it");
            return Ok(refusal(StatusCode::UNAUTHORIZED, detail));
        }
        let (body, _permit) = if carries_component(forward.path) {
            let permit = match self.may_upload(&member, forward).await {
                Ok(permit) => permit,
                Err(why_not) => return Ok(why_not),
            };
            let received = body.await;
            (
                received.inspect_err(|why| forward.not_passed_on(why))?,
                Some(permit),
            )
        } else {
            (Bytes::new(), None)
        };
        let answer = self.ask(&member, forward, body, CHANGE_LIMIT).await;
        forward.audit(answer.as_ref().map(Reply::status));
        Ok(answer.unwrap_or_else(|why| no_answer(&why)))
    }

    /// Asks a member, before a component is received, whether it accepts the sender's token. The permit must be held
    /// until the component has been passed on.
    ///
    /// # Errors
    /// The answer to send instead.
    async fn may_upload(
        &self,
        member: &Member,
        forward: Forward<'_>,
    ) -> Result<OwnedSemaphorePermit, Reply> {
        let token = Forward {
            path: TOKEN,
            query: None,
            ..forward
        };
        let answer = self.ask(member, token, Bytes::new(), READ_LIMIT).await;
        let answer = answer.map_err(|why| {
            forward.audit(Err(&why));
            no_answer(&why)
        })?;
        if !answer.status().is_success() {
            let status = answer.status().as_u16();
            forward.not_passed_on(&format_args!("asked for the token, it answered {status}"));
            return Err(answer);
        }
        let permit = self.uploads.clone().try_acquire_owned();
        permit.map_err(|_| {
            let detail = "another component is being passed on; try again in a moment";
            forward.not_passed_on(&"another component is being passed on");
            refusal(StatusCode::SERVICE_UNAVAILABLE, detail)
        })
    }

    /// Sends a request to a member.
    ///
    /// # Errors
    /// There is no answer; the text names the member and the reason.
    async fn ask(
        &self,
        member: &Member,
        forward: Forward<'_>,
        body: Bytes,
        limit: Duration,
    ) -> Result<Reply, String> {
        let asked = MemberRequest {
            method: forward.method,
            path: forward.path,
            query: forward.query,
            headers: forward.headers,
            body,
        };
        let answered = asked.send(member, limit).await;
        answered.map(as_own).map_err(|failure| {
            let (name, url, reason) = (&member.name, &member.url, &failure.reason);
            let why = format!("{name} at {url}: {reason}");
            // A slow member may still be there; the next check will tell.
            if failure.is_unreachable {
                self.is_gone(member, failure.reason);
            }
            why
        })
    }
}

fn no_answer(why: &str) -> Reply {
    refusal(StatusCode::BAD_GATEWAY, why)
}

impl Forward<'_> {
    /// Logs the result of a change that was passed on: the status of the member's answer, or why there is none.
    fn audit(&self, answer: Result<StatusCode, &String>) {
        let Self {
            name: member,
            path: action,
            peer,
            ..
        } = self;
        if *action == TOKEN {
            return;
        }
        match answer.map(|status| (status.is_success(), status.as_u16())) {
            Ok((true, status)) => {
                tracing::info!(target: AUDIT, peer, member, action, result = "passed on", status, "Passed `{action}` on to `{member}`, which answered {status}");
            }
            Ok((false, status)) => {
                tracing::warn!(target: AUDIT, peer, member, action, result = "passed on", status, "Passed `{action}` on to `{member}`, which answered {status}");
            }
            Err(why) => {
                tracing::warn!(target: AUDIT, peer, member, action, result = "no answer", "`{action}` got no answer: {why}");
            }
        }
    }

    /// Logs a change that was not passed on.
    fn not_passed_on(&self, why: &dyn fmt::Display) {
        let Self {
            name: member,
            path: action,
            peer,
            ..
        } = self;
        if *action != TOKEN {
            tracing::warn!(target: AUDIT, peer, member, action, result = "refused", "`{action}` is not passed on to `{member}`: {why}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::pending;

    use http::HeaderValue;
    use http::header::CONTENT_TYPE;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn member(name: &str, port: u16) -> Member {
        let text = format!("{name}=http://127.0.0.1:{port}");
        text.parse().expect("a member")
    }

    async fn listener() -> (TcpListener, u16) {
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = socket.local_addr().expect("an address").port();
        (socket, port)
    }

    fn get<'a>(name: &'a str, path: &'a str, headers: &'a HeaderMap) -> Forward<'a> {
        Forward {
            name,
            path,
            query: None,
            method: &Method::GET,
            headers,
            peer: "a test",
        }
    }

    fn post<'a>(name: &'a str, path: &'a str, headers: &'a HeaderMap) -> Forward<'a> {
        Forward {
            method: &Method::POST,
            ..get(name, path, headers)
        }
    }

    fn with_token() -> HeaderMap {
        let token = HeaderValue::from_static("Bearer t");
        HeaderMap::from_iter([(AUTHORIZATION, token)])
    }

    async fn answer(fleet: &Fleet, forward: Forward<'_>) -> Reply {
        let body = async { Ok::<_, Infallible>(Bytes::new()) };
        let Ok(answer) = fleet.forward(forward, body).await;
        answer
    }

    #[tokio::test]
    async fn a_member_that_is_gone_is_shown_with_the_reason() {
        // Nobody listens there.
        let fleet = Fleet::new(vec![member("a", 1)]);
        let headers = HeaderMap::new();
        let unknown = answer(&fleet, get("b", "/status", &headers)).await;
        assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
        fleet.look(vec![]);
        let gone = answer(&fleet, get("a", "/status", &headers)).await;
        assert_eq!(gone.status(), StatusCode::BAD_GATEWAY);
        let shown = fleet.members();
        assert_eq!(shown[0]["state"], "gone", "{shown}");
        let reason = shown[0]["reason"].as_str().expect("a reason");
        assert!(reason.contains("refused"), "{reason}");
    }

    #[tokio::test]
    async fn a_member_that_breaks_off_an_answer_is_not_gone() {
        let (socket, port) = listener().await;
        let server = tokio::spawn(async move {
            loop {
                let (mut stream, _) = socket.accept().await.expect("a connection");
                let mut head = vec![0; 4096];
                let read = stream.read(&mut head).await.expect("a head");
                if head[..read].starts_with(b"GET /healthz") {
                    let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
                    stream.write_all(answer).await.expect("written");
                }
            }
        });
        let fleet = Fleet::new(vec![member("a", port)]);
        while fleet.members()[0]["state"] != "up" {
            fleet.look(vec![]);
            tokio::task::yield_now().await;
        }
        let broken = answer(&fleet, get("a", "/status", &HeaderMap::new())).await;
        assert_eq!(broken.status(), StatusCode::BAD_GATEWAY);
        assert_eq!(fleet.members()[0]["state"], "up");
        server.abort();
    }

    #[tokio::test]
    async fn a_component_that_nobody_would_take_is_not_received() {
        // Nobody listens there.
        let fleet = Fleet::new(vec![member("a", 1)]);
        let (none, token) = (HeaderMap::new(), with_token());
        for (name, headers, status) in [
            ("nobody", &token, 404),
            ("a", &none, 401),
            ("a", &token, 502),
        ] {
            let swap = post(name, "/components/x/swap", headers);
            let never = pending::<Result<Bytes, Infallible>>();
            let Ok(answer) = fleet.forward(swap, never).await;
            assert_eq!(answer.status().as_u16(), status);
        }
        assert_eq!(fleet.uploads.available_permits(), 1);
    }

    #[tokio::test]
    async fn what_a_member_answers_is_data_and_a_change_carries_the_visitor_s_token() {
        let (socket, port) = listener().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = socket.accept().await.expect("a connection");
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.expect("a head");
            let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nset-cookie: a=b\r\ndate: Fri, 02 Jan 2026 03:04:05 GMT\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
            stream.write_all(answer.as_bytes()).await.expect("written");
            String::from_utf8_lossy(&head[..read]).into_owned()
        });
        let fleet = Fleet::new(vec![member("a", port)]);
        let mut headers = HeaderMap::new();
        headers.insert("cookie", HeaderValue::from_static("secret=1"));
        headers.insert("origin", HeaderValue::from_static("http://page"));
        let refused = answer(&fleet, post("a", "/reload", &headers)).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        headers.extend(with_token());
        let answered = answer(&fleet, post("a", "/reload", &headers)).await;
        assert_eq!(answered.body(), "hi");
        let type_of = &answered.headers()[CONTENT_TYPE];
        assert_eq!(type_of, "application/octet-stream");
        assert!(!answered.headers().contains_key("set-cookie"));
        let clock = &answered.headers()["member-date"];
        assert_eq!(clock, "Fri, 02 Jan 2026 03:04:05 GMT");
        let asked = server.await.expect("a request");
        assert!(asked.starts_with("POST /reload HTTP/1.1"), "{asked}");
        assert!(asked.contains("authorization: Bearer t"), "{asked}");
        assert!(
            !asked.contains("cookie") && !asked.contains("origin"),
            "{asked}"
        );
    }
}
