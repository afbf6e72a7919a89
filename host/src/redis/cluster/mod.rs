//! Redis Cluster: keys are divided into slots, and one primary holds each slot
//! (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>).
//!
//! `command` finds the slot of a command, `slots` reads from a node's answers which primary holds which slots, and
//! `errors` knows what servers answer for a slot that they do not hold. The links to the primaries are here.
//!
//! The redis crate has a cluster client. It opens connections of its own, without our certificates, limits and
//! notifications of changes. So each primary has a [`Link`], like any other Redis server.

mod command;
mod errors;
mod slots;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::{Cmd, RedisConnectionInfo, RedisError, RedisResult, Value};
use rustls::ClientConfig;

pub(super) use self::errors::is_elsewhere;
pub(crate) use self::errors::is_no_cluster;
use self::errors::{explained, is_passing, named_server, not_connected};
use self::slots::Slots;
use super::is_outage;
use super::link::Link;
use super::near::NearCache;
use super::settings::LinkSettings;
use super::target::{LOOKS, Target};
use super::votes::{self, Disagreement, STANDS};
use crate::clients::Asker;
use crate::config::HostPort;
use crate::outbound::{Attributes, Backend};

/// The largest reply of a node about the slots, in bytes. It is enough for some thousands of ranges.
const SLOTS_BYTES: usize = 4 * 1024 * 1024;

/// The links to the primaries of a Redis Cluster, for one address of a component.
pub(crate) struct Cluster {
    /// The nodes that the settings name. They are asked which server holds which slots.
    nodes: Vec<(HostPort, Arc<Link>)>,
    tls: Option<Arc<ClientConfig>>,
    info: RedisConnectionInfo,
    settings: LinkSettings,
    /// The attributes of the cluster in traces.
    pub(super) attributes: Attributes,
    /// One cache for all primaries: it forgets a value that changes at any of them.
    near: Option<Arc<NearCache>>,
    /// The links, by server. The first command for a server makes its link. Links to servers that no longer hold slots
    /// are removed.
    links: Mutex<HashMap<HostPort, Arc<Link>>>,
    known: Mutex<Known>,
    /// The last answer of the nodes. Locked while the nodes are asked, so that simultaneous callers ask only once.
    answer: tokio::sync::Mutex<Option<Answer>>,
}

/// What is known of the slots. Changed by callers that ask the nodes, and by callers that a server refers to another
/// server.
#[derive(Default)]
struct Known {
    slots: Option<Arc<Slots>>,
    is_doubted: bool,
}

struct Answer {
    at: Instant,
    slots: RedisResult<Arc<Slots>>,
}

impl Cluster {
    /// The cluster that the settings name, with the user and TLS settings of `backend`. Redis's pushes go to `near`.
    /// The nodes are asked when the first command is sent.
    ///
    /// # Errors
    /// As [`Link::new`].
    pub(super) fn new(
        backend: &Backend,
        settings: LinkSettings,
        near: Option<Arc<NearCache>>,
    ) -> Result<Arc<Self>, String> {
        let tls = backend.redis_tls(&settings.tls)?;
        let info = backend.redis_info();
        let asking = settings.for_questions(SLOTS_BYTES);
        let nodes = settings.cluster.iter().map(|at| {
            let target = Target::Server(at.clone());
            let link = Link::over(tls.clone(), target, info.clone(), asking.clone(), None);
            (at.clone(), Arc::new(link))
        });
        let nodes = nodes.collect();
        let cluster = Arc::new(Self {
            nodes,
            tls,
            info,
            settings,
            attributes: backend.attributes(),
            near,
            links: Mutex::default(),
            known: Mutex::default(),
            answer: tokio::sync::Mutex::default(),
        });
        tokio::spawn(watch(Arc::downgrade(&cluster)));
        Ok(cluster)
    }

    /// Sends a command for `asker` to the primary that holds its first key, and waits for the reply. If that server
    /// refuses the command because the key is elsewhere, the command was not run, and is sent to the right server.
    ///
    /// # Errors
    /// Redis answers with an error, or not at all.
    pub(super) async fn run(&self, command: &Cmd, asker: Asker) -> RedisResult<Value> {
        let slot = command::slot(command)?;
        let reply = self.link(slot).await?.run(command, asker).await;
        let right_link = self.right_link(slot, reply.as_ref().err()).await?;
        match right_link {
            Some(link) => link.run(command, asker).await,
            None => reply,
        }
    }

    /// Asks for the value of `key`, to keep it near.
    ///
    /// # Errors
    /// As for [`NearCache::ask`].
    pub(super) async fn ask_near(
        &self,
        near: &NearCache,
        key: &str,
        asker: Asker,
    ) -> RedisResult<Option<Vec<u8>>> {
        let slot = Some(command::slot_of_key(key.as_bytes()));
        let reply = self.link(slot).await?.ask_near(near, key, asker).await;
        let right_link = self.right_link(slot, reply.as_ref().err()).await?;
        match right_link {
            Some(link) => link.ask_near(near, key, asker).await,
            None => reply,
        }
    }

    pub(super) fn near(&self) -> Option<&Arc<NearCache>> {
        self.near.as_ref()
    }

    pub(super) fn response_timeout(&self) -> Duration {
        self.settings.response_timeout
    }

    /// The link to the primary that holds `slot`; without a slot, to the primary that holds the lowest one.
    async fn link(&self, slot: Option<u16>) -> RedisResult<Arc<Link>> {
        let slots = match self.slots() {
            Some(slots) => slots,
            None => self.look().await?,
        };
        match slots.primary(slot) {
            Some(server) => Ok(self.link_to(server)),
            None => Err(self.uncovered(slot)),
        }
    }

