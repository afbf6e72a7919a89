//! `store-host reload` and `store-host refresh`, which concern the whole app of a host.

use super::http::Call;
use super::{ClientError, Targets, say};
use crate::answers::{ComponentRefresh, Refresh, Reload};

pub(super) async fn reload(targets: Targets) -> Result<(), ClientError> {
    let caller = targets.caller()?;
    targets
        .each(async |admin| {
            let reload: Reload = caller.call(admin, Call::post("/reload")).await?;
            say(&format!(
                "{admin}: {} routes to {} in {:.1} ms",
                reload.routes,
                reload.components.join(", "),
                reload.elapsed_ms
            ));
            Ok(())
        })
        .await
}

pub(super) async fn refresh(targets: Targets) -> Result<(), ClientError> {
    let caller = targets.caller()?;
    targets
        .each(async |admin| {
            let refresh: Refresh = caller.call(admin, Call::post("/refresh")).await?;
            for ComponentRefresh {
                component,
                elapsed_ms,
            } in refresh.components
            {
                say(&format!(
                    "{admin}: `{component}` has made its reports anew in {elapsed_ms:.1} ms"
                ));
            }
            Ok(())
        })
        .await
}
