//! One attempt to have one generation answer one request.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, request};
use http_body_util::{BodyExt, Empty};
use store_server::trace::Trace;
use wasmtime_wasi_http::WasiBody;

use super::observed::Holdings;
use super::received::ReceivedBody;
use crate::app::{OpenRequest, Tally};
use crate::instance::{Admission, Answer, Generation, NoAnswer, RequestPlace};
use crate::message::{Problem, RequestId};

/// An admitted request, and the generation that is to answer it.
pub(crate) struct Attempt<'a> {
    pub(crate) generation: Arc<Generation>,
    /// The counts of the generation's version. Present only while two generations are live.
    pub(crate) tally: Option<Arc<Tally>>,
    pub(crate) place: Arc<RequestPlace>,
    pub(crate) request_id: RequestId,
    /// Where this attempt belongs in the request's trace.
    pub(crate) trace: &'a Trace,
    /// True for a health check that came when the component already had the most requests it may have.
    pub(crate) is_urgent: bool,
}

type Outcome = Result<(Response<WasiBody>, Holdings), Problem>;

impl Attempt<'_> {
    /// Sends the request to the generation, and returns its answer.
    pub(crate) async fn make(self, head: request::Parts, body: Option<ReceivedBody>) -> Outcome {
        let request = match body {
            Some(body) => Request::from_parts(head, body.boxed_unsync()),
            None => bare(head),
        };
        self.ask(request).await
    }

    /// Asks the canary. If the canary fails a request that may be sent twice, asks the `stable` generation.
    pub(crate) async fn or_stable(
        mut self,
        head: request::Parts,
        body: Option<ReceivedBody>,
        stable: Arc<Generation>,
        tally: Arc<Tally>,
    ) -> Outcome {
        // Only the safe methods of RFC 9110, section 9.2.1, are sent twice: another request may have changed data
        // before it failed.
        let is_safe = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if !is_safe || body.is_some() {
            return self.make(head, body).await;
        }
        let outcome = self.ask(bare(head.clone())).await;
        let failed = match &outcome {
            Ok((response, _)) => response.status().is_server_error(),
            // After a time-out nothing is sent again: the request's time and its client's patience are used up.
            Err(problem) => *problem != Problem::TimedOut,
        };
        if !failed {
            return outcome;
        }
        // If the host had no room, the canary is not to blame, so this does not count as a failure of the canary.
        if outcome.err() != Some(Problem::Overloaded) {
            let context = &self.generation.context;
            context.metrics.trials.retried(&context.id);
        }
        self.generation = stable;
        self.tally = Some(tally);
        self.ask(bare(head)).await
    }

    async fn ask(&self, request: Request<WasiBody>) -> Outcome {
        let generation = self.generation.life.enter();
        let counted = self.tally.as_ref().map(Tally::begin);
        let admitted = Admission {
            id: self.request_id.clone(),
            place: Some(self.place.clone()),
            is_urgent: self.is_urgent,
        };
        let instances = &self.generation.instances;
        let answer = instances.handle(admitted, request, self.trace).await;
        if let Some(counted) = counted {
            count(counted, &answer);
        }
        let (response, fate) = answer.map_err(|cause| self.blame(&cause))?;
        let status = response.status();
        let held = Holdings {
            place: self.place.clone(),
            generation,
            fate,
            // A server error has been counted by `count` already.
            tally: self.tally.clone().filter(|_| !status.is_server_error()),
        };
        Ok((response, held))
    }

    /// Logs why the generation gave no answer, and returns the problem that the client is told. Nothing else logs this.
    fn blame(&self, cause: &NoAnswer) -> Problem {
        let problem = problem(cause);
        let (id, ids) = (&self.generation.context.id, self.trace.ids());
        tracing::error!(
            component = id,
            generation = self.generation.version.number,
            request = self.request_id.as_str(),
            trace_id = ids.map(|ids| display(ids.trace)),
            span_id = ids.map(|ids| display(ids.span)),
            "`{id}` gave no answer: {cause}"
        );
        problem
    }
}

/// The problem that the client is told when the component gave no answer.
fn problem(cause: &NoAnswer) -> Problem {
    match cause {
        NoAnswer::TimedOut => Problem::TimedOut,
        NoAnswer::NoInstance(_) if cause.is_shortage() => Problem::Overloaded,
        NoAnswer::NoInstance(_) | NoAnswer::InstanceEnded | NoAnswer::Failed(_) => {
            Problem::ComponentFailed
        }
    }
}

/// Counts the outcome of a request to one of two versions. A request that the host had no room for is not counted.
fn count(counted: OpenRequest, answer: &Answer) {
    match answer {
        Ok((response, _)) => counted.answered(response.status()),
        Err(cause) if cause.is_shortage() => counted.forget(),
        Err(cause) => counted.answered(problem(cause).status()),
    }
}

fn bare(head: request::Parts) -> Request<WasiBody> {
    let body = Empty::<Bytes>::new().map_err(|never| match never {});
    Request::from_parts(head, body.boxed_unsync())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::shortage;
    use crate::metrics::Metrics;
    use crate::rollout::Counts;

    #[test]
    fn a_host_without_room_is_no_error_of_a_version() {
        let metrics = Metrics::new().expect("names are unique");
        let tally = Arc::new(Tally::new(metrics.trials.trial("orders", "2")));
        count(tally.begin(), &Err(shortage()));
        assert_eq!(tally.counts(), Counts::default());
        count(tally.begin(), &Err(NoAnswer::InstanceEnded));
        let counts = tally.counts();
        assert_eq!((counts.requests, counts.errors), (1, 1));
    }
}
