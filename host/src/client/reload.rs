//! `store-host reload`.

use clap::Args;
use serde::Deserialize;

use super::http::Call;
use super::{ClientError, Targets, say};

/// Where.
#[derive(Debug, Args)]
pub struct ReloadArgs {
    /// Which hosts.
    #[command(flatten)]
    pub targets: Targets,
}

#[derive(Deserialize)]
struct Reloaded {
    components: Vec<String>,
    routes: u64,
    elapsed_ms: f64,
}

pub(super) async fn run(args: ReloadArgs) -> Result<(), ClientError> {
    let caller = args.targets.caller()?;
    args.targets
        .each(async |admin| {
            let reloaded: Reloaded = caller.call(admin, Call::post("/reload")).await?;
            say(&format!(
                "{admin}: {} routes to {} in {:.1} ms",
                reloaded.routes,
                reloaded.components.join(", "),
                reloaded.elapsed_ms
            ));
            Ok(())
        })
        .await
}
