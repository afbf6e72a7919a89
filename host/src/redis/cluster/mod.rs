//! Redis Cluster: keys are divided into slots, and one primary holds each slot
//! (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>).
//!
//! `command` finds the slot of a command, `slots` reads from a node's answers which primary holds which slots, and
//! `errors` knows what servers answer for a slot that they do not hold. `topology` decides which nodes are asked and
//! believed, and `primaries` has the links. Where a command goes, and what is sent once more, is decided here.
//!
//! The redis crate has a cluster client. It opens connections of its own, without our certificates, limits and
//! notifications of changes. So each primary has a [`Link`], like any other Redis server.

mod command;
mod errors;
mod primaries;
mod slots;
mod topology;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use parking_lot::Mutex;
use redis::{Cmd, RedisError, RedisResult, Value};
use store_server::trace::SharedDescription;
use tokio::task::AbortHandle;
use tokio::time::sleep;

pub(super) use self::errors::is_elsewhere;
pub(crate) use self::errors::is_no_cluster;
use self::errors::{explained, has_moved, named_server};
use self::primaries::Primaries;
use self::slots::Slots;
use self::topology::{Adoption, Topology};
use super::errors::{handle_ended, is_of_ended_handle, is_outage, was_not_sent};
use super::link::{self, Link};
use super::near::NearCache;
use super::pins::{Pin, Pins};
use super::settings::LinkSettings;
use crate::clients::Asker;
use crate::config::HostPort;
use crate::outbound::{Backend, LogThrottle};

/// The largest reply of a node about the slots, in bytes. It is enough for some thousands of ranges.
const SLOTS_BYTES: usize = 4 * 1024 * 1024;

/// The pause after the nodes were asked, however many commands are refused meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// The links to the primaries of a Redis Cluster, for one address of a component.
pub(crate) struct Cluster {
    topology: Arc<Topology>,
    primaries: Arc<Primaries>,
    /// Begins with the first command.
    follower: OnceLock<Follower>,
    /// What spans say of the cluster.
    pub(super) description: SharedDescription,
}

/// The task that asks the nodes as long as the cluster is used.
struct Follower(AbortHandle);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Cluster {
    /// The cluster that the settings name, with the user and TLS settings of `backend`. Redis's pushes go to `near`.
    /// The nodes are asked when the first command is sent.
    ///
    /// # Errors
    /// As [`Links::new`](super::links::Links::new).
    pub(super) fn new(
        backend: &Backend,
        settings: LinkSettings,
        near: Option<Arc<NearCache>>,
    ) -> Result<Self, String> {
        let tls = backend.redis_tls(&settings.tls)?;
        let info = backend.redis_info();
        let asking = settings.limits.for_questions(SLOTS_BYTES);
        let nodes = settings.cluster.iter().map(|at| {
            let (tls, info) = (tls.clone(), info.clone());
            let link = Link::over(tls, at.clone(), info, asking.clone(), None);
            (at.clone(), Arc::new(link))
        });
        let topology = Topology::new(nodes.collect());
        let primaries = Primaries {
            tls,
            info,
            limits: settings.limits,
            near,
            commands: link::permits(),
            links: Mutex::default(),
        };
        Ok(Self {
            topology: Arc::new(topology),
            primaries: Arc::new(primaries),
            follower: OnceLock::new(),
            description: backend.description(),
        })
    }

    /// Sends a command for `asker` to the primary that holds its first key, and waits for the reply. If that server
    /// refuses the command because the key is elsewhere, sends it to the right server, once, unless another connection
    /// has answered the handle before.
    ///
    /// # Errors
    /// Redis answers with an error, or not at all, or another connection has answered the handle before.
    pub(super) async fn run(&self, command: &Cmd, asker: Asker, pins: &Pins) -> RedisResult<Value> {
        let slot = command::slot(command)?;
        let pin = pins.of_slot(slot);
        let (server, link) = self.primary(slot).await?;
        let reply = link.run_once(command, asker, pin).await;
        let error = reply.as_ref().err();
        let Some(right) = self.right_link(slot, &server, error, pin).await else {
            return unfollowed(reply, pin);
        };
        let reply = right.run_once(command, asker, pin).await;
        self.heed(reply.as_ref().err());
        reply
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
        pins: &Pins,
    ) -> RedisResult<Option<Vec<u8>>> {
        let slot = Some(command::slot_of_key(key.as_bytes())?);
        let pin = pins.of_slot(slot);
        let (server, link) = self.primary(slot).await?;
        let reply = link.ask_near(near, key, asker, pin).await;
        let error = reply.as_ref().err();
        let Some(right) = self.right_link(slot, &server, error, pin).await else {
            return unfollowed(reply, pin);
        };
        let reply = right.ask_near(near, key, asker, pin).await;
        self.heed(reply.as_ref().err());
        reply
    }

