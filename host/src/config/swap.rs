//! Settings of swaps and canaries, and of the token that is needed to start them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, value_parser};

use super::duration;

/// Who may replace components, by what, and how.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Swaps")]
pub struct SwapSettings {
    /// File that holds the admin token; STORE_HOST_ADMIN_TOKEN may hold the token itself instead
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,

    /// Folder for what a restart needs: accepted components, and what is known of MySQL's members. Each host needs a folder
    /// of its own, or `none` [default: .store/state/PORT beside the app; none with port 0]
    #[arg(long, value_name = "FOLDER")]
    pub state_folder: Option<PathBuf>,

    /// Earlier generations of each component that stay compiled, for a rollback
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(0..=100))]
    pub keep_generations: u32,

    /// How long a replaced generation may finish its requests
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub swap_drain_timeout: Duration,

    /// Largest component that is received, in MiB
    #[arg(long, default_value_t = 64, value_parser = value_parser!(u32).range(1..=1024))]
    pub component_limit_mib: u32,

    /// Accept only components that are signed with this minisign public key, or with the one in this file. The signature of
    /// a file of the app lies beside it, as NAME.wasm.minisig
    #[arg(long, value_name = "KEY")]
    pub require_signature: Option<String>,

    /// Swap a component when its file changes, and reload the app when its manifest, `.env` or a file that --variable-file
    /// names does
    #[arg(long)]
    pub watch: bool,

    /// When a canary is withdrawn.
    #[command(flatten)]
    pub canary: CanaryBudget,
}

impl SwapSettings {
    /// [`SwapSettings::component_limit_mib`] in bytes.
    pub fn component_limit_bytes(&self) -> usize {
        self.component_limit_mib as usize * 1024 * 1024
    }
}

/// How much worse than the stable generation a canary may be.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Canaries")]
pub struct CanaryBudget {
    /// By how many percentage points the canary's share of answers of 500 and above may exceed the stable generation's
    #[arg(
        long = "canary-max-error-rate-increase",
        default_value_t = 1.0,
        value_parser = not_negative
    )]
    pub error_points: f64,

    /// How many times the stable generation's 99th percentile of latency the canary's may be
    #[arg(long = "canary-max-p99-ratio", default_value_t = 2.0, value_parser = ratio)]
    pub p99_ratio: f64,

    /// The canary's 99th percentile may always exceed the stable generation's by this much
    #[arg(long = "canary-p99-slack", default_value = "10ms", value_parser = duration)]
    pub p99_slack: Duration,

    /// Requests that both generations must have served before the canary can be promoted
    #[arg(long = "canary-min-requests", default_value_t = 20)]
    pub min_requests: u64,
}

/// A ratio so high that it is no limit, and low enough to multiply a duration by it.
const HIGHEST_RATIO: f64 = 1e6;

fn ratio(text: &str) -> Result<f64, String> {
    match not_negative(text) {
        Ok(ratio) if ratio > HIGHEST_RATIO => Err(format!("must be at most {HIGHEST_RATIO}")),
        outcome => outcome,
    }
}

fn not_negative(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("must be a number, 0 or above".into()),
    }
}
