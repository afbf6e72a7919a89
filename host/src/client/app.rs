//! `store-host reload` and `store-host refresh`, which concern the whole app of a host.

use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use super::http::{Call, Caller};
use super::{ClientError, Targets, say};
use crate::answers::{ComponentRefresh, Refresh, Reload, SignalledReload, Status};
use crate::config::{AdminAddress, AdminUrl};

/// The pause between two looks at the status of a process that reloads.
const LOOK: Duration = Duration::from_millis(50);

/// Which hosts reload, and how they are told.
#[derive(Debug, Args)]
pub struct ReloadArgs {
    /// Tell the process of this number, on this machine, by SIGHUP instead of over HTTP, and wait for the outcome. That
    /// needs no token
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(1..))]
    pub pid: Option<i32>,

    /// With --pid: the admin listener of that process
    #[arg(
        long,
        env = "STORE_HOST_ADMIN_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:5100"
    )]
    pub admin_listen: AdminAddress,

    /// The hosts.
    #[command(flatten)]
    pub targets: Targets,
}

pub(super) async fn reload(args: ReloadArgs) -> Result<(), ClientError> {
    match args.pid {
        Some(pid) => signal(pid, &args.admin_listen.url(), args.targets.timeout).await,
        None => ask(args.targets).await,
    }
}

/// Sends SIGHUP to the process `pid`, and waits until its admin listener says how the reload ended. One that was
/// already running may have read the files before they were changed, so its outcome does not count.
async fn signal(pid: i32, admin: &AdminUrl, timeout: Duration) -> Result<(), ClientError> {
    let caller = Caller {
        token: None,
        timeout,
    };
    let last = async || {
        let status: Status = caller.call(admin, Call::get("/status")).await?;
        Ok::<_, ClientError>(status.signalled_reload)
    };
    let before = last().await?.map_or(0, |reload| reload.number);
    let no_process = |error| ClientError::Setting(format!("--pid {pid}: {error}"));
    if let Some(process) = Pid::from_raw(pid) {
        kill_process(process, Signal::HUP).map_err(no_process)?;
    }
    let began = Instant::now();
    while began.elapsed() < timeout {
        let ended = |reload: &SignalledReload| reload.number > before && !reload.is_running;
        if let Some(reload) = last().await?.filter(ended) {
            return match reload.refusal {
                None => {
                    say(&format!("{admin}: the app is reloaded"));
                    Ok(())
                }
                Some(reason) => Err(ClientError::NotReloaded {
                    admin: admin.clone(),
                    reason,
                }),
            };
        }
        sleep(LOOK).await;
    }
    Err(ClientError::NoAnswer {
        admin: admin.clone(),
        reason: format!(
            "does not say within {} how the reload ended; the log of process {pid} may",
            humantime::format_duration(timeout)
        ),
        untouched: Vec::new(),
    })
}

async fn ask(targets: Targets) -> Result<(), ClientError> {
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
