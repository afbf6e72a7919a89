//! When an instance ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::generation::GenerationLife;
use crate::config::Limits;

/// After its last answer, an instance may go on for so many times the limit of a request, to stream bodies for example.
const AFTER_ANSWER: u32 = 10;

/// How long an instance may go on after its last request's time limit: first the limit answers the client, then the
/// instance is ended.
const GRACE: Duration = Duration::from_millis(40);

/// What an instance does, and since when.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Activity {
    /// It has nothing to do.
    Idle(Instant),
    /// It answers requests, and took the last one then.
    Answering(Instant),
    /// It does what is left to do after its last answer.
    Finishing(Instant),
}

/// Ends an instance that has nothing to do, or that does not stop.
pub(crate) struct Expiry {
    idle: Duration,
    busy: Duration,
    after: Duration,
    sleep: Pin<Box<Sleep>>,
    ending: RetirementTimer,
}

impl Expiry {
    pub(crate) fn new(limits: &Limits, life: &Arc<GenerationLife>) -> Self {
        let request = limits.request_timeout;
        Self {
            idle: limits.instance_idle,
            // The request's own limit answers the client; this one ends the instance if it won't stop.
            busy: request + GRACE.min(request / 20),
            after: AFTER_ANSWER * request,
            sleep: Box::pin(tokio::time::sleep(limits.instance_idle)),
            ending: RetirementTimer::new(life),
        }
    }

    /// Ready when an instance that does `activity` must end.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, activity: Activity) -> Poll<()> {
        if self.ending.is_due(cx, activity) {
            return Poll::Ready(());
        }
        let deadline = match activity {
            Activity::Idle(since) => since + self.idle,
            Activity::Answering(since) => since + self.busy,
            Activity::Finishing(since) => since + self.after,
        };
        // The timer may not tell: a guest with many timers of its own uses up what a task may ask of tokio in a row.
        if Instant::now() >= deadline {
            return Poll::Ready(());
        }
        // A timer that goes off too early is set anew then, instead of with each request.
        if self.sleep.deadline() > deadline.into() {
            self.sleep.as_mut().reset(deadline.into());
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(deadline.into());
        }
        Poll::Pending
    }
}

/// Notices that the generation is retired, and then that its time for finishing is over.
struct RetirementTimer {
    life: Arc<GenerationLife>,
    retired: bool,
    /// Resolves at the next of the two.
    next: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl RetirementTimer {
    fn new(life: &Arc<GenerationLife>) -> Self {
        Self {
            life: life.clone(),
            retired: false,
            next: Box::pin(life.retired.clone().cancelled_owned()),
        }
    }

    /// Whether an instance that does `activity` must end now.
    fn is_due(&mut self, cx: &mut Context<'_>, activity: Activity) -> bool {
        if !self.retired && self.next.as_mut().poll(cx).is_ready() {
            self.retired = true;
            self.next = Box::pin(self.life.cut.clone().cancelled_owned());
        }
        let is_idle = matches!(activity, Activity::Idle(_));
        self.retired && (is_idle || self.next.as_mut().poll(cx).is_ready())
    }
}
