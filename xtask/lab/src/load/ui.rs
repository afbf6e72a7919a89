//! Locust's own web page.

use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use testbed::{Process, start_program};
use tokio::time::sleep;

use crate::locust::Run;
use xtask::python::Python;
use xtask::stop_signals::StopSignals;

const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// How long Locust may take to stop its users and write its results.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Fails if the page's port is taken.
pub(super) fn check_free(port: u16) -> Result<()> {
    TcpListener::bind(("127.0.0.1", port))
        .map(drop)
        .with_context(|| format!("port {port} of 127.0.0.1: choose another with --ui-port"))
}

/// Serves the page, with `run`'s settings filled in, until a signal comes.
pub(super) async fn run(
    run: &Run<'_>,
    python: &Python,
    port: u16,
    signals: &mut StopSignals,
) -> Result<ExitCode> {
    let locust = start_program(
        "Locust",
        &python.program().display().to_string(),
        &run.page_arguments(port),
        &run.folder.join("locust.log"),
    )?;
    let url = format!("http://127.0.0.1:{port}");
    tokio::select! {
        up = answers(&url, &locust) => up?,
        () = signals.next() => return super::interrupted("before the page was there"),
    }
    println!("Locust's page   {url}   (Ctrl-C ends it)");
    tokio::select! {
        ended = end(&locust) => ended?,
        () = signals.next() => {}
    }
    locust.stop(STOP_LIMIT).await?;
    println!("results of the last load   {}", run.folder.display());
    Ok(ExitCode::SUCCESS)
}

async fn answers(url: &str, locust: &Process) -> Result<()> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    while client.get(url).send().await.is_err() {
        check(locust)?;
        sleep(LOOK_INTERVAL).await;
    }
    Ok(())
}

async fn end(locust: &Process) -> Result<()> {
    loop {
        check(locust)?;
        sleep(LOOK_INTERVAL).await;
    }
}

fn check(locust: &Process) -> Result<()> {
    if let Some(status) = locust.exit_status()? {
        bail!(
            "Locust ended ({status}), its log ends with:{}",
            locust.log_tail()
        );
    }
    Ok(())
}
