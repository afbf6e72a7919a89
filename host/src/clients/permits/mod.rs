//! Permits for scarce things, such as connections to MySQL. Clients take turns for them. Where a client could keep
//! permits for long, one client can't get all of them.
//!
//! `state` records which clients have permits and which wait. Nothing here knows what a permit is for.

mod state;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;

use self::state::State;
use super::turns::{Asker, COPIES};

/// A fixed number of permits. If none is free, the caller waits in line behind others of the same client.
pub(crate) struct Permits {
    count: u32,
    /// The most permits of one client. The host's own work may have all.
    share: u32,
    /// The most permits of all mirrored copies together.
    copies: u32,
    /// Returns how many permits must stay free at the moment. One permit is always given, whatever this returns.
    reserve: fn() -> u32,
    state: Mutex<State>,
}

/// One permit. When it is dropped, the asker whose turn it is gets it.
pub(crate) struct Permit {
    permits: Arc<Permits>,
    asker: Asker,
}

impl Permits {
    /// `count` permits. One client gets three quarters of them at most, so that others find a free one even if that
    /// client keeps its own for long. Mirrored copies, for which no client waits, get half of them at most.
    pub(crate) fn shared(count: u32) -> Arc<Self> {
        Self::new(count, count - count / 4, (count / 2).max(1), || 0)
    }

    /// `count` permits, of which one client may have all. As many as `reserve` returns stay free, but at least one is
    /// always given. `reserve` is called with a lock held whenever a permit is wanted or given back, so it must be
    /// quick.
    pub(crate) fn with_reserve(count: u32, reserve: fn() -> u32) -> Arc<Self> {
        Self::new(count, count, count, reserve)
    }

    /// `count` permits, of which one client may have all.
    #[cfg(test)]
    pub(crate) fn whole(count: u32) -> Arc<Self> {
        Self::new(count, count, count, || 0)
    }

    fn new(count: u32, share: u32, copies: u32, reserve: fn() -> u32) -> Arc<Self> {
        Arc::new(Self {
            count,
            share,
            copies,
            reserve,
            state: Mutex::new(State::new(count)),
        })
    }

    /// Whether no permit is taken.
    pub(crate) fn are_all_free(&self) -> bool {
        self.state.lock().free == self.count
    }

    /// Takes a permit, if there is a free one that the asker may have.
    pub(crate) fn take(self: &Arc<Self>, asker: Asker) -> Option<Permit> {
        self.state.lock().take(asker, self)
    }

    /// Whether the asker has a permit or waits for one.
    pub(crate) fn is_for(&self, asker: Asker) -> bool {
        let state = self.state.lock();
        let has_any = asker.is_some_and(|client| state.held.contains_key(&client));
        has_any || state.waiting.has_line(asker)
    }

    /// Whether a caller waits on behalf of the same asker.
    pub(crate) fn has_waiting(&self, asker: Asker) -> bool {
        self.state.lock().waiting.has_line(asker)
    }

    /// Waits for a permit until it is the asker's turn.
    pub(crate) async fn turn(self: &Arc<Self>, asker: Asker) -> Permit {
        loop {
            let turn = {
                let mut state = self.state.lock();
                if let Some(permit) = state.take(asker, self) {
                    return permit;
                }
                let (sender, turn) = oneshot::channel();
                state.waiting.push(asker, sender);
                turn
            };
            // The sender lives as long as these permits, which this call holds, so this can't fail.
            if let Ok(permit) = turn.await {
                return permit;
            }
        }
    }

    /// Waits for a permit, for `limit` at most.
    pub(crate) async fn wait(self: &Arc<Self>, asker: Asker, limit: Duration) -> Option<Permit> {
        if let Some(permit) = self.take(asker) {
            return Some(permit);
        }
        let permit = timeout(limit, self.turn(asker)).await.ok();
        if permit.is_none() {
            let mut state = self.state.lock();
            let left = oneshot::Sender::is_closed;
            state.waiting.forget_first(asker, left);
        }
        permit
    }

    /// How many permits must stay free. It is always less than all, because only a returned permit makes waiting
    /// callers be served.
    fn kept(&self) -> u32 {
        (self.reserve)().min(self.count.saturating_sub(1))
    }

    fn share_of(&self, asker: Asker) -> u32 {
        if asker == Some(COPIES) {
            self.copies
        } else {
            self.share
        }
    }

