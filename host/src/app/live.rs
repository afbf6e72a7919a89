//! The live app: its routes, and the generations of its components.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::request;

use super::choice::Choice;
use super::router::{Router, Target};
use super::slot::Slot;
use crate::instance::Generation;
use crate::mysql;
use crate::outbound::Kind;

/// The app that serves, behind one atomic pointer. A swap or a reload makes a new [`App`] and replaces the old one in
/// one step.
pub(crate) type LiveApp = ArcSwap<App>;

/// The routes of an app, and what serves each of its components.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) router: Arc<Router>,
    pub(crate) slots: BTreeMap<String, Slot>,
}

impl App {
    /// The component that a path leads to, and the largest body that it takes, in bytes.
    pub(crate) fn target(&self, path: &str) -> Option<(Arc<Target>, u64)> {
        let target = self.router.find(path)?;
        let slot = self.slots.get(&target.component)?;
        let limits = &slot.stable.context.limits;
        Some((target, limits.body_limit_bytes))
    }

    /// The generation that is to serve a request, and how the request counts.
    pub(crate) fn pick(
        &self,
        target: &Target,
        head: &request::Parts,
        has_body: bool,
    ) -> Option<Choice> {
        let slot = self.slots.get(&target.component)?;
        Some(slot.pick(head, has_body))
    }

    /// The addresses of the databases that the components' variables name, each once, and how to reach each.
    pub(crate) fn databases(&self) -> BTreeMap<String, Arc<mysql::Servers>> {
        let contexts = self.slots.values().map(|slot| &slot.stable.context);
        let named = contexts.flat_map(|context| {
            let values = context.variables.values();
            let addresses = values.filter(|value| Kind::of(value) == Some(Kind::Mysql));
            addresses.map(|address| (address.clone(), context.mysql.servers().clone()))
        });
        named.collect()
    }

    /// The stable generation of a component.
    pub(crate) fn stable(&self, id: &str) -> Option<Arc<Generation>> {
        self.slots.get(id).map(|slot| slot.stable.clone())
    }

    /// The same app, with `slot` in the place of the component's old slot.
    pub(crate) fn with(&self, id: &str, slot: Slot) -> Self {
        let mut app = self.clone();
        app.slots.insert(id.to_owned(), slot);
        app
    }
}
