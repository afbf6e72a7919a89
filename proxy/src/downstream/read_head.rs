//! Waits for a request's head: one deadline for all of it, whatever comes before it or in between.

use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Buf;
use pingora_core::server::ShutdownWatch;
use pingora_timeout::timeout;

use super::wire::Wire;
use crate::config::Limits;
use crate::message::head::{self, HeadForm, HeadLimits};
use crate::message::problem::Problem;

/// How long an idle connection may still begin a request once the proxy stops. Closed at once, it could cross with one.
pub(crate) const LAST_REQUEST: Duration = Duration::from_secs(2);

/// Bytes of empty lines before a request; some clients send one after a body (RFC 9112, section 2.2).
const MOST_BLANK: usize = 16;

/// How the wait for a head ended.
pub(crate) enum Head {
    /// There is one of so many bytes, at the beginning of what is held.
    Whole(usize, HeadForm),
    /// The client left, or stayed idle for too long.
    None,
    /// The head breaks a rule or is late: the proxy answers with this.
    Refused(Problem),
}

/// How long a connection may wait for a head's first byte.
#[derive(Clone, Copy)]
pub(crate) enum Wait {
    /// A new connection has the time of a head for all of it, from when it was opened.
    ForFirst { opened: Instant },
    /// One that was answered may be idle first.
    ForNext,
}

/// What has come of a head.
enum Progress {
    Nothing,
    Blank,
    Part,
    Whole(usize),
}

/// Reads until there is a whole head. What comes after it is held for later.
pub(crate) async fn read_head(
    wire: &mut Wire,
    limits: &Limits,
    wait: Wait,
    mut stopping: Pin<&mut impl Future<Output = ()>>,
) -> Head {
    let head_limits = HeadLimits {
        bytes: limits.header_bytes,
        lines: limits.header_count,
    };
    let mut blank = 0;
    let mut began = match wait {
        Wait::ForFirst { opened } => Some(opened),
        Wait::ForNext => None,
    };
    loop {
        let progress = match look(wire, &mut blank, head_limits) {
            Ok(Progress::Whole(end)) => {
                let checked = head::check(&wire.held()[..end], head_limits);
                return checked.map_or_else(Head::Refused, |checked| Head::Whole(end, checked));
            }
            Ok(progress) => progress,
            Err(problem) => return Head::Refused(problem),
        };
        if matches!(progress, Progress::Nothing) {
            let limit = match began {
                Some(began) => limits.header_timeout.saturating_sub(began.elapsed()),
                None => limits.idle_timeout,
            };
            if !read_first(wire, limit, stopping.as_mut()).await {
                return Head::None;
            }
            began.get_or_insert_with(Instant::now);
            continue;
        }
        let began = *began.get_or_insert_with(Instant::now);
        let left = limits.header_timeout.saturating_sub(began.elapsed());
        match timeout(left, wire.read_more()).await {
            Ok(Ok(1..)) => {}
            Err(_) if matches!(progress, Progress::Part) => {
                return Head::Refused(Problem::TooSlow);
            }
            // Nothing was asked for that could be answered.
            Ok(_) | Err(_) => return Head::None,
        }
    }
}

/// Passes over empty lines, a few of them, and looks for a head. `blank` counts their bytes.
fn look(wire: &mut Wire, blank: &mut usize, limits: HeadLimits) -> Result<Progress, Problem> {
    let held = wire.held();
    let is_blank = |byte: &&u8| matches!(byte, b'\r' | b'\n');
    let before = held.iter().take_while(is_blank).count();
    held.advance(before);
    *blank += before;
    if *blank > MOST_BLANK {
        return Err(Problem::Malformed("too many empty lines before a request"));
    }
    if held.is_empty() {
        return Ok(match blank {
            0 => Progress::Nothing,
            _ => Progress::Blank,
        });
    }
    let end = head::find(held, limits)?;
    Ok(end.map_or(Progress::Part, Progress::Whole))
}

/// Whether the client sent something.
async fn read_first(
    wire: &mut Wire,
    limit: Duration,
    stopping: Pin<&mut impl Future<Output = ()>>,
) -> bool {
    let read = tokio::select! {
        biased;
        read = timeout(limit, wire.read_more()) => read,
        () = stopping => timeout(LAST_REQUEST, wire.read_more()).await,
    };
    matches!(read, Ok(Ok(1..)))
}

/// Ends once the proxy stops.
pub(crate) async fn stopping(mut shutdown: ShutdownWatch) {
    // An error means that the server is gone, which is a stop as well.
    _ = shutdown.wait_for(|stop| *stop).await;
}