    fn give_back(self: &Arc<Self>, asker: Asker) {
        self.state.lock().put_back(asker);
        loop {
            let next = self.state.lock().next(self);
            let Some((permit, waiting)) = next else {
                return;
            };
            // If nobody waits there any more, the permit is dropped and so comes back.
            _ = waiting.send(permit);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.permits.give_back(self.asker);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::pin::Pin;

    use futures::FutureExt;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn client(number: u8) -> Asker {
        Some(IpAddr::from([203, 0, 113, number]))
    }

    type Waiter = Pin<Box<dyn Future<Output = Option<Permit>>>>;

    /// Waiting callers in the order of their arrival, each with its client.
    struct Crowd(Vec<(u8, Waiter)>);

    impl Crowd {
        fn of(permits: &Arc<Permits>, clients: &[u8]) -> Self {
            let waiting = clients.iter().map(|number| {
                let (permits, number) = (permits.clone(), *number);
                let permit = async move { permits.wait(client(number), LONG).await };
                (number, Box::pin(permit) as _)
            });
            let mut crowd = Self(waiting.collect());
            assert!(crowd.served().is_empty());
            crowd
        }

        /// The callers that have a permit by now, with it.
        fn served(&mut self) -> Vec<(u8, Permit)> {
            let mut served = Vec::new();
            self.0.retain_mut(|(number, permit)| {
                let permit = permit.as_mut().now_or_never();
                let is_served = permit.is_some();
                served.extend(permit.flatten().map(|permit| (*number, permit)));
                !is_served
            });
            served
        }
    }

    fn numbers(served: &[(u8, Permit)]) -> Vec<u8> {
        served.iter().map(|(number, _)| *number).collect()
    }

    #[tokio::test]
    async fn clients_take_turns_for_what_is_given_back() {
        let permits = Permits::whole(1);
        let mut held = permits.take(client(1));
        let mut crowd = Crowd::of(&permits, &[1, 1, 1, 2, 2, 3]);
        let mut order = Vec::new();
        while let Some(permit) = held {
            drop(permit);
            let served = crowd.served();
            order.extend(numbers(&served));
            held = served.into_iter().next().map(|(_, permit)| permit);
        }
        assert_eq!(order, [1, 2, 3, 1, 2, 1]);
        assert!(permits.are_all_free());
    }

    #[tokio::test]
    async fn one_client_never_has_all() {
        let permits = Permits::shared(8);
        let of_1: Vec<Permit> = std::iter::from_fn(|| permits.take(client(1))).collect();
        assert_eq!(of_1.len(), 6);
        let mut crowd = Crowd::of(&permits, &[1, 1]);
        let of_2: Vec<Permit> = std::iter::from_fn(|| permits.take(client(2))).collect();
        assert_eq!(of_2.len(), 2);
        drop(of_2);
        assert!(crowd.served().is_empty(), "it has its share");
        assert!(permits.take(client(3)).is_some());
        drop(of_1);
        assert_eq!(numbers(&crowd.served()), [1, 1]);
        let of_host: Vec<Permit> = std::iter::from_fn(|| permits.take(None)).collect();
        assert_eq!(of_host.len(), 8);
    }

    #[test]
    fn few_are_not_divided() {
        for (count, share) in [(1, 1), (3, 3), (4, 3), (16, 12), (0, 0)] {
            assert_eq!(Permits::shared(count).share, share);
        }
    }

    #[test]
    fn copies_never_have_more_than_half() {
        for (count, most) in [(1, 1), (2, 1), (4, 2), (16, 8)] {
            let permits = Permits::shared(count);
            let copies: Vec<Permit> = (0..count)
                .filter_map(|_| permits.take(Some(COPIES)))
                .collect();
            assert_eq!(copies.len(), most);
            assert!(count == 1 || permits.take(client(1)).is_some());
        }
    }

    #[tokio::test]
    async fn what_is_kept_is_given_to_nobody_until_it_no_longer_is() {
        use std::sync::atomic::{AtomicU32, Ordering};
        static KEPT: AtomicU32 = AtomicU32::new(1);
        let permits = Permits::with_reserve(3, || KEPT.load(Ordering::Relaxed));
        let mut held: Vec<Permit> = std::iter::from_fn(|| permits.take(client(1))).collect();
        assert_eq!(held.len(), 2);
        let mut crowd = Crowd::of(&permits, &[1, 2, 2]);
        held.pop();
        assert_eq!(numbers(&crowd.served()), [1]);
        KEPT.store(0, Ordering::Relaxed);
        held.pop();
        assert_eq!(crowd.served().len(), 2);
        // One permit is given however many must stay free.
        KEPT.store(9, Ordering::Relaxed);
        assert!(permits.take(client(1)).is_some());
        assert!(permits.are_all_free());
    }

    #[tokio::test]
    async fn who_left_costs_nobody_a_permit() {
        let permits = Permits::whole(1);
        let held = permits.take(None);
        let mut left = Crowd::of(&permits, &[1, 2]);
        let mut crowd = Crowd::of(&permits, &[3, 3]);
        left.0.clear();
        drop(held);
        let served = crowd.served();
        assert_eq!(numbers(&served), [3]);
        // This caller already has its permit when it leaves.
        drop(served);
        crowd.0.clear();
        assert!(permits.are_all_free());
    }

    #[tokio::test]
    async fn who_waits_in_vain_is_forgotten() {
        let permits = Permits::whole(1);
        let _held = permits.take(client(1));
        assert!(permits.wait(client(2), Duration::ZERO).await.is_none());
        assert!(permits.state.lock().waiting.is_empty());
    }
}
