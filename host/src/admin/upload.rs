//! Receives a component to swap in: its bytes, and what query and headers say about them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::app::TrafficShare;
use crate::config::duration;
use crate::control::{ControlError, SwapStep, Trial, Upload};
use crate::http::body::{announced_bytes, discard};
use crate::instance::{Origin, Source};

/// Longest wait for the whole of an upload.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// How long a canary is tried unless the request says how long.
const USUAL_TRIAL: Duration = Duration::from_secs(30);

/// The query of a request for a change.
#[derive(Debug, Default)]
pub(super) struct Query {
    canary: Option<TrafficShare>,
    lasts: Option<Duration>,
    ephemeral: bool,
    pub(super) generation: Option<u64>,
}

impl Query {
    /// Reads the query of a request for `action`.
    ///
    /// # Errors
    /// The query has a name that the action does not know, or a value that makes no sense.
    pub(super) fn of<B>(request: &Request<B>, action: &str) -> Result<Self, ControlError> {
        let mut query = Self::default();
        let text = request.uri().query().unwrap_or_default();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            query
                .set(action, &name, &value)
                .map_err(|reason| ControlError::Malformed(format!("`{name}`: {reason}")))?;
        }
        if query.lasts.is_some() && query.canary.is_none() {
            let reason = "`for`: needs `canary`, the share of the traffic to try it on";
            return Err(ControlError::Malformed(reason.into()));
        }
        Ok(query)
    }

    fn set(&mut self, action: &str, name: &str, value: &str) -> Result<(), String> {
        match (action, name) {
            ("swap", "canary") => self.canary = Some(TrafficShare::from_percent(value)?),
            ("swap", "for") => self.lasts = Some(duration(value)?),
            ("swap", "ephemeral") => {
                self.ephemeral = match value {
                    "true" | "" => true,
                    "false" => false,
                    _ => return Err("must be true or false".into()),
                }
            }
            ("rollback", "generation") => {
                let number = value.parse();
                self.generation = Some(number.map_err(|_| "must be a number".to_owned())?);
            }
            _ => return Err(format!("means nothing to {action}")),
        }
        Ok(())
    }
}

/// Receives a component in full.
///
/// # Errors
/// It is larger than `most` bytes, or breaks off; or a header is malformed.
pub(super) async fn receive(
    request: Request<Incoming>,
    query: &Query,
    most: usize,
) -> Result<Upload, ControlError> {
    let (head, body) = request.into_parts();
    let bytes = receive_bytes(&head.headers, body, most).await?;
    let expected_digest = content_digest(&head.headers)?;
    let signature = signature(&head.headers)?;
    Ok(Upload {
        source: tokio::task::block_in_place(|| Source::new(bytes, signature)),
        expected_digest,
        origin: if query.ephemeral {
            Origin::Ephemeral
        } else {
            Origin::Stored
        },
        trial: query.canary.map(|share| Trial {
            share,
            lasts: query.lasts.unwrap_or(USUAL_TRIAL),
        }),
    })
}

/// Receives a body of at most `most` bytes.
///
/// # Errors
/// It is larger, breaks off, or takes too long.
pub(super) async fn receive_bytes(
    headers: &HeaderMap,
    body: Incoming,
    most: usize,
) -> Result<Bytes, ControlError> {
    if announced_bytes(headers).is_some_and(|length| length > most as u64) {
        discard(body).await;
        return Err(too_large(most));
    }
    let reading = tokio::time::timeout(TIME_LIMIT, read(body, most));
    let late = || {
        failed(
            StatusCode::REQUEST_TIMEOUT,
            format!("not received within {TIME_LIMIT:?}"),
        )
    };
    reading.await.unwrap_or_else(|_| Err(late()))
}

async fn read(mut body: Incoming, most: usize) -> Result<Bytes, ControlError> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            failed(
                StatusCode::BAD_REQUEST,
                format!("it broke off after {} bytes: {error}", bytes.len()),
            )
        })?;
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > most {
                discard(body).await;
                return Err(too_large(most));
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes.freeze())
}

