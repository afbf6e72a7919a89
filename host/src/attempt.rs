//! One try of one request in one generation.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, request};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::PoolConcurrencyLimitError;
use wasmtime_wasi_http::WasiBody;

use crate::body::{Excess, LimitedBody, discard};
use crate::generation::Generation;
use crate::instance::{Admitted, Fate, NoAnswer};
use crate::observed::Held;
use crate::problem::Problem;
use crate::respond::REQUEST_ID;
use crate::tally::Tally;

/// A request that was let in, and who is asked.
pub(crate) struct Attempt {
    pub(crate) generation: Arc<Generation>,
    /// Present while two generations are live.
    pub(crate) tally: Option<Arc<Tally>>,
    pub(crate) permit: Arc<OwnedSemaphorePermit>,
    pub(crate) request_id: Arc<str>,
}

type Outcome = Result<(Response<WasiBody>, Held), Problem>;

impl Attempt {
    /// Asks the generation.
    pub(crate) async fn make(self, request: Request<Incoming>) -> Outcome {
        let (head, body) = request.into_parts();
        if body.is_end_stream() {
            let outcome = self.ask(bare(head)).await;
            return self.finish(outcome);
        }
        let limit_bytes = self.generation.context.limits.body_limit_bytes;
        let excess = Excess::default();
        let body = LimitedBody::new(body, limit_bytes, excess.clone()).boxed_unsync();
        let outcome = self.ask(Request::from_parts(head, body)).await;
        if let Some(body) = excess.take() {
            discard(body).await;
            return Err(Problem::BodyTooLarge { limit_bytes });
        }
        self.finish(outcome)
    }

    /// Asks a canary, and the stable generation if the canary fails a request that can be sent twice.
    pub(crate) async fn or_stable(
        mut self,
        request: Request<Incoming>,
        stable: Arc<Generation>,
        tally: Arc<Tally>,
    ) -> Outcome {
        // Only the safe methods of RFC 9110, section 9.2.1: another may have done its work before it failed.
        let is_safe = matches!(
            *request.method(),
            Method::GET | Method::HEAD | Method::OPTIONS
        );
        if !is_safe || !request.body().is_end_stream() {
            return self.make(request).await;
        }
        let (head, _) = request.into_parts();
        let outcome = self.ask(bare(head.clone())).await;
        let failed = match &outcome {
            Ok((response, _)) => response.status().is_server_error(),
            // Its time is over, and so is its client's patience.
            Err(problem) => *problem != Problem::TimedOut,
        };
        if !failed {
            return self.finish(outcome);
        }
        let context = &self.generation.context;
        context.metrics.swaps.retried(&context.id);
        self.generation = stable;
        self.tally = Some(tally);
        let outcome = self.ask(bare(head)).await;
        self.finish(outcome)
    }

    /// Ties what the request holds to its answer.
    fn finish(self, outcome: Result<(Response<WasiBody>, Fate), Problem>) -> Outcome {
        let (response, fate) = outcome?;
        let held = Held {
            generation: self.generation.life.enter(),
            permit: self.permit,
            fate,
            // A failure is counted already.
            tally: self.tally.filter(|_| !response.status().is_server_error()),
        };
        Ok((response, held))
    }

    async fn ask(
        &self,
        mut request: Request<WasiBody>,
    ) -> Result<(Response<WasiBody>, Fate), Problem> {
        let _in_flight = self.generation.life.enter();
        if let Ok(value) = HeaderValue::from_str(&self.request_id) {
            request.headers_mut().insert(REQUEST_ID, value);
        }
        let fate = Fate::default();
        let counted = self.tally.as_ref().map(Tally::begin);
        let admitted = Admitted {
            id: self.request_id.clone(),
            permit: Some(self.permit.clone()),
            fate: fate.clone(),
        };
        let answer = self.generation.instances.handle(admitted, request).await;
        let outcome = match answer {
            Ok(response) => Ok((response, fate)),
            Err(error) => Err(self.blame(&error)),
        };
        if let Some(counted) = counted {
            counted.answered(match &outcome {
                Ok((response, _)) => response.status(),
                Err(problem) => problem.status(),
            });
        }
        outcome
    }

    /// What it means to the client that there is no answer. The cause is logged here, once.
    fn blame(&self, cause: &NoAnswer) -> Problem {
        let problem = match cause {
            NoAnswer::TimedOut => Problem::TimedOut,
            NoAnswer::NoInstance(error) if error.is::<PoolConcurrencyLimitError>() => {
                Problem::Overloaded
            }
            NoAnswer::NoInstance(_) | NoAnswer::InstanceEnded | NoAnswer::Failed(_) => {
                Problem::ComponentFailed
            }
        };
        let id = &self.generation.context.id;
        tracing::error!(
            component = id,
            generation = self.generation.version.number,
            request = &*self.request_id,
            "`{id}` gave no answer: {cause}"
        );
        problem
    }
}

/// A request without a body.
fn bare(head: request::Parts) -> Request<WasiBody> {
    let body = Empty::<Bytes>::new().map_err(|never| match never {});
    Request::from_parts(head, body.boxed_unsync())
}
