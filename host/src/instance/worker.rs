//! One instance at work: it takes requests, several at a time, and ends when it must.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Instant;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use store_server::trace::{Ids, Kind, Span};
use tokio::sync::oneshot;
use wasmtime::component::{Accessor, Resource, TypedFuncCallConcurrent};
use wasmtime::{AsContextMut, Store};
use wasmtime_wasi_http::p3::bindings::Service;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p3::{Request, Response};
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpView};

use super::bell::Bell;
use super::caller::{Caller, CallerProgress, UnreadHeaders};
use super::expiry::{Activity, Expiry};
use super::instances::{Admission, Answer, InstanceFate, Instances, Job, NoAnswer};
use super::occupancy::Occupancy;
use super::phase::Phase;
use super::processor_turn::{ProcessorTurn, TURN, computes};
use super::queue::NextRequest;
use super::readers::Readers;
use super::roster::Seat;
use super::state::State;
use crate::clients::Asker;
use crate::message::RequestId;

type Call =
    TypedFuncCallConcurrent<State, (Resource<Request>,), (Result<Resource<Response>, ErrorCode>,)>;

/// Resolves when the request's body has arrived, or fails if it does not.
type BodyArrival = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// Runs an instance until it ends.
pub(crate) async fn run(
    instances: &Instances,
    seat: &mut Seat,
    mut store: Store<State>,
    service: Service,
) {
    let worker = Worker {
        instances,
        service,
        fate: InstanceFate::default(),
        readers: Readers::default(),
        state: Mutex::new(WorkerState {
            seat,
            activity: Activity::Idle(Instant::now()),
            phase: Phase::Waiting,
            occupancy: Occupancy::default(),
        }),
    };
    let result = worker.work(&mut store).await;
    if result.is_err() {
        worker.fate.fail();
    }
    worker.state.lock().phase = Phase::Ended;
    let callers = &store.data().callers;
    let asked = callers.only_one().map(FailedRequest::of);
    // Unfinished bodies end here, after the fate of the instance was set.
    drop(store);
    if let Err(error) = result {
        worker.report(&error, asked.as_ref());
    }
}

/// The request that an instance failed.
struct FailedRequest {
    id: RequestId,
    ids: Option<Ids>,
}

impl FailedRequest {
    fn of(caller: &Caller) -> Self {
        Self {
            id: caller.request.clone(),
            ids: caller.ids(),
        }
    }
}

struct Worker<'a> {
    instances: &'a Instances,
    service: Service,
    fate: InstanceFate,
    readers: Readers,
    /// Only the worker's task takes this lock, so nobody ever waits for it. But to take it costs, even so: it is taken
    /// once for several steps. `serve` holds it while it polls the guest's calls and begins one, so nothing that these
    /// run may take it.
    state: Mutex<WorkerState<'a>>,
}

/// What changes while an instance works.
struct WorkerState<'a> {
    seat: &'a mut Seat,
    activity: Activity,
    phase: Phase,
    occupancy: Occupancy,
}

/// How a turn of an instance ended.
enum Turn<T> {
    /// The instance has ended.
    Ended(T),
    /// The instance has nothing to do until it is woken.
    Rests,
    /// The instance has more to do, for this client alone if it is known.
    Over(Asker),
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        if self.state.lock().phase != Phase::Ended {
            self.fate.fail();
        }
    }
}

impl<'a> Worker<'a> {
    /// Runs the instance's event loop, and watches it from outside, because nothing inside it runs while the guest
    /// computes.
    async fn work(&self, store: &mut Store<State>) -> wasmtime::Result<()> {
        let inside = store.run_concurrent(async |accessor| self.serve(accessor).await);
        let mut inside = pin!(inside);
        let limits = &self.instances.component().limits;
        let mut expiry = Expiry::new(limits, self.instances.life());
        let mut processor_turn = ProcessorTurn::default();
        let bell = Arc::new(Bell::default());
        let waker = bell.clone().into();
        std::future::poll_fn(|cx| {
            let (slept, client) = {
                let mut state = self.state.lock();
                (state.phase.wake(), state.occupancy.client())
            };
            if slept {
                // Other tasks that were woken run first, because they may bring more requests: to take several in a row
                // costs less.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if processor_turn.poll(cx, client).is_ready() {
                bell.mute(cx.waker());
                let mut inner = TaskContext::from_waker(&waker);
                let turn = self.turn(&mut inner, &bell, &processor_turn, inside.as_mut());
                bell.unmute();
                match turn {
                    Turn::Ended(result) => return Poll::Ready(result.flatten()),
                    Turn::Rests => processor_turn.rest(),
                    Turn::Over(client) => processor_turn.end_turn(cx, client),
                }
            }
            let activity = self.state.lock().activity;
            expiry.poll(cx, activity).map(|()| match activity {
                Activity::Idle(_) => Ok(()),
                _ => Err(wasmtime::format_err!("it did not end in time")),
            })
        })
        .await
    }

