//! The Prometheus of `up --observe`.

use std::net::TcpListener;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use testbed::{Host, Progress, Prometheus, PrometheusOptions, Proxy};

use xtask::paths;

#[derive(Debug, Args)]
pub(super) struct ObserveArgs {
    /// Start Prometheus too, which scrapes every host and the proxy every 5 s
    #[arg(long)]
    pub(super) observe: bool,
    /// Port of Prometheus, on 127.0.0.1
    #[arg(long, value_name = "PORT", default_value_t = 9090, requires = "observe", value_parser = clap::value_parser!(u16).range(1..))]
    observe_port: u16,
}

impl ObserveArgs {
    /// Fails if Prometheus is to be started and its port is taken.
    pub(super) fn check_free(&self) -> Result<()> {
        if self.observe {
            let port = self.observe_port;
            TcpListener::bind(("127.0.0.1", port)).with_context(|| {
                format!("port {port} of 127.0.0.1: choose another with --observe-port")
            })?;
        }
        Ok(())
    }

    /// Starts Prometheus, if the user wants it.
    pub(super) async fn start(&self, hosts: &[Host], proxy: &Proxy) -> Result<Option<Prometheus>> {
        if !self.observe {
            return Ok(None);
        }
        let step = Progress::detect().step("Prometheus", 0);
        let options = PrometheusOptions {
            folder: paths::store().join("prometheus"),
            log: paths::store().join("logs/prometheus.log"),
            port: self.observe_port,
            scrape_seconds: 5,
            rules: paths::prometheus_rules(),
        };
        let prometheus = Prometheus::start(&options, hosts, std::slice::from_ref(proxy)).await?;
        step.finish_with(&prometheus.url(""));
        Ok(Some(prometheus))
    }
}

/// The dashboard that Grafana imports.
pub(super) fn dashboard() -> PathBuf {
    paths::root().join("loadtest/grafana/store.json")
}
