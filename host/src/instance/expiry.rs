//! Decides when an instance ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::life::GenerationLife;
use crate::config::Limits;

/// How long an instance may work after its last answer, as a multiple of the request time limit. It may still stream a
/// body, for example.
const AFTER_ANSWER: u32 = 10;

/// How much longer than its last request's time limit an instance may run. The time limit answers the client; the
/// instance is ended after that.
const GRACE: Duration = Duration::from_millis(40);

/// What an instance is doing, and since when.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Activity {
    /// It has had nothing to do since then.
    Idle(Instant),
    /// It answers requests, and took the last one then.
    Answering(Instant),
    /// It has worked since its last answer, which was then.
    Finishing(Instant),
}

/// Ends an instance that has been idle for long, or that does not stop working.
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
            // The time limit of the request answers the client. This longer one ends the instance if the guest does not
            // stop.
            busy: request + GRACE.min(request / 20),
            after: AFTER_ANSWER * request,
            sleep: Box::pin(tokio::time::sleep(limits.instance_idle)),
            ending: RetirementTimer::new(life),
        }
    }

    /// Ready when an instance with this `activity` must end.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, activity: Activity) -> Poll<()> {
        if self.ending.is_due(cx, activity) {
            return Poll::Ready(());
        }
        let deadline = match activity {
            Activity::Idle(since) => since + self.idle,
            Activity::Answering(since) => since + self.busy,
            Activity::Finishing(since) => since + self.after,
        };
        // The clock is read because the timer may report late: tokio's cooperative budget allows a task only so many
        // polls in a row, and a guest with many timers can use it up.
        if Instant::now() >= deadline {
            return Poll::Ready(());
        }
        // The timer is not set anew with each request. Instead it may go off too early, and is then set to the
        // deadline.
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

/// Notices when the generation is retired, and later when its time to finish is over.
struct RetirementTimer {
    life: Arc<GenerationLife>,
    retired: bool,
    /// Resolves at the next of these two events.
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

    /// Whether an instance with this `activity` must end now.
    fn is_due(&mut self, cx: &mut Context<'_>, activity: Activity) -> bool {
        if !self.retired && self.next.as_mut().poll(cx).is_ready() {
            self.retired = true;
            self.next = Box::pin(self.life.cut.clone().cancelled_owned());
        }
        let is_idle = matches!(activity, Activity::Idle(_));
        self.retired && (is_idle || self.next.as_mut().poll(cx).is_ready())
    }
}
