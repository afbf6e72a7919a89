//! Requests as the metrics see them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::generation::InFlight;
use crate::instance::Fate;
use crate::metrics::{InUse, MethodMetrics};
use crate::tally::Tally;

/// What a request that was let in holds of its component until its answer has ended.
pub(crate) struct Held {
    #[expect(dead_code, reason = "held for its drop")]
    pub(crate) permit: Arc<OwnedSemaphorePermit>,
    #[expect(dead_code, reason = "held for its drop")]
    pub(crate) generation: InFlight,
    pub(crate) fate: Fate,
    /// Where it counts if the answer breaks off.
    pub(crate) tally: Option<Arc<Tally>>,
}

/// One request as the metrics see it: from its headers to the end of its answer, however that comes.
pub(crate) struct Observed {
    metrics: Arc<MethodMetrics>,
    started: Instant,
    /// The client left first, until an answer says otherwise. 499 is what nginx logs then.
    status: u16,
    _in_flight: InUse,
}

impl Observed {
    pub(crate) fn new(metrics: Arc<MethodMetrics>) -> Self {
        Self {
            started: Instant::now(),
            status: 499,
            _in_flight: metrics.in_flight(),
            metrics,
        }
    }

    /// Ties itself, and what the request holds of its component, to the answer's body.
    pub(crate) fn follow(
        mut self,
        response: Response<WasiBody>,
        held: Option<Held>,
    ) -> Response<WasiBody> {
        self.status = response.status().as_u16();
        response.map(|body| {
            ObservedBody {
                body,
                _observed: self,
                held,
            }
            .boxed_unsync()
        })
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.metrics.leave(self.status, seconds);
    }
}

struct ObservedBody {
    body: WasiBody,
    _observed: Observed,
    held: Option<Held>,
}

impl ObservedBody {
    /// Whether the end of the body is that of its instance.
    fn has_failed(&self) -> bool {
        self.held
            .as_ref()
            .is_some_and(|held| held.fate.has_failed())
    }
}

impl Body for ObservedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut next = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if next.is_none() && self.has_failed() {
            next = Some(Err(Error::ConnectionTerminated));
        }
        if let Some(Err(_)) = &next
            && let Some(tally) = self.held.as_mut().and_then(|held| held.tally.take())
        {
            tally.broke();
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && !self.has_failed()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
