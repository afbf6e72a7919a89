//! Which clients have permits, and which wait for one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Permit, Permits};
use crate::clients::turns::{Asker, Turns};

/// Changed by callers that take, await or give back a permit.
pub(super) struct State {
    pub(super) free: u32,
    /// How many permits each client has, for clients that have any.
    pub(super) held: HashMap<IpAddr, u32>,
    /// The waiting callers. While a permit is free and need not stay free, each waiting asker already has as many
    /// permits as it may. A permit that no longer needs to stay free is given to them only when the next permit comes
    /// back.
    pub(super) waiting: Turns<oneshot::Sender<Permit>>,
}

impl State {
    pub(super) fn new(free: u32) -> Self {
        Self {
            free,
            held: HashMap::new(),
            waiting: Turns::new(),
        }
    }

    pub(super) fn take(&mut self, asker: Asker, permits: &Arc<Permits>) -> Option<Permit> {
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
    pub(super) fn next(
        &mut self,
        permits: &Arc<Permits>,
    ) -> Option<(Permit, oneshot::Sender<Permit>)> {
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

    pub(super) fn put_back(&mut self, asker: Asker) {
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