    /// Asks each primary for a sign of life.
    ///
    /// # Errors
    /// One of them does not answer, or with an error.
    pub(super) async fn ping(&self) -> RedisResult<()> {
        let slots = self.slots().await?;
        let primaries = slots.primaries();
        if primaries.is_empty() {
            return Err(self.topology.uncovered(None));
        }
        let pings = primaries.into_iter().map(|server| self.ping_one(server));
        try_join_all(pings).await.map(drop)
    }

    async fn ping_one(&self, server: &HostPort) -> RedisResult<()> {
        let link = self.primaries.link_to(server);
        let ping = redis::cmd("PING");
        let answer = link.run_once(&ping, None, Pin::default()).await;
        answer.map(drop).map_err(|error| explained(server, error))
    }

    pub(super) fn near(&self) -> Option<&Arc<NearCache>> {
        self.primaries.near.as_ref()
    }

    pub(super) fn response_timeout(&self) -> Duration {
        self.primaries.response_timeout()
    }

    /// The primary that holds `slot`, and the link to it; without a slot, the primary that holds the lowest one.
    async fn primary(&self, slot: Option<u16>) -> RedisResult<(HostPort, Arc<Link>)> {
        let slots = self.slots().await?;
        let server = slots.primary(slot);
        let server = server.ok_or_else(|| self.topology.uncovered(slot))?;
        Ok((server.clone(), self.primaries.link_to(server)))
    }

    async fn slots(&self) -> RedisResult<Arc<Slots>> {
        self.follower.get_or_init(|| {
            let task = follow(self.topology.clone(), self.primaries.clone());
            Follower(tokio::spawn(task).abort_handle())
        });
        self.topology.slots().await
    }

    /// The link over which a command should be sent once more, after the server `asked` answered it with this error.
    /// `None` if it must not be.
    ///
    /// A script of a component can write, and then return any error text. So an error decides neither that a command
    /// was not executed nor where it goes: no server gets a command twice, and a server that an error names is believed
    /// only if the nodes list it. A command without a key belongs to no server in particular, and is not sent again.
    async fn right_link(
        &self,
        slot: Option<u16>,
        asked: &HostPort,
        error: Option<&RedisError>,
        pin: Pin<'_>,
    ) -> Option<Arc<Link>> {
        let refused_at = Instant::now();
        self.heed(error);
        let error = error?;
        if was_not_sent(error) {
            return self.primary(slot).await.ok().map(|(_, link)| link);
        }
        let slot = slot.filter(|_| is_elsewhere(error))?;
        let named = named_server(error, asked, slot).filter(|named| self.topology.knows(named));
        if let Some(named) = named {
            return (named != *asked).then(|| self.primaries.link_to_named(&named));
        }
        if !pin.is_free() {
            // As a rule the server that refused is the only one that may answer the handle.
            return None;
        }
        let limit = self.response_timeout();
        let slots = self.topology.slots_after(refused_at, limit).await?;
        let right = slots.primary(Some(slot)).filter(|right| *right != asked)?;
        Some(self.primaries.link_to(right))
    }

    /// Has the nodes asked if an error shows that slots may have moved.
    fn heed(&self, error: Option<&RedisError>) {
        let Some(error) = error.filter(|error| !is_of_ended_handle(error)) else {
            return;
        };
        let is_elsewhere = is_elsewhere(error);
        if is_elsewhere {
            self.primaries.forget_near();
        }
        if is_elsewhere || is_outage(error) {
            self.topology.doubt();
        }
    }
}

/// A reply that leads to no other server. If a handle's slot has moved, that ends the handle, and is no error of Redis.
fn unfollowed<R>(reply: RedisResult<R>, pin: Pin<'_>) -> RedisResult<R> {
    match reply {
        Err(error) if has_moved(&error) && !pin.is_free() => Err(handle_ended()),
        reply => reply,
    }
}

/// Asks the nodes again and again.
async fn follow(topology: Arc<Topology>, primaries: Arc<Primaries>) {
    let moves = LogThrottle::default();
    loop {
        topology.wait_for_doubt().await;
        if let Some(adoption) = topology.ask().await {
            adopt(&primaries, &adoption, &moves);
        }
        sleep(PAUSE).await;
    }
}

/// Ends connections to servers without slots. If a slot has moved, all values that were kept near are forgotten,
/// because a server need not report changes of a slot that it has lost.
fn adopt(primaries: &Primaries, adoption: &Adoption, moves: &LogThrottle) {
    let Adoption { before, now } = adoption;
    // A caller that still knew the old slots may have made a link after the others had ended, and kept a value.
    let has_ended_any = primaries.keep_those_of(now);
    let before = before.as_ref().filter(|before| !before.agrees(now));
    if has_ended_any || before.is_some() {
        primaries.forget_near();
    }
    if let Some(before) = before
        && moves.is_to_be_logged()
    {
        tracing::info!(
            "Redis Cluster: slots have moved, from {} to {}",
            before.described(),
            now.described()
        );
    }
}

/// Whether a key prefix puts all keys into one slot.
pub(crate) fn has_hash_tag(prefix: &str) -> bool {
    command::hash_tag(prefix.as_bytes()).is_some()
}
