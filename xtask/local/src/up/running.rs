//! A running store: watched, and stopped in order.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use testbed::{Host, Process, Prometheus, Proxy};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::follow::follow;
use super::servers::Servers;
use super::welcome::{ProgramUrls, Welcome};
use xtask::stop_signals::{INTERRUPTED, StopSignals};

/// How often the servers' processes are checked.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);

/// Longer than a host or the proxy takes to drain.
const DRAIN_LIMIT: Duration = Duration::from_secs(60);

pub(super) struct RunningStore {
    /// `None` unless the user wants Prometheus.
    pub(super) prometheus: Option<Prometheus>,
    pub(super) proxy: Proxy,
    pub(super) hosts: Vec<Host>,
    pub(super) servers: Servers,
}

impl RunningStore {
    /// Shows the logs of the proxy and the hosts until a signal asks us to stop (exit code 0) or a process dies (an
    /// error). Then stops the others.
    pub(super) async fn until_stopped(mut self, signals: &mut StopSignals) -> Result<ExitCode> {
        println!("{}", self.welcome().text());
        let (ended, followers) = self.follow_logs();
        let death = tokio::select! {
            death = self.first_death() => Some(death?),
            () = signals.next() => None,
        };
        eprintln!("stopping (Ctrl-C again to stop at once)");
        let stopped = tokio::select! {
            stopped = self.stop() => stopped,
            () = signals.next() => return Ok(ExitCode::from(INTERRUPTED)),
        };
        ended.send_replace(true);
        for followed in followers.join_all().await {
            followed?;
        }
        if let Some(death) = death {
            bail!("{death}");
        }
        stopped?;
        eprintln!("✓ stopped");
        Ok(ExitCode::SUCCESS)
    }

    fn welcome(&self) -> Welcome {
        let hosts = self.hosts.iter().map(|host| ProgramUrls {
            serves: host.url(""),
            admin: host.admin_url(""),
        });
        Welcome {
            proxy: ProgramUrls {
                serves: self.proxy.url(""),
                admin: self.proxy.admin_url(""),
            },
            hosts: hosts.collect(),
            database_kind: match self.servers.mariadb {
                Some(_) => "MariaDB",
                None => "MySQL",
            },
            database: self.servers.addresses.mysql_label(),
            redis: self.servers.addresses.redis_label(),
            prometheus: self.prometheus.as_ref().map(|found| found.url("")),
        }
    }

    /// Starts showing the logs. Sending `true` on the returned channel ends this.
    fn follow_logs(&self) -> (watch::Sender<bool>, JoinSet<Result<()>>) {
        let (ended, receiver) = watch::channel(false);
        let mut followers = JoinSet::new();
        let hosts = self.hosts.iter().map(Host::process);
        for process in hosts.chain([self.proxy.process()]) {
            let log = process.log_path().to_owned();
            followers.spawn(follow(
                process.name().to_owned(),
                log,
                process.log_start(),
                receiver.clone(),
            ));
        }
        (ended, followers)
    }

    /// Waits until one of our processes has ended. Returns which one, its exit status and the end of its log.
    async fn first_death(&self) -> Result<String> {
        loop {
            for process in self.processes() {
                if let Some(status) = process.exit_status()? {
                    let (name, log) = (process.name(), process.log_path().display());
                    return Ok(format!(
                        "{name} ended ({status}); {log} ends with:{}",
                        process.log_tail()
                    ));
                }
            }
            sleep(WATCH_INTERVAL).await;
        }
    }

    fn processes(&self) -> impl Iterator<Item = &Process> {
        let mariadb = self
            .servers
            .mariadb
            .iter()
            .filter_map(|mariadb| mariadb.process());
        let redis = self
            .servers
            .redis
            .iter()
            .filter_map(|redis| redis.process());
        self.hosts
            .iter()
            .map(Host::process)
            .chain([self.proxy.process()])
            .chain(mariadb)
            .chain(redis)
            .chain(self.prometheus.iter().map(Prometheus::process))
    }

    /// Stops everything in order: first Prometheus, which would see the others vanish, then the proxy, then all hosts
    /// at once. So each still has what it needs while it stops.
    async fn stop(&mut self) -> Result<()> {
        let mut failed = Vec::new();
        if let Some(prometheus) = &self.prometheus
            && let Err(error) = prometheus.stop().await
        {
            failed.push(format!("{error:#}"));
        }
        let proxy = self.proxy.process();
        match proxy.stop(DRAIN_LIMIT).await {
            Ok(status) if status.success() => {}
            Ok(status) => failed.push(format!("{} ended with {status}", proxy.name())),
            Err(error) => failed.push(format!("{error:#}")),
        }
        for host in &self.hosts {
            host.sigterm()?;
        }
        for host in &self.hosts {
            match host.wait_exit(DRAIN_LIMIT).await {
                Ok(status) if status.success() => {}
                Ok(status) => failed.push(format!("{} ended with {status}", host.process().name())),
                Err(error) => failed.push(format!("{error:#}")),
            }
        }
        if let Some(redis) = &mut self.servers.redis {
            redis.stop().await?;
        }
        if let Some(mariadb) = &mut self.servers.mariadb {
            mariadb.stop().await?;
        }
        if !failed.is_empty() {
            bail!("{}", failed.join("; "));
        }
        Ok(())
    }
}
