//! `store-host refresh`.

use clap::Args;
use serde::Deserialize;

use super::http::Call;
use super::{ClientError, Targets, say};

/// Where.
#[derive(Debug, Args)]
pub struct RefreshArgs {
    /// Which hosts.
    #[command(flatten)]
    pub targets: Targets,
}

#[derive(Deserialize)]
struct Refreshed {
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Component {
    component: String,
    elapsed_ms: f64,
}

pub(super) async fn run(args: RefreshArgs) -> Result<(), ClientError> {
    let caller = args.targets.caller()?;
    args.targets
        .each(async |admin| {
            let refreshed: Refreshed = caller.call(admin, Call::post("/refresh")).await?;
            for Component {
                component,
                elapsed_ms,
            } in refreshed.components
            {
                say(&format!(
                    "{admin}: `{component}` has made its reports anew in {elapsed_ms:.1} ms"
                ));
            }
            Ok(())
        })
        .await
}
