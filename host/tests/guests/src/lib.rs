//! A component that misbehaves on request, for the tests of the host.
//!
//! Its version and its mode are fixed places in its data, which tests overwrite in the built file
//! (`testbed::Guest`): any number of versions come out of one build.

mod backends;
mod mode;

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use spin_sdk::http::{IntoResponse, Request, StatusCode};
use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Response};
use spin_sdk::{http_service, variables};

use mode::{Mode, marked};

/// The body of every answer that has nothing else to say. Overwritten in the built file.
static VERSION: [u8; 48] = *b"test-guest version=original.....................";

/// The path of probes where a test says what it is.
const PROBE_PATH: &str = "/probe";

const MIB: usize = 1024 * 1024;

/// What the ids of our host's probes begin with, whatever their path.
const PROBE_ID: &str = "probe-";

#[http_service]
async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let is_probe = request.uri().path() == PROBE_PATH || has_probe_id(&request);
    if Mode::current() == Mode::BreakUnlessProbe && !is_probe {
        return broken();
    }
    answer(request, is_probe).await.into_response()
}

async fn answer(request: Request, is_probe: bool) -> (StatusCode, String) {
    let path = request.uri().path().to_owned();
    match Mode::current() {
        Mode::TrapOnProbe if is_probe => trap(),
        Mode::LoopOnProbe if is_probe => endless(),
        Mode::TrapUnlessProbe if !is_probe => trap(),
        Mode::FailUnlessProbe if !is_probe => return failed(),
        Mode::Slow { milliseconds } if !is_probe => sleep(milliseconds).await,
        _ => {}
    }
    let amount = request.uri().query().and_then(|query| query.parse().ok());
    match path.as_str() {
        "/loop" => {
            if let Some(milliseconds) = amount {
                sleep(milliseconds).await;
            }
            endless()
        }
        "/trap" => trap(),
        "/fail" => return failed(),
        "/status" => return with_status(amount.unwrap_or(200)),
        "/bomb" => return eat(amount.unwrap_or(u64::MAX)),
        "/heads" => return hoard(amount.unwrap_or(1)),
        "/head" => return head(amount.unwrap_or(1)),
        "/large" => {
            return (
                StatusCode::OK,
                "x".repeat(amount.unwrap_or(1) as usize * MIB),
            );
        }
        "/compute" => compute(amount.unwrap_or(1)),
        "/sleep" => sleep(amount.unwrap_or(u64::MAX)).await,
        // The whole target, as the host tells it.
        "/target" => return (StatusCode::OK, request.uri().to_string()),
        "/trace" => return (StatusCode::OK, trace(&request)),
        "/write" => {
            for _ in 0..amount.unwrap_or(1) {
                eprintln!("asked to write");
            }
        }
        "/greeting" => return greeting().await,
        "/backends" => return ask_backends(request).await,
        _ => {}
    }
    (StatusCode::OK, version().to_owned())
}

/// The request's `traceparent` and `tracestate`, a line of each, which is empty without it.
fn trace(request: &Request) -> String {
    let line = |name: &'static str| {
        let value = request.headers().get(name);
        value.map_or("", |value| value.to_str().unwrap_or_default())
    };
    format!("{}\n{}", line("traceparent"), line("tracestate"))
}

fn has_probe_id(request: &Request) -> bool {
    let id = request.headers().get("x-request-id");
    id.is_some_and(|id| id.as_bytes().starts_with(PROBE_ID.as_bytes()))
}

fn failed() -> (StatusCode, String) {
    (StatusCode::INTERNAL_SERVER_ERROR, version().to_owned())
}

/// An answer with this status, whatever it means.
fn with_status(status: u64) -> (StatusCode, String) {
    let status = u16::try_from(status).ok();
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    (status.expect("a status"), version().to_owned())
}

/// An answer that begins well and ends in a trap, once its head is on its way.
fn broken() -> Result<Response, ErrorCode> {
    let body = Full::new(Bytes::from_static(b"so far")).with_trailers(async {
        sleep(200).await;
        trap()
    });
    (StatusCode::OK, body).into_response()
}

/// Does what the body says to MySQL and Redis.
async fn ask_backends(request: Request) -> (StatusCode, String) {
    let body = match request.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error:?}")),
    };
    let script = String::from_utf8_lossy(&body);
    (StatusCode::OK, backends::run(&script).await)
}

/// A variable of the component.
async fn greeting() -> (StatusCode, String) {
    match variables::get("greeting").await {
        Ok(greeting) => (StatusCode::OK, greeting),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn version() -> &'static str {
    marked(&VERSION, "test-guest version=")
}

fn trap() -> ! {
    panic!("asked to trap")
}

#[expect(
    clippy::empty_loop,
    reason = "an endless loop is what the host must end"
)]
fn endless() -> ! {
    loop {}
}

/// Computes for a while: so many times what takes about a millisecond.
fn compute(times: u64) {
    for round in 0..times * 1_000_000 {
        black_box(round);
    }
}

async fn sleep(milliseconds: u64) {
    let time = Duration::from_millis(milliseconds).as_nanos();
    monotonic_clock::wait_for(u64::try_from(time).unwrap_or(u64::MAX)).await;
}

/// Takes up to `mib` MiB of memory and says how much it got. Memory that is refused ends a Rust program, so the last
/// piece is asked for in a way that only fails.
fn eat(mib: u64) -> (StatusCode, String) {
    let mut held: Vec<Vec<u8>> = Vec::new();
    for eaten in 0..mib {
        let mut piece = Vec::new();
        if piece.try_reserve_exact(MIB).is_err() {
            return (
                StatusCode::INSUFFICIENT_STORAGE,
                format!("refused after {eaten} MiB"),
            );
        }
        piece.resize(MIB, 1);
        held.push(black_box(piece));
    }
    (StatusCode::OK, format!("took {mib} MiB"))
}

/// Makes so many heads, which the host holds for it.
fn hoard(count: u64) -> (StatusCode, String) {
    let held: Vec<Fields> = (0..count).map(|_| Fields::new()).collect();
    (StatusCode::OK, format!("held {}", black_box(held).len()))
}

/// Makes a head with a value of so many KiB, and says what came of it.
fn head(kib: u64) -> (StatusCode, String) {
    let value = vec![b'x'; kib as usize * 1024];
    let made = Fields::new().append("x-large", &value);
    (StatusCode::OK, format!("{made:?}"))
}
