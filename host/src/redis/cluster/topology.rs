//! What is known of the slots: which nodes are asked, when, and which of their answers are believed.
//!
//! One task asks, and callers that send commands read what it learned. So the nodes are asked as often as the task
//! wants, however many commands fail, and a caller that goes away interrupts no question.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{RedisError, RedisResult};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::errors::{explained, is_passing, not_connected};
use super::slots::Slots;
use crate::config::HostPort;
use crate::redis::link::Link;
use crate::redis::pins::Pin;
use crate::redis::target::LOOKS;
use crate::redis::votes::{self, Disagreement, STANDS};

/// The nodes that the settings name, and what they said.
pub(super) struct Topology {
    nodes: Vec<(HostPort, Arc<Link>)>,
    /// Changed by the task that asks the nodes.
    knowledge: watch::Sender<Knowledge>,
    /// Wakes the task that asks the nodes.
    doubt: Notify,
}

struct Knowledge {
    /// The slots; or why they are not known yet. Once they are known, they stay so if no node answers.
    slots: RedisResult<Arc<Slots>>,
    /// The last time at which the nodes were asked; `None` if they were not asked yet.
    asked_at: Option<Instant>,
    /// The time at which they had answered, or failed to.
    answered_at: Option<Instant>,
}

/// An answer that is believed now, and what was known before.
pub(super) struct Adoption {
    pub(super) before: Option<Arc<Slots>>,
    pub(super) now: Arc<Slots>,
}

impl Topology {
    pub(super) fn new(nodes: Vec<(HostPort, Arc<Link>)>) -> Self {
        let unasked = Knowledge {
            slots: Err(not_connected("no node was asked yet".to_owned())),
            asked_at: None,
            answered_at: None,
        };
        Self {
            nodes,
            knowledge: watch::Sender::new(unasked),
            doubt: Notify::new(),
        }
    }

    /// The slots, as far as they are known. Waits for the nodes only if nothing is known: a doubt does not hold up
    /// commands, because the named nodes may be away while the primaries are well.
    ///
    /// # Errors
    /// No node has said yet where the slots are.
    pub(super) async fn slots(&self) -> RedisResult<Arc<Slots>> {
        let arrival = Instant::now();
        let stands = |knowledge: &Knowledge| {
            let is_recent = |at: Instant| at + STANDS >= arrival;
            knowledge.slots.is_ok() || knowledge.answered_at.is_some_and(is_recent)
        };
        if !stands(&self.knowledge.borrow()) {
            self.doubt();
        }
        let mut knowledge = self.knowledge.subscribe();
        match knowledge.wait_for(stands).await {
            Ok(knowledge) => knowledge.slots.clone(),
            Err(_) => Err(not_connected("no node is asked any longer".to_owned())),
        }
    }

    /// The slots, as they are known after the nodes were asked later than at `moment`. `None` if nothing is known, or
    /// if this takes longer than `limit`.
    pub(super) async fn slots_after(&self, moment: Instant, limit: Duration) -> Option<Arc<Slots>> {
        self.doubt();
        let is_later =
            |knowledge: &Knowledge| knowledge.asked_at.is_some_and(|asked| asked >= moment);
        let mut knowledge = self.knowledge.subscribe();
        let asked = timeout(limit, knowledge.wait_for(is_later)).await;
        let slots = asked.ok()?.ok()?.slots.clone();
        slots.ok()
    }

    /// Whether a server is among those that the nodes list.
    pub(super) fn knows(&self, server: &HostPort) -> bool {
        self.known().is_some_and(|slots| slots.knows(server))
    }

    fn known(&self) -> Option<Arc<Slots>> {
        self.knowledge.borrow().slots.clone().ok()
    }

    /// Has the nodes asked soon, because a server refused a command or could not be reached.
    pub(super) fn doubt(&self) {
        self.doubt.notify_one();
    }

    /// Waits until the nodes should be asked again: when there is a doubt, and otherwise each second. Otherwise a
    /// server that has lost its slots and is cut off from the others would go on answering the hosts that still reach
    /// it.
    pub(super) async fn wait_for_doubt(&self) {
        _ = timeout(LOOKS, self.doubt.notified()).await;
    }

