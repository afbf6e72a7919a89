//! Lets instances that compute for long take turns on the processor.
//!
//! At most as many of them as there are threads run or are about to run. While several clients have requests it is
//! fewer, so that a thread is free for short work. The others wait here, in the order of their clients' turns. In the
//! runtime's queue instead, each of them would delay all short work that comes after it.

use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::clients::{Asker, Permit, Permits, clients_at_work};

/// How long an instance may run before others get its thread.
pub(super) const TURN: Duration = Duration::from_millis(1);

/// While several clients have requests, one thread in this many is kept for short work, and at least one.
const KEPT: u32 = 4;

static THREADS: LazyLock<u32> = LazyLock::new(|| {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(threads).unwrap_or(u32::MAX)
});

/// One permit for each thread. All components share them, because they share one processor.
static PROCESSOR: LazyLock<Arc<Permits>> =
    LazyLock::new(|| Permits::with_reserve(*THREADS, kept_threads));

fn kept_threads() -> u32 {
    match clients_at_work() {
        0..=1 => 0,
        _ => (*THREADS / KEPT).max(1),
    }
}

/// Whether this client has instances that compute for long.
pub(super) fn computes(asker: Asker) -> bool {
    PROCESSOR.is_for(asker)
}

/// Whether any instance has used up a whole turn and has more to compute.
pub(super) fn some_compute() -> bool {
    !PROCESSOR.are_all_free()
}

/// One instance's right to run.
pub(super) struct ProcessorTurn {
    processor: Arc<Permits>,
    state: TurnState,
}

enum TurnState {
    /// The instance was woken, and needs no permit for its first turn.
    Fresh,
    /// The instance waits for a permit, because it has used up a turn, or was woken while other instances of its client
    /// wait.
    Waiting(Pin<Box<dyn Future<Output = Permit> + Send>>),
    /// The instance has a permit for another turn.
    Going(#[expect(dead_code, reason = "it counts until it is dropped")] Permit),
}

impl Default for ProcessorTurn {
    fn default() -> Self {
        Self::on(PROCESSOR.clone())
    }
}

impl ProcessorTurn {
    fn on(processor: Arc<Permits>) -> Self {
        Self {
            processor,
            state: TurnState::Fresh,
        }
    }

    /// Ready when the instance, which works for `asker`, may run.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, asker: Asker) -> Poll<()> {
        if self.must_wait(asker) {
            self.wait(asker);
        }
        if let TurnState::Waiting(turn) = &mut self.state {
            let Poll::Ready(permit) = turn.as_mut().poll(cx) else {
                return Poll::Pending;
            };
            self.state = TurnState::Going(permit);
        }
        Poll::Ready(())
    }

    /// Whether a woken instance must wait even for its first turn, because other instances of its client wait. Without
    /// this rule, many short instances of one client would delay other clients as much as a long one does.
    pub(super) fn must_wait(&self, asker: Asker) -> bool {
        matches!(self.state, TurnState::Fresh) && self.processor.has_waiting(asker)
    }

    /// Ends the turn of an instance that has more to compute. Its task is woken when its next turn comes.
    pub(super) fn end_turn(&mut self, cx: &mut Context<'_>, asker: Asker) {
        // The permit is given back first, so that others may take it before this instance does.
        self.state = TurnState::Fresh;
        self.wait(asker);
        // This registers the waker. The instance runs again at the earliest when its task is woken.
        _ = self.poll(cx, asker);
    }

    fn wait(&mut self, asker: Asker) {
        let processor = self.processor.clone();
        self.state = TurnState::Waiting(Box::pin(async move {
            let permit = processor.turn(asker).await;
            // Yielding lets other tasks run first, and lets the runtime poll sockets, which it does only when its queue
            // is empty or after a number of tasks. Without it, a task that another task wakes would run before all
            // others.
            tokio::task::yield_now().await;
            permit
        }));
    }

    /// Records that the instance has nothing to do until it is woken.
    pub(super) fn rest(&mut self) {
        self.state = TurnState::Fresh;
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::task::Waker;

    use super::*;

    const NEIGHBOUR: Asker = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    /// Whether the instance may run, after tasks that wait for no permit had their chance.
    fn may_go(processor_turn: &mut ProcessorTurn, asker: Asker) -> bool {
        let mut poll = || processor_turn.poll(&mut context(), asker).is_ready();
        poll() || poll()
    }

    #[test]
    fn who_computes_for_long_waits_for_others_and_who_was_woken_does_not() {
        let processor = Permits::whole(1);
        let [mut one, mut two, mut three, mut four] =
            std::array::from_fn(|_| ProcessorTurn::on(processor.clone()));
        for processor_turn in [&mut one, &mut two] {
            assert!(may_go(processor_turn, None));
            processor_turn.end_turn(&mut context(), None);
        }
        assert!(may_go(&mut one, None) && !may_go(&mut two, None));
        assert!(may_go(&mut three, NEIGHBOUR), "it has its first turn");
        assert!(
            !may_go(&mut four, None),
            "its client has others that compute"
        );
        three.end_turn(&mut context(), NEIGHBOUR);
        one.end_turn(&mut context(), None);
        assert!(!may_go(&mut one, None) && may_go(&mut two, None));
        two.rest();
        assert!(may_go(&mut three, NEIGHBOUR), "clients take turns");
        three.rest();
        assert!(may_go(&mut four, None));
        four.rest();
        assert!(may_go(&mut one, None));
        drop(one);
        assert!(processor.are_all_free());
    }
}
