//! Tries one swap after the other, and records each outcome.

use anyhow::Result;
use reqwest::StatusCode;
use testbed::Step;

use super::admin::Admin;
use super::plan::{Kind, Swap};

/// A swap that was tried.
#[derive(Clone, Debug)]
pub(super) struct SwapAttempt {
    pub(super) swap: Swap,
    /// `swapped`, `promoted`, `withdrawn`, or `refused` with the step that refused it.
    pub(super) outcome: String,
    pub(super) compile_ms: Option<f64>,
    pub(super) switch_us: Option<f64>,
    /// The resident memory right after the swap.
    pub(super) memory_bytes: u64,
}

impl SwapAttempt {
    pub(super) fn is_as_expected(&self) -> bool {
        self.swap.expected().contains(&self.outcome.as_str())
    }

    pub(super) fn is_good_canary(&self) -> bool {
        self.swap.kind == Kind::GoodCanary
    }

    /// Whether instances of the version were made. If so, one generation has to be freed: this one or the previous one.
    pub(super) fn made_a_generation(&self) -> bool {
        !self.outcome.starts_with("refused") || self.outcome == "refused: probe"
    }
}

/// Tries all swaps, and collects their outcomes without judging them.
pub(super) async fn run(
    admin: &Admin,
    plan: impl Iterator<Item = Swap>,
    step: &Step,
) -> Result<Vec<SwapAttempt>> {
    let mut tried = Vec::new();
    for swap in plan {
        tried.push(one(admin, swap).await?);
        step.advance(1);
    }
    Ok(tried)
}

async fn one(admin: &Admin, swap: Swap) -> Result<SwapAttempt> {
    let (status, answer) = admin.swap(&swap).await?;
    let outcome = match (status, answer["step"].as_str()) {
        (StatusCode::OK, _) if answer["canary"].is_null() => "swapped".to_owned(),
        (StatusCode::OK, _) => admin.verdict(swap.component).await?,
        (_, Some(step)) => format!("refused: {step}"),
        (status, None) => format!("refused: {status}"),
    };
    Ok(SwapAttempt {
        swap,
        outcome,
        compile_ms: answer["compile_ms"].as_f64(),
        switch_us: answer["switch_us"].as_f64(),
        memory_bytes: admin.memory().await?,
    })
}
