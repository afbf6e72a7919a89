//! Requests as the metrics see them, and what requests hold until they are answered.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use store_server::trace::{Ids, Span, Trace};
use wasmtime_wasi_http::{Error, WasiBody};

use super::connection_use::ActiveRequest;
use super::mirror::Tap;
use crate::app::Tally;
use crate::clients::Share;
use crate::instance::{InFlight, InstanceFate, RequestPlace};
use crate::message::RequestId;
use crate::metrics::{GaugeGuard, MethodMetrics};

/// What ends an answer whose generation was cut off.
const CUT: &str = "its generation did not finish within the time of its drain";

/// What a request holds from its admission until its answer has ended: its place at the component, and the generation
/// that answers it.
pub(crate) struct Holdings {
    #[expect(dead_code, reason = "held for its drop")]
    pub(crate) place: Arc<RequestPlace>,
    #[expect(dead_code, reason = "held for its drop")]
    pub(crate) generation: InFlight,
    pub(crate) fate: InstanceFate,
    /// The counts that record the error if the answer breaks off. `None` if they have an error already or only one
    /// generation is live.
    pub(crate) tally: Option<Arc<Tally>>,
}

/// A guest's answer, together with what the request holds.
pub(crate) struct GuestBody {
    body: WasiBody,
    held: Holdings,
    /// Present if the answer is to be compared with that of another version.
    tap: Option<Box<Tap>>,
}

impl GuestBody {
    pub(crate) fn new(body: WasiBody, held: Holdings, tap: Option<Box<Tap>>) -> Self {
        let mut body = Self { body, held, tap };
        body.tell_end();
        body
    }

    /// Tells the tap that the body has ended, because hyper may not poll for another frame.
    fn tell_end(&mut self) {
        let is_end = self.tap.is_some() && self.is_end_stream();
        if let Some(tap) = self.tap.as_mut().filter(|_| is_end) {
            tap.see(None);
        }
    }
}

impl Body for GuestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut next = ready!(Pin::new(&mut self.body).poll_frame(cx));
        // The body also ends when its instance has failed; then the answer is incomplete.
        if next.is_none() && self.held.fate.has_failed() {
            next = Some(Err(Error::ConnectionTerminated));
        }
        if let Some(Err(error)) = &mut next {
            if self.held.fate.was_cut() {
                *error = Error::InternalError(Some(CUT.into()));
            } else if let Some(tally) = self.held.tally.take() {
                tally.broke();
            }
        }
        if let Some(tap) = &mut self.tap {
            tap.see(next.as_ref());
            self.tell_end();
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && !self.held.fate.has_failed()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// One request as the metrics see it, from its headers to the end of its answer, whether that is complete or not.
pub(crate) struct Observation {
    metrics: Arc<MethodMetrics>,
    /// The status that is counted, also if the answer breaks off after its head. Until there is an answer it is 499,
    /// which nginx logs for a client that left early.
    status: u16,
    request_id: RequestId,
    root: Span,
    _in_flight: GaugeGuard,
    request: ActiveRequest,
}

impl Observation {
    /// `root` is the root span of the request's trace.
    pub(crate) fn new(
        metrics: Arc<MethodMetrics>,
        request_id: RequestId,
        root: Span,
        request: ActiveRequest,
    ) -> Self {
        Self {
            request_id,
            root,
            status: 499,
            _in_flight: metrics.in_flight(),
            metrics,
            request,
        }
    }

    /// The trace of the request, for spans inside its root span.
    pub(crate) fn trace(&self) -> &Trace {
        self.root.inside()
    }

    /// Keeps this observation and the request's part of its client's share until the body of the answer has ended.
    pub(crate) fn follow<B>(
        mut self,
        response: Response<B>,
        share: Option<Arc<Share>>,
    ) -> Response<WasiBody>
    where
        B: Body<Data = Bytes, Error = Error> + Send + Unpin + 'static,
    {
        self.status = response.status().as_u16();
        response.map(|body| {
            CountedBody {
                body,
                observed: self,
                _share: share,
            }
            .boxed_unsync()
        })
    }

    /// Records that the answer has broken off after its head.
    fn broke(&mut self, error: &Error) {
        let ids = self.root.ids();
        log_broken(self.metrics.component(), &self.request_id, ids, error);
        self.root.fail("cut short");
    }
}

/// Logs that the component has broken off an answer, or that the host has cut it off.
pub(crate) fn log_broken(id: &str, request_id: &RequestId, ids: Option<Ids>, error: &Error) {
    if matches!(error, Error::InternalError(Some(reason)) if reason == CUT) {
        return tracing::warn!(
            component = id,
            request = request_id.as_str(),
            trace_id = ids.map(|ids| display(ids.trace)),
            span_id = ids.map(|ids| display(ids.span)),
            "An answer of `{id}` was cut off: {CUT}"
        );
    }
    tracing::error!(
        component = id,
        request = request_id.as_str(),
        trace_id = ids.map(|ids| display(ids.trace)),
        span_id = ids.map(|ids| display(ids.span)),
        "`{id}` broke its answer off: {error}"
    );
}

impl Drop for Observation {
    fn drop(&mut self) {
        let now = Instant::now();
        let took = now - self.request.began;
        match self.status {
            499 => self.root.set("store.client_left", true),
            status => self.root.answer(status),
        }
        // Nearly all traces are thrown away, and to copy the route makes all processors count together.
        if self.root.may_be_kept(took) {
            let route = self.metrics.route();
            self.root.about(route.clone());
            self.root.set("http.route", route.clone());
        }
        self.metrics.leave(self.status, took, &self.root);
        std::mem::take(&mut self.root).end_at(now);
    }
}

struct CountedBody<B> {
    body: B,
    observed: Observation,
    _share: Option<Arc<Share>>,
}

impl<B> Body for CountedBody<B>
where
    B: Body<Data = Bytes, Error = Error> + Unpin,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let next = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &next {
            // The client has read nothing for too long, which is no failure of the component.
            None | Some(Ok(_) | Err(Error::ConnectionWriteTimeout)) => {}
            Some(Err(error)) => self.observed.broke(error),
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
