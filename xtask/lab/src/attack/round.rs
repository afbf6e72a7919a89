//! One attack, with its neighbours before, during and after it.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::setpriority_process;
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use super::list::Attack;
use super::rig::Rig;
use super::scene::{AnswerCounts, Scene};
use super::{AttackTarget, neighbours};
use crate::measure::StreamResult;

/// How long attackers may take to end.
const LETTING_GO: Duration = Duration::from_secs(5);

/// The parameters of a measurement.
pub(super) struct Plan {
    pub(super) length: Duration,
    /// The requests per second of all neighbours together.
    pub(super) rate: u32,
    /// The nice value of the attackers' threads.
    pub(super) nice: i32,
    /// Whether to skip the measurements before and after.
    pub(super) is_quick: bool,
}

/// The measurements, and the answers that the attacker got.
#[derive(Debug, Serialize)]
pub(super) struct Round {
    pub(super) attack: &'static str,
    pub(super) through: AttackTarget,
    pub(super) before: Option<StreamResult>,
    pub(super) during: StreamResult,
    pub(super) after: Option<StreamResult>,
    pub(super) told: AnswerCounts,
    /// The answers that are allowed.
    pub(super) documented: &'static [&'static str],
}

/// Runs an attack.
///
/// # Errors
/// If the attack can't be started or measured. What a server does is not an error; the round records it.
pub(super) async fn run(
    rig: &Rig,
    attack: &'static Attack,
    way: AttackTarget,
    plan: &Plan,
) -> Result<Round> {
    let measure = async |length: Duration| {
        let clients = neighbours::start(&rig.url(way), plan.rate, &rig.size).await?;
        sleep(length).await;
        clients.stop().await
    };
    let apart = async |length: Duration| {
        if plan.is_quick {
            return Ok(None);
        }
        measure(length).await.map(Some)
    };
    let before = apart(plan.length).await?;
    let scene = Scene::new(rig, way)?;
    let attackers = attackers(plan.nice)?;
    let crowd = scene.clone().crowd(attack.attackers, attack.attempt);
    let attacking = attackers.spawn(crowd);
    let during = measure(plan.length).await?;
    attacking.abort();
    let letting_go = move || attackers.shutdown_timeout(LETTING_GO);
    let let_go = tokio::task::spawn_blocking(letting_go).await;
    let_go.context("ending the attack")?;
    let after = apart(plan.length / 2).await?;
    Ok(Round {
        attack: attack.name,
        through: way,
        before,
        during,
        after,
        told: scene.told(),
        documented: attack.told,
    })
}

/// A runtime with threads for the attackers only. Real attackers have their own machines and would not use the server's
/// processor, so these threads get a lower priority.
fn attackers(nice: i32) -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(move || {
            // Every user may lower a priority. It applies to the calling thread.
            _ = setpriority_process(None, nice);
        })
        .build()
        .context("starting threads for the attackers")
}