    /// Polls the event loop until it has nothing more to do or the turn is over. Between polls, the loop takes
    /// requests.
    fn turn<T>(
        &self,
        cx: &mut TaskContext<'_>,
        bell: &Bell,
        processor_turn: &ProcessorTurn,
        mut inside: Pin<&mut impl Future<Output = T>>,
    ) -> Turn<T> {
        let began = Instant::now();
        loop {
            if let Poll::Ready(result) = inside.as_mut().poll(cx) {
                return Turn::Ended(result);
            }
            // The event loop may have woken itself, to let others run.
            let goes_on = bell.rang();
            // The client is asked for anew: the loop may just have taken a request of another client.
            let client = {
                let mut state = self.state.lock();
                if !state.phase.has_looked() {
                    self.pass(state.seat);
                }
                if !state.phase.end_round(goes_on) {
                    return Turn::Rests;
                }
                state.occupancy.client()
            };
            if began.elapsed() >= TURN || processor_turn.must_wait(client) {
                return Turn::Over(client);
            }
        }
    }

    /// Takes requests until the instance has a reason to end.
    async fn serve(&self, accessor: &Accessor<State>) -> wasmtime::Result<()> {
        let limits = &self.instances.component().limits;
        let queue = self.instances.queue();
        let handle = *self.service.wasi_http_handler().func_handle().func();
        let mut calls = FuturesUnordered::new();
        let mut total = 0;
        let mut is_open = true;
        std::future::poll_fn(|cx| {
            let state = &mut *self.state.lock();
            let may_take = state.phase.look();
            let mut took = false;
            loop {
                while let Poll::Ready(Some(in_time)) = calls.poll_next_unpin(cx) {
                    state.occupancy.answered();
                    // A late request may never end. So the instance takes no more requests, and ends with those it has.
                    is_open &= in_time?;
                    if calls.is_empty() {
                        state.activity = Activity::Finishing(Instant::now());
                    }
                }
                if took {
                    state.phase.take();
                    return Poll::Pending;
                }
                if !may_take {
                    self.instances.meet(queue.arrive(state.seat));
                    return Poll::Pending;
                }
                is_open &= total < limits.instance_requests;
                let is_ready = accessor.poll_ready_for_concurrent_call(handle, cx);
                let room = (limits.instance_concurrency as usize).saturating_sub(calls.len());
                let has_room = room > 0 && self.readers.are_fewer_than(room, cx.waker());
                if !(is_open && is_ready.is_ready() && has_room) {
                    self.pass(state.seat);
                    break;
                }
                let may = |asker| state.occupancy.may_have(asker, computes);
                let (taken, need) = queue.take(state.seat, cx.waker(), may);
                self.instances.meet(need);
                let job = match taken {
                    NextRequest::Request(job) => job,
                    NextRequest::Sleeps => {
                        state.phase.sleep();
                        break;
                    }
                    NextRequest::Passes => break,
                };
                if job.answer.is_closed() {
                    // The client has left.
                    continue;
                }
                took = true;
                total += 1;
                let now = Instant::now();
                state.activity = Activity::Answering(now);
                state.occupancy.take(job.admitted.client());
                calls.push(self.begin(accessor, job, now)?);
            }
            if !calls.is_empty() || accessor.poll_no_interesting_tasks(cx).is_pending() {
                return Poll::Pending;
            }
            if !is_open {
                return Poll::Ready(Ok(()));
            }
            if !matches!(state.activity, Activity::Idle(_)) {
                state.activity = Activity::Idle(Instant::now());
            }
            Poll::Pending
        })
        .await
    }

