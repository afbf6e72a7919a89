//! One swap after the other, each with what became of it.

use anyhow::Result;
use reqwest::StatusCode;
use testbed::Step;

use super::admin::Admin;
use super::plan::{Kind, Swap};

/// A swap that was tried.
#[derive(Clone, Debug)]
pub(super) struct SwapAttempt {
    pub(super) swap: Swap,
    /// `swapped`, `promoted`, `withdrawn`, or `refused` with its step.
    pub(super) outcome: String,
    pub(super) compile_ms: Option<f64>,
    pub(super) switch_us: Option<f64>,
    /// Resident, right after it.
    pub(super) memory_bytes: u64,
}

impl SwapAttempt {
    pub(super) fn is_as_expected(&self) -> bool {
        self.swap.expected().contains(&self.outcome.as_str())
    }

    pub(super) fn is_good_canary(&self) -> bool {
        self.swap.kind == Kind::GoodCanary
    }

    /// Whether instances were made of it: then one generation, this one or the one before, has to be freed.
    pub(super) fn made_a_generation(&self) -> bool {
        !self.outcome.starts_with("refused") || self.outcome == "refused: probe"
    }
}

/// Tries all of them. Outcomes are collected, not judged.
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