    /// Asks the nodes. `None` if no answer is believed; then what is known stays in use.
    pub(super) async fn ask(&self) -> Option<Adoption> {
        let asked_at = Instant::now();
        let before = self.known();
        let answer = self.ask_nodes(before.as_deref()).await.map(Arc::new);
        let adopted = answer.as_ref().ok().cloned();
        self.knowledge.send_modify(|knowledge| {
            if answer.is_ok() || knowledge.slots.is_err() {
                knowledge.slots = answer;
            }
            knowledge.asked_at = Some(asked_at);
            knowledge.answered_at = Some(Instant::now());
        });
        adopted.map(|now| Adoption { before, now })
    }

    /// The answer that more than half of the nodes give, or else the latest one.
    async fn ask_nodes(&self, known: Option<&Slots>) -> RedisResult<Slots> {
        let asked = self.nodes.iter().map(|(at, link)| ask(at, link));
        let Disagreement { opinions, errors } =
            match votes::ask_all(asked.collect::<Vec<_>>()).await {
                Ok(slots) => return Ok(slots),
                Err(disagreement) => disagreement,
            };
        latest(opinions, known).ok_or_else(|| self.unknown(&errors))
    }

    /// The error when no answer is believed. A reason that stays in spite of waiting takes precedence over one that may
    /// pass.
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

    /// The error when no server holds `slot`; without a slot, when no server holds any.
    pub(super) fn uncovered(&self, slot: Option<u16>) -> RedisError {
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

async fn ask(at: &HostPort, link: &Link) -> RedisResult<Slots> {
    let question = |word: &str| redis::cmd("CLUSTER").arg(word).to_owned();
    let (info, slots) = (question("INFO"), question("SLOTS"));
    let answer = |question| link.run(question, None, Pin::default());
    let answers = futures::try_join!(answer(&info), answer(&slots));
    let (info, slots) = answers.map_err(|error| explained(at, error))?;
    Slots::read(at, info, slots)?.ok_or_else(|| {
        not_connected(format!(
            "{at} says that it is down: see `redis-cli --cluster check {at}`"
        ))
    })
}

/// The answer of the node that knows of the latest change, if no majority agrees. A node that knows less than we do is
/// cut off from the others. If two know of the same change and contradict each other, the one that says what we know
/// already is believed, so that we do not follow them in turn.
fn latest(opinions: Vec<Slots>, known: Option<&Slots>) -> Option<Slots> {
    let least = known.map_or(0, |known| known.epoch);
    let is_known = |slots: &Slots| known.is_some_and(|known| known.agrees(slots));
    let late = opinions.into_iter().filter(|slots| slots.epoch >= least);
    late.max_by_key(|slots| (slots.epoch, is_known(slots)))
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    /// The answer of a node that says that this server holds all slots.
    fn held_by(server: &str, epoch: u64) -> Slots {
        let node = HostPort::new("asked", 7000);
        let info = format!("cluster_state:ok\r\ncluster_current_epoch:{epoch}\r\n");
        let info = Value::BulkString(info.into());
        let primary = Value::Array(vec![Value::BulkString(server.into()), Value::Int(7001)]);
        let range = Value::Array(vec![Value::Int(0), Value::Int(16_383), primary]);
        let read = Slots::read(&node, info, Value::Array(vec![range]));
        read.expect("it is text").expect("it is up")
    }

    #[test]
    fn without_a_majority_the_latest_answer_is_believed_and_none_that_is_older() {
        let known = held_by("b", 7);
        for (said, known, believed) in [
            (vec![("a", 6), ("b", 7)], None, Some("b")),
            (vec![("b", 7), ("a", 6)], None, Some("b")),
            (vec![("a", 8), ("b", 7)], Some(&known), Some("a")),
            // It was cut off, and the others do not answer.
            (vec![("a", 6)], Some(&known), None),
            // Two contradict each other, whoever answers first.
            (vec![("a", 7), ("b", 7)], Some(&known), Some("b")),
            (vec![("b", 7), ("a", 7)], Some(&known), Some("b")),
            (vec![], Some(&known), None),
        ] {
            let opinions = said.iter().map(|(server, epoch)| held_by(server, *epoch));
            let latest = latest(opinions.collect(), known);
            let latest = latest.map(|slots| slots.described());
            let believed = believed.map(|server| format!("{server}:7001"));
            assert_eq!(latest, believed, "{said:?}");
        }
    }
}