    fn link_to(&self, server: &HostPort) -> Arc<Link> {
        let mut links = self.links.lock();
        if let Some(link) = links.get(server) {
            return link.clone();
        }
        let link = Arc::new(Link::over(
            self.tls.clone(),
            Target::Server(server.clone()),
            self.info.clone(),
            self.settings.clone(),
            self.near.clone(),
        ));
        links.insert(server.clone(), link.clone());
        link
    }

    /// The link over which a command with this error should be sent again; `None` if that does not help.
    async fn right_link(
        &self,
        slot: Option<u16>,
        error: Option<&RedisError>,
    ) -> RedisResult<Option<Arc<Link>>> {
        let Some(error) = error else {
            return Ok(None);
        };
        let is_elsewhere = is_elsewhere(error);
        if is_elsewhere || is_outage(error) {
            self.known.lock().is_doubted = true;
        }
        if !is_elsewhere {
            return Ok(None);
        }
        self.forget_near();
        match named_server(error) {
            Some(server) => Ok(Some(self.link_to(&server))),
            None => self.link(slot).await.map(Some),
        }
    }

    /// The known slots; `None` if an answer has shown that they may be outdated.
    fn slots(&self) -> Option<Arc<Slots>> {
        let known = self.known.lock();
        known.slots.clone().filter(|_| !known.is_doubted)
    }

    /// Asks the nodes for the slots, or returns an answer that is less than half a second old.
    async fn look(&self) -> RedisResult<Arc<Slots>> {
        let mut answer = self.answer.lock().await;
        if let Some(answer) = &*answer
            && answer.at.elapsed() < STANDS
        {
            return answer.slots.clone();
        }
        let slots = self.ask_nodes().await.map(Arc::new);
        if let Ok(slots) = &slots {
            self.adopt(slots);
        }
        *answer = Some(Answer {
            at: Instant::now(),
            slots: slots.clone(),
        });
        slots
    }

    /// Replaces the known slots. If any slot has moved, connections to servers without slots end and all values that
    /// were kept near are forgotten, because a server need not report changes of a slot that it has lost.
    fn adopt(&self, slots: &Arc<Slots>) {
        let mut known = self.known.lock();
        known.is_doubted = false;
        let before = known.slots.replace(slots.clone());
        drop(known);
        let Some(before) = before.filter(|before| !before.agrees(slots)) else {
            return;
        };
        tracing::info!(
            "Redis Cluster: slots have moved, from {} to {}",
            before.primaries(),
            slots.primaries()
        );
        self.links.lock().retain(|server, link| {
            let stays = slots.has(server);
            if !stays {
                link.end();
            }
            stays
        });
        self.forget_near();
    }

    fn forget_near(&self) {
        if let Some(near) = &self.near {
            near.forget_all();
        }
    }

    /// The answer that more than half of the nodes give, or else the answer of the node that knows of the latest
    /// change.
    async fn ask_nodes(&self) -> RedisResult<Slots> {
        let asked = self.nodes.iter().map(|(at, link)| ask(at, link));
        let Disagreement { opinions, errors } =
            match votes::ask_all(asked.collect::<Vec<_>>()).await {
                Ok(slots) => return Ok(slots),
                Err(disagreement) => disagreement,
            };
        let latest = opinions.into_iter().max_by_key(|slots| slots.epoch);
        latest.ok_or_else(|| self.unknown(&errors))
    }

    /// The error when no node answers. A reason that stays in spite of waiting takes precedence over one that may pass.
    fn unknown(&self, errors: &[RedisError]) -> RedisError {
        if let Some(error) = errors.iter().find(|&error| !is_passing(error)) {
            return error.clone();
        }
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        not_connected(format!(
            "no node of the Redis Cluster at {} says where the keys are: {}",
            self.addresses(),
            errors.join("; ")
        ))
    }

    fn uncovered(&self, slot: Option<u16>) -> RedisError {
        let what = match slot {
            Some(slot) => format!("slot {slot}"),
            None => "any slot".to_owned(),
        };
        not_connected(format!(
            "no primary of the Redis Cluster at {} holds {what}: see `redis-cli --cluster check`",
            self.addresses()
        ))
    }

    fn addresses(&self) -> String {
        let addresses: Vec<_> = self.nodes.iter().map(|(at, _)| at.to_string()).collect();
        addresses.join(", ")
    }
}

/// Asks the nodes each second whether slots have moved, as long as the cluster is used. Otherwise a server that has
/// lost its slots and is cut off from the others would go on answering the hosts that still reach it.
async fn watch(cluster: Weak<Cluster>) {
    loop {
        tokio::time::sleep(LOOKS).await;
        let Some(cluster) = cluster.upgrade() else {
            return;
        };
        let is_in_use = cluster.known.lock().slots.is_some();
        if is_in_use {
            // If no node answers, the known slots stay in use.
            _ = cluster.look().await;
        }
    }
}

async fn ask(at: &HostPort, link: &Link) -> RedisResult<Slots> {
    let question = |word: &str| redis::cmd("CLUSTER").arg(word).to_owned();
    let (info, slots) = (question("INFO"), question("SLOTS"));
    let answers = futures::try_join!(link.run(&info, None), link.run(&slots, None));
    let (info, slots) = answers.map_err(|error| explained(at, error))?;
    Slots::read(at, info, slots)?.ok_or_else(|| {
        not_connected(format!(
            "{at} says that it is down: see `redis-cli --cluster check {at}`"
        ))
    })
}

/// Whether a key prefix puts all keys into one slot.
pub(crate) fn has_hash_tag(prefix: &str) -> bool {
    command::hash_tag(prefix.as_bytes()).is_some()
}
