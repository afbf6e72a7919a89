//! A component that misbehaves on request, for the tests of the host.
//!
//! Its version and its mode are fixed places in its data, which tests overwrite in the built file
//! (`testbed::Guest`): any number of versions come out of one build.

mod mode;

use std::hint::black_box;
use std::time::Duration;

use http_body_util::BodyExt as _;
use spin_sdk::http::{IntoResponse, Request, StatusCode};
use spin_sdk::http_service;
use spin_sdk::wasip3::clocks::monotonic_clock;

use mode::{Mode, marked};

/// What `/ok` answers with. Overwritten in the built file.
static VERSION: [u8; 48] = *b"test-guest version=original.....................";

/// The path that is meant for the host's probe; every mode treats it apart.
const PROBE_PATH: &str = "/probe";

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    let path = request.uri().path().to_owned();
    let amount = request.uri().query().and_then(|query| query.parse().ok());
    act(Mode::current(), path == PROBE_PATH).await;
    match path.as_str() {
        "/loop" => endless(),
        "/bomb" => return eat(amount.unwrap_or(u64::MAX)),
        "/trap" => trap(),
        "/sleep" => sleep(amount.unwrap_or(u64::MAX)).await,
        // Open until the client ends its body, so that a test says how long a request is in flight.
        "/hold" => drop(request.into_body().collect().await),
        "/fail" => return (StatusCode::INTERNAL_SERVER_ERROR, version().to_owned()),
        _ => {}
    }
    (StatusCode::OK, version().to_owned())
}

/// What this version does to any request, whatever its path.
async fn act(mode: Mode, is_probe: bool) {
    match (mode, is_probe) {
        (Mode::Well, _) => {}
        (Mode::TrapOnProbe, true) | (Mode::TrapUnlessProbe, false) => trap(),
        (Mode::LoopOnProbe, true) => endless(),
        (Mode::Slow { milliseconds }, false) => sleep(milliseconds).await,
        _ => {}
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

async fn sleep(milliseconds: u64) {
    let time = Duration::from_millis(milliseconds).as_nanos();
    monotonic_clock::wait_for(u64::try_from(time).unwrap_or(u64::MAX)).await;
}

/// Takes up to `mib` MiB of memory and says how much it got. Memory that is refused ends a Rust program, so the last
/// piece is asked for in a way that only fails.
fn eat(mib: u64) -> (StatusCode, String) {
    const MIB: usize = 1024 * 1024;
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