/// The SHA-256 in `Content-Digest` (RFC 9530), in hexadecimal. It is written `sha-256=:BASE64:`; other digests beside it are
/// ignored.
fn content_digest(headers: &HeaderMap) -> Result<Option<String>, ControlError> {
    let values = headers.get_all("content-digest").iter();
    let mut members = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(|member| member.trim().split_once('='));
    let Some((_, value)) = members.find(|(algorithm, _)| *algorithm == "sha-256") else {
        return Ok(None);
    };
    value
        .strip_prefix(':')
        .and_then(|value| value.strip_suffix(':'))
        .and_then(|text| STANDARD.decode(text).ok())
        .map(|digest| Some(digest.iter().map(|byte| format!("{byte:02x}")).collect()))
        .ok_or_else(|| {
            ControlError::at(
                SwapStep::Digest,
                "`Content-Digest` is not `sha-256=:BASE64:`",
            )
        })
}

/// The text of a `.minisig` file in `Store-Signature`. It has several lines, so it is sent in base64.
fn signature(headers: &HeaderMap) -> Result<Option<String>, ControlError> {
    let Some(value) = headers.get("store-signature") else {
        return Ok(None);
    };
    STANDARD
        .decode(value.as_bytes())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .map(Some)
        .ok_or_else(|| {
            ControlError::at(
                SwapStep::Signature,
                "`Store-Signature` is not a .minisig file in base64",
            )
        })
}

fn too_large(most: usize) -> ControlError {
    failed(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the component is larger than {most} bytes; --component-limit-mib allows more"),
    )
}

fn failed(status: StatusCode, reason: String) -> ControlError {
    ControlError::Failed {
        step: SwapStep::Receive,
        status,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn query(action: &str, text: &str) -> Result<Query, String> {
        let request = Request::builder().uri(format!("/components/c/{action}?{text}"));
        let request = request.body(()).expect("a valid request");
        Query::of(&request, action).map_err(|error| error.to_string())
    }

    #[test]
    fn queries_are_read() {
        let read = query("swap", "canary=12.5&for=2m&ephemeral=true").expect("valid");
        assert_eq!(read.canary.map(TrafficShare::fraction), Some(0.125));
        assert_eq!(read.lasts, Some(Duration::from_secs(120)));
        assert!(read.ephemeral);
        assert_eq!(
            query("rollback", "generation=7").expect("valid").generation,
            Some(7)
        );
        assert!(!query("swap", "").expect("valid").ephemeral);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let share = |text| format!("`canary`: `{text}` is not a percentage above 0 and below 100");
        let unknown = |action, name| format!("`{name}`: means nothing to {action}");
        let no_canary = "`for`: needs `canary`, the share of the traffic to try it on";
        for (action, wrong, reason) in [
            ("swap", "canary=0", share("0")),
            ("swap", "canary=100", share("100")),
            ("swap", "for=2m", no_canary.into()),
            (
                "swap",
                "canary=5&for=0s",
                "`for`: must be longer than zero".into(),
            ),
            (
                "swap",
                "ephemeral=yes",
                "`ephemeral`: must be true or false".into(),
            ),
            ("swap", "ephemral=true", unknown("swap", "ephemral")),
            ("swap", "generation=7", unknown("swap", "generation")),
            (
                "rollback",
                "generation=x",
                "`generation`: must be a number".into(),
            ),
            ("rollback", "canary=10", unknown("rollback", "canary")),
            ("promote", "generation=7", unknown("promote", "generation")),
        ] {
            assert_eq!(query(action, wrong).err(), Some(reason), "{action}?{wrong}");
        }
    }

    #[test]
    fn digests_are_found_among_others() {
        let found = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("content-digest", HeaderValue::from_static(line));
            }
            content_digest(&headers)
        };
        let digest = Some("000102".to_owned());
        assert_eq!(found(&[]).expect("none"), None);
        assert_eq!(found(&["sha-512=:eHg=:"]).expect("none we know"), None);
        for lines in [
            &["sha-512=:eHg=:, sha-256=:AAEC:"][..],
            &["sha-512=:eHg=:", "sha-256=:AAEC:"],
        ] {
            assert_eq!(found(lines).expect("valid"), digest, "{lines:?}");
        }
        for malformed in ["sha-256=AAEC", "sha-256=:no base64:"] {
            let error = found(&[malformed]).expect_err(malformed);
            assert_eq!(error.step(), Some(SwapStep::Digest));
            assert_eq!(
                error.to_string(),
                "`Content-Digest` is not `sha-256=:BASE64:`"
            );
        }
    }
}