    /// Starts the call of the guest, which runs in the event loop. The returned future says whether the guest answered
    /// in time.
    fn begin<'b>(
        &'b self,
        accessor: &'b Accessor<State>,
        job: Job,
        now: Instant,
    ) -> wasmtime::Result<impl Future<Output = wasmtime::Result<bool>> + 'b> {
        let client = job.admitted.client();
        let Job {
            admitted: Admission { id, place, .. },
            request,
            mut answer,
            wait,
        } = job;
        let run = self.run(wait, now);
        let progress = CallerProgress::new(run.inside(), &request);
        let (call, received) = accessor.with(|mut access| {
            let mut store = access.as_context_mut();
            let (request, received) = Request::from_http(store.data_mut().http().hooks, request);
            let received: BodyArrival = Box::pin(received);
            let headers = request.headers.clone();
            let request = store.data_mut().table.push(request)?;
            let unread = UnreadHeaders::of(&request, headers);
            let caller = Caller::new(id, client, progress, unread);
            let handle = self.service.wasi_http_handler().func_handle();
            let call = handle.start_call_concurrent(&mut store, (request,))?;
            store.data_mut().callers.begin(call.task(), caller);
            wasmtime::error::Ok((call, received))
        })?;
        let deadline = now + self.instances.component().limits.request_timeout;
        Ok(async move {
            let mut run = run;
            let outcome = tokio::select! {
                biased;
                outcome = self.answer(accessor, call, received) => outcome,
                () = abandoned(&mut answer, deadline) => return Ok(false),
            };
            drop(place);
            if outcome.is_err() {
                run.fail("no answer");
            }
            drop(run);
            let life = self.instances.life();
            let fate = || self.fate.of_answer(self.readers.begin(), life);
            let outcome = outcome.map(|response| (response, fate()));
            // The receiver is gone if the client has left.
            _ = answer.send(outcome.map_err(NoAnswer::Failed));
            Ok(true)
        })
    }

    async fn answer(
        &self,
        accessor: &Accessor<State>,
        call: Call,
        received: BodyArrival,
    ) -> wasmtime::Result<http::Response<WasiBody>> {
        let task = call.task();
        let handle = self.service.wasi_http_handler().func_handle();
        let (response,) = handle.finish_call_concurrent(accessor, call).await?;
        let response = accessor.with(|mut access| {
            access.as_context_mut().data_mut().answered(task)?;
            let response = response?;
            let response = access.as_context_mut().data_mut().table.delete(response)?;
            response.into_http(access, received)
        })?;
        let status = response.status();
        if status.is_informational() {
            // Another answer would have to follow it (RFC 9110, section 15.2), and a guest has only one.
            wasmtime::bail!(
                "it answered with {}, which is not the status of an answer",
                status.as_u16()
            );
        }
        Ok(response)
    }

    /// The span of the guest's work for a request, until it answers. It begins when the `wait` for the instance ends.
    fn run(&self, wait: Span, now: Instant) -> Span {
        let mut run = wait.followed_by("run", Kind::Internal, now);
        self.instances.life().describe(&mut run);
        run
    }

    /// Leaves the waiting requests to other instances.
    fn pass(&self, seat: &mut Seat) {
        let need = self.instances.queue().pass(seat);
        self.instances.meet(need);
    }

    /// Counts and logs the error that ended the instance. If its generation has ended, that is the reason and no fault
    /// of the instance. The line names the request that was `asked`, if that was the only one: of several, nobody can
    /// tell which one ended the instance, and each has a line of its own.
    fn report(&self, error: &wasmtime::Error, asked: Option<&FailedRequest>) {
        if self.instances.life().cut.is_cancelled() {
            return;
        }
        let context = self.instances.component();
        let component = &context.id;
        context.metrics.trap(component);
        let ids = asked.and_then(|asked| asked.ids);
        tracing::error!(
            component,
            request = asked.map(|asked| asked.id.as_str()),
            trace_id = ids.map(|ids| display(ids.trace)),
            span_id = ids.map(|ids| display(ids.span)),
            "An instance of `{component}` ended: {}",
            error.root_cause()
        );
        tracing::debug!(component, "{error:?}");
    }
}

/// Resolves when the receiver of the answer is gone and `deadline` has passed. A waiting receiver gives up at that time
/// by its own timer, so most requests need no second timer.
async fn abandoned(answer: &mut oneshot::Sender<Answer>, deadline: Instant) {
    answer.closed().await;
    tokio::time::sleep_until(deadline.into()).await;
}
