//! Sends a new generation the probe of its component, before it serves requests.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use store_server::trace::{Kind, Trace};
use wasmtime_wasi_http::WasiBody;

use super::millis;
use crate::answers;
use crate::instance::{Admission, Generation, Probe};
use crate::message::RequestId;

/// The longest time for a probe. A component that needs longer for its first answer must not be switched to.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// The largest answer to a probe, in bytes. Probes are meant to be cheap.
const LONGEST_ANSWER_BYTES: usize = 1024 * 1024;

/// Sends the probe to a new instance of `generation`, without counting it as a request. Its span is part of `within`,
/// the trace of a change.
///
/// # Errors
/// The generation gives no answer, or not the one that the probe expects; the error says in one line what is wrong.
pub(crate) async fn ask(
    probe: &Probe,
    generation: &Generation,
    within: &Trace,
) -> Result<answers::Probe, String> {
    let mut span = within.span("probe", Kind::Internal);
    span.about(generation.context.name.clone());
    let answer = ask_within(probe, generation, span.inside()).await;
    if answer.is_err() {
        span.fail("probe");
    }
    answer
}

async fn ask_within(
    probe: &Probe,
    generation: &Generation,
    trace: &Trace,
) -> Result<answers::Probe, String> {
    let started = Instant::now();
    let answer = async {
        let admitted = Admission {
            id: RequestId::made("probe-"),
            place: None,
            is_urgent: false,
        };
        let request = request(probe)?;
        let answer = generation.instances.handle(admitted, request, trace).await;
        let (response, fate) = answer.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = read(response.into_body()).await?;
        if fate.has_failed() {
            return Err("its answer broke off".to_owned());
        }
        Ok((status, body))
    };
    let status = tokio::time::timeout(TIME_LIMIT, answer)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {TIME_LIMIT:?}")))
        .and_then(|(status, body)| check(probe, status, &body).map(|()| status))
        .map_err(|reason| format!("{} {}: {reason}", probe.method, probe.path))?;
    Ok(answers::Probe {
        path: probe.path.clone(),
        status: status.as_u16(),
        elapsed_ms: millis(started.elapsed()),
    })
}

fn request(probe: &Probe) -> Result<Request<WasiBody>, String> {
    let body = Empty::<Bytes>::new().map_err(|never| match never {});
    let mut request = Request::new(body.boxed_unsync());
    *request.method_mut() = probe.method.clone();
    *request.uri_mut() = format!("http://localhost{}", probe.path)
        .parse()
        .map_err(|_| "the probe's path is not a valid URL path".to_owned())?;
    let host = HeaderValue::from_static("localhost");
    request.headers_mut().insert(HOST, host);
    Ok(request)
}

fn check(probe: &Probe, status: StatusCode, body: &[u8]) -> Result<(), String> {
    match probe.status {
        Some(expected) if status != expected => {
            return Err(format!(
                "answered {} instead of {}",
                status.as_u16(),
                expected.as_u16()
            ));
        }
        None if status.is_server_error() => {
            return Err(format!("answered {}", status.as_u16()));
        }
        _ => {}
    }
    match &probe.contains {
        Some(text) if !String::from_utf8_lossy(body).contains(text) => {
            Err(format!("its answer does not contain `{text}`"))
        }
        _ => Ok(()),
    }
}

/// Reads the answer to its end, because a component can fail while it sends.
async fn read(mut body: WasiBody) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("its answer broke off: {error}"))?;
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(data);
        }
        if bytes.len() > LONGEST_ANSWER_BYTES {
            return Err(format!(
                "its answer is longer than {LONGEST_ANSWER_BYTES} bytes"
            ));
        }
    }
    Ok(bytes)
}
