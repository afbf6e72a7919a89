//! Waits for a request's head. One deadline holds for the whole head, including empty lines before it.

use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Buf;
use pingora_core::server::ShutdownWatch;
use pingora_timeout::timeout;

use super::wire::Wire;
use crate::config::Limits;
use crate::message::head::{self, HeadForm, HeadLimits};
use crate::message::problem::Problem;

/// How long an idle connection may still begin a request once the proxy stops. If the proxy closed it at once, a
/// request could already be on its way.
pub(crate) const LAST_REQUEST: Duration = Duration::from_secs(2);

/// Most bytes of empty lines before a request; some clients send one after a body (RFC 9112, section 2.2).
const MOST_BLANK: usize = 16;

/// How the wait for a head ended.
pub(crate) enum Head {
    /// A whole head: its length in bytes, counted from the beginning of the held bytes, and its form.
    Whole(usize, HeadForm),
    /// The client left, or stayed idle for too long.
    None,
    /// The head breaks a rule or is late: the proxy answers with this problem.
    Refused(Problem),
}

/// How long a connection may wait for a head's first byte.
#[derive(Clone, Copy)]
pub(crate) enum Wait {
    /// On a new connection, the deadline of the head counts from when the connection was opened.
    ForFirst { opened: Instant },
    /// A connection that already carried an answer may be idle first.
    ForNext,
}

/// How much of a head has come.
enum Progress {
    Nothing,
    Blank,
    Part,
    Whole(usize),
}

/// Reads until there is a whole head. Bytes that come after the head stay in `wire`.
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
            // The client has not begun a request, so there is nothing to answer.
            Ok(_) | Err(_) => return Head::None,
        }
    }
}

/// Skips up to [`MOST_BLANK`] bytes of empty lines and looks for a head. `blank` counts those bytes.
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

/// Waits for the first bytes. Returns whether the client sent any.
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
