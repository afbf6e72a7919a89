//! Permits for scarce things, such as connections to MySQL. Clients take turns for them. Where a client could keep
//! permits for long, one client can't get all of them. Nothing here knows what a permit is for.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::turns::{Asker, COPIES, Turns};

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

/// Which clients have permits, and which wait for one. Changed by callers that take, await or give back a permit.
struct State {
    free: u32,
    /// How many permits each client has, for clients that have any.
    held: HashMap<IpAddr, u32>,
    /// The waiting callers. While a permit is free and need not stay free, each waiting asker already has as many
    /// permits as it may. A permit that no longer needs to stay free is given to them only when the next permit comes
    /// back.
    waiting: Turns<oneshot::Sender<Permit>>,
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

impl State {
    fn new(free: u32) -> Self {
        Self {
            free,
            held: HashMap::new(),
            waiting: Turns::new(),
        }
    }

    fn take(&mut self, asker: Asker, permits: &Arc<Permits>) -> Option<Permit> {
        if self.free <= permits.kept() || !has_less_than(&self.held, asker, permits.share_of(asker))
        {
            return None;
        }
        self.free -= 1;
        if let Some(client) = asker {
            *self.held.entry(client).or_default() += 1;
        }
        Some(Permit {
            permits: permits.clone(),
            asker,
        })
    }

    /// A permit for the waiting caller whose turn it is, if one is free.
    fn next(&mut self, permits: &Arc<Permits>) -> Option<(Permit, oneshot::Sender<Permit>)> {
        while self.free > permits.kept() {
            let held = &self.held;
            let may = |asker| has_less_than(held, asker, permits.share_of(asker));
            let (asker, waiting) = self.waiting.pop_of(may)?;
            if !waiting.is_closed() {
                return Some((self.take(asker, permits)?, waiting));
            }
        }
        None
    }

    fn put_back(&mut self, asker: Asker) {
        self.free += 1;
        let Some(client) = asker else { return };
        if let Some(held) = self.held.get_mut(&client) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&client);
            }
        }
    }
}

fn has_less_than(held: &HashMap<IpAddr, u32>, asker: Asker, share: u32) -> bool {
    let held = asker.and_then(|client| held.get(&client));
    held.is_none_or(|held| *held < share)
}
