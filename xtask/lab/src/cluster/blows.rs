//! Inflicts the plan's faults on members, and repairs them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::{Host, Process, Proxy, Signal};
use tokio::time::{Instant, sleep};

use super::members::Cluster;
use super::plan::{Blow, Fault, Role};
use crate::measure::Numbers;

/// How long a member stays dead.
const DEAD: Duration = Duration::from_secs(4);

/// How long a member stays stopped or cut off. Hosts take a database for gone after four seconds of silence, so this is
/// long enough for another to be written to before the silent one is back.
const SILENT: Duration = Duration::from_secs(8);

/// The time limit for a member that ends cleanly.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// How long a program waits for its own port. A client's outgoing connection may hold the port for a moment.
const PORT_LIMIT: Duration = Duration::from_secs(30);

/// A member that a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Database(usize),
    Redis(usize),
    Sentinel(usize),
    Host(usize),
    Proxy(usize),
}

impl Member {
    /// The name of the member's seat and files.
    pub(super) fn name(self) -> String {
        match self {
            Self::Database(number) => format!("db-{number}"),
            Self::Redis(number) => format!("redis-{number}"),
            Self::Sentinel(number) => format!("sentinel-{number}"),
            Self::Host(number) => format!("host-{number}"),
            Self::Proxy(number) => format!("proxy-{number}"),
        }
    }
}

impl Cluster {
    /// The members that have a role at this moment. If several have it, one of them by chance.
    pub(super) async fn cast(&self, role: Role, numbers: &mut Numbers) -> Result<Vec<Member>> {
        let mut any = |count: usize| (numbers.up_to(count as u64) - 1) as usize;
        Ok(match role {
            Role::DatabaseWriter => vec![Member::Database(self.writing().await?)],
            Role::DatabaseOther => {
                vec![Member::Database((self.writing().await? + 1 + any(2)) % 3)]
            }
            Role::TwoDatabases => {
                let writer = self.writing().await?;
                let other = (writer + 1 + any(2)) % 3;
                vec![Member::Database(writer), Member::Database(other)]
            }
            Role::RedisPrimary => vec![Member::Redis(self.primary_number().await?)],
            Role::RedisReplica => {
                vec![Member::Redis(
                    (self.primary_number().await? + 1 + any(2)) % 3,
                )]
            }
            Role::Sentinel => vec![Member::Sentinel(any(self.sentinels.len()))],
            Role::Host => vec![Member::Host(any(self.hosts.len()))],
            Role::Proxy => vec![Member::Proxy(any(self.proxies.len()))],
        })
    }

    async fn writing(&self) -> Result<usize> {
        let writer = self.writer().await?;
        let mut nodes = self.databases.nodes().iter();
        let number = nodes.position(|node| node.address() == writer);
        number.with_context(|| format!("{writer} is no database of this fleet"))
    }

    async fn primary_number(&self) -> Result<usize> {
        let primary = self.primary().await?;
        let number = self
            .redis
            .iter()
            .position(|server| server.address() == primary);
        number.with_context(|| format!("{primary} is no Redis of this fleet"))
    }

    /// Inflicts a fault, and restores the members after a while, as their supervisor or the network would.
    pub(super) async fn suffer(&mut self, fault: Fault, members: &[Member]) -> Result<()> {
        match fault.blow {
            Blow::Kill => {
                for member in members {
                    self.kill(*member);
                }
                sleep(DEAD).await;
                self.start_again(members).await
            }
            Blow::Stop => {
                self.signal(members, Signal::SIGSTOP)?;
                sleep(SILENT).await;
                self.signal(members, Signal::SIGCONT)
            }
            Blow::Restart => {
                for member in members {
                    self.stop(*member).await?;
                }
                self.start_again(members).await
            }
            Blow::CutOff => {
                for member in members {
                    self.network.cut_off(&member.name())?;
                }
                sleep(SILENT).await;
                for member in members {
                    self.network.mend(&member.name())?;
                }
                Ok(())
            }
        }
    }

    fn kill(&mut self, member: Member) {
        match member {
            Member::Database(number) => self.databases.kill(number),
            Member::Redis(number) => self.redis[number].kill(),
            Member::Sentinel(number) => self.sentinels[number].kill(),
            Member::Host(number) => self.hosts[number].running = None,
            Member::Proxy(number) => self.proxies[number].running = None,
        }
    }

    async fn stop(&mut self, member: Member) -> Result<()> {
        match member {
            Member::Database(number) => self.databases.stop(number).await,
            Member::Redis(number) => self.redis[number].stop().await,
            Member::Sentinel(number) => self.sentinels[number].stop().await,
            Member::Host(_) | Member::Proxy(_) => {
                let process = self.process(member).context("it is down already")?;
                let status = process.stop(STOP_LIMIT).await?;
                ensure!(status.success(), "{} ended with {status}", member.name());
                self.kill(member);
                Ok(())
            }
        }
    }

    async fn start_again(&mut self, members: &[Member]) -> Result<()> {
        let databases = members.iter().filter_map(|member| match member {
            Member::Database(number) => Some(*number),
            _ => None,
        });
        let databases: Vec<usize> = databases.collect();
        if !databases.is_empty() {
            self.databases.join(&databases).await?;
        }
        for member in members {
            match *member {
                Member::Database(_) => {}
                Member::Redis(number) => self.redis[number].start_again().await?,
                Member::Sentinel(number) => self.sentinels[number].start_again().await?,
                Member::Host(number) => {
                    let host = &mut self.hosts[number];
                    let start = || Host::start(&host.options, &self.addresses);
                    host.running = Some(on_its_port(start).await?);
                }
                Member::Proxy(number) => {
                    let proxy = &mut self.proxies[number];
                    let start = || Proxy::start(&proxy.options);
                    proxy.running = Some(on_its_port(start).await?);
                }
            }
        }
        Ok(())
    }

    fn signal(&self, members: &[Member], signal: Signal) -> Result<()> {
        for member in members {
            let process = self.process(*member);
            process.context("it is down already")?.signal(signal)?;
        }
        Ok(())
    }

    fn process(&self, member: Member) -> Option<&Process> {
        match member {
            Member::Database(number) => self.databases.nodes()[number].process(),
            Member::Redis(number) => self.redis[number].process(),
            Member::Sentinel(number) => self.sentinels[number].process(),
            Member::Host(number) => self.hosts[number].running.as_ref().map(Host::process),
            Member::Proxy(number) => self.proxies[number].running.as_ref().map(Proxy::process),
        }
    }
}

/// Starts a program, and retries while its port is taken.
async fn on_its_port<T, F: Future<Output = Result<T>>>(start: impl Fn() -> F) -> Result<T> {
    let deadline = Instant::now() + PORT_LIMIT;
    loop {
        match start().await {
            Err(error) if testbed::says_port_taken(&error) && Instant::now() < deadline => {
                sleep(Duration::from_millis(200)).await;
            }
            started => return started,
        }
    }
}
