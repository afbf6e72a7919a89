//! One attack, and its neighbours before, meanwhile and afterwards.

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

/// How long attackers may take to let go.
const LETTING_GO: Duration = Duration::from_secs(5);

/// How an attack is measured.
pub(super) struct Plan {
    pub(super) length: Duration,
    /// Requests of all neighbours a second.
    pub(super) rate: u32,
    /// Of the attackers' threads.
    pub(super) nice: i32,
    /// Measures neither before nor after.
    pub(super) is_quick: bool,
}

/// What was measured, and what the attacker was told.
#[derive(Debug, Serialize)]
pub(super) struct Round {
    pub(super) attack: &'static str,
    pub(super) through: AttackTarget,
    pub(super) before: Option<StreamResult>,
    pub(super) during: StreamResult,
    pub(super) after: Option<StreamResult>,
    pub(super) told: AnswerCounts,
    /// What the attacker may be told.
    pub(super) documented: &'static [&'static str],
}

/// Runs an attack.
///
/// # Errors
/// If it can't be begun or measured: what a server does is no error, but is in the round.
pub(super) async fn run(
    rig: &Rig,
    attack: &'static Attack,
    way: AttackTarget,
    plan: &Plan,
) -> Result<Round> {
    let measure = async |length: Duration| {
        let clients = neighbours::start(&rig.url(way), plan.rate, &rig.size)?;
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
    let attacking = attackers.spawn((attack.run)(scene.clone()));
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

/// Threads of the attackers' own: those who attack a store have other machines, and would not take the processor from it.
fn attackers(nice: i32) -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(move || {
            // Everybody may lower a priority. It counts for the thread that asks.
            _ = setpriority_process(None, nice);
        })
        .build()
        .context("starting threads for the attackers")
}
