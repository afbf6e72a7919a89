//! One look-up: in the system's file of hosts, or at name servers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Hosts, Resolver, TokioResolver};
use tokio::time::timeout;

use super::answer::{Answer, Found, Trouble};
use super::system_files::SystemFiles;
use crate::config::{self, NameServer, Place};

/// Of the time for a look-up, what one question to one server may take: there is time for others.
const QUESTIONS: u32 = 4;

/// The highest weight that a server may have.
const HIGHEST_WEIGHT: u16 = 1000;

/// Finds what a place stands for.
///
/// # Errors
/// Nothing was found, or nobody answered in time.
pub(super) async fn look_up(
    files: &SystemFiles,
    place: &Place,
    settings: &config::Resolver,
) -> Result<Answer, Trouble> {
    let asked = async {
        let asker = Asker::new(files, settings);
        match place {
            Place::Address(address) => Ok(fixed(*address)),
            Place::Host { name, port } => asker.host(name, *port).await,
            Place::Service(name) => asker.service(name).await,
        }
    };
    let limit = settings.timeout;
    let answer = timeout(limit, asked).await;
    answer.unwrap_or_else(|_| Err(Trouble::Unanswered(format!("no answer in {limit:?}"))))
}

/// Who is asked.
struct Asker {
    hosts: Arc<Hosts>,
    /// Made for one look-up: answers are kept by [`super::Names`], and files may change.
    resolver: Result<TokioResolver, Trouble>,
}

/// Addresses of a host, and for how long they hold.
struct Addresses {
    addresses: Vec<IpAddr>,
    lifetime: Duration,
}

impl Asker {
    fn new(files: &SystemFiles, settings: &config::Resolver) -> Self {
        Self {
            hosts: files.hosts(),
            resolver: resolver(files, settings),
        }
    }

    async fn host(&self, name: &str, port: u16) -> Result<Answer, Trouble> {
        let asked = self.addresses(&parse(name)?).await?;
        let found = asked.at(name, port, None).collect();
        Ok(Answer::new(found, asked.lifetime, Vec::new()))
    }

    async fn service(&self, name: &str) -> Result<Answer, Trouble> {
        let resolver = self.resolver.as_ref().map_err(Trouble::clone)?;
        let asked = resolver.lookup(parse(name)?, RecordType::SRV).await;
        let asked = asked.map_err(|error| trouble(&error, "it has no SRV records"))?;
        let records = asked
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(record) => Some(record),
                _ => None,
            });
        let records = preferred(records.collect());
        let (mut lifetime, mut found, mut left_out) =
            (left_of(asked.valid_until()), Vec::new(), Vec::new());
        let all = weights(&records);
        let targets = join_all(records.iter().map(|record| self.target(record))).await;
        for ((record, weight), target) in records.iter().zip(all).zip(targets) {
            match target {
                Ok(target) => {
                    lifetime = lifetime.min(target.lifetime);
                    let host = record.target.to_ascii();
                    found.extend(target.at(&host, record.port, Some(weight)));
                }
                // It may be there; without it the others would be all.
                Err(Trouble::Unanswered(why)) => return Err(Trouble::Unanswered(why)),
                Err(why) => left_out.push(format!(
                    "its record for {}:{} is left out: {why}",
                    record.target, record.port
                )),
            }
        }
        if found.is_empty() {
            let none = "its SRV records lead nowhere".to_owned();
            return Err(Trouble::Nothing(
                left_out.into_iter().next().unwrap_or(none),
            ));
        }
        Ok(Answer::new(found, lifetime, left_out))
    }

    async fn target(&self, record: &SRV) -> Result<Addresses, Trouble> {
        if record.target.is_root() {
            let reason = "it says that the service is not there (RFC 2782)";
            return Err(Trouble::Nothing(reason.into()));
        }
        if record.port == 0 {
            return Err(Trouble::Nothing("port 0 is no server's".into()));
        }
        self.addresses(&record.target).await
    }

    /// Those of IPv4, or of IPv6 if it has none: a server with both is one server.
    async fn addresses(&self, name: &Name) -> Result<Addresses, Trouble> {
        let kinds = [RecordType::A, RecordType::AAAA];
        for kind in kinds {
            let here = self
                .hosts
                .lookup_static_host(&Query::query(name.clone(), kind));
            if let Some(here) = here {
                // The file says nothing of time, and may change at any.
                return Ok(Addresses {
                    addresses: here
                        .answers()
                        .iter()
                        .filter_map(|r| r.data.ip_addr())
                        .collect(),
                    lifetime: Duration::ZERO,
                });
            }
        }
        let resolver = self.resolver.as_ref().map_err(Trouble::clone)?;
        let mut nothing = Trouble::NoSuchName;
        for kind in kinds {
            match resolver.lookup(name.clone(), kind).await {
                Ok(asked) => {
                    let addresses: Vec<IpAddr> = asked
                        .answers()
                        .iter()
                        .filter_map(|r| r.data.ip_addr())
                        .collect();
                    if !addresses.is_empty() {
                        let lifetime = left_of(asked.valid_until());
                        return Ok(Addresses {
                            addresses,
                            lifetime,
                        });
                    }
                    nothing = Trouble::Nothing("it has no addresses".into());
                }
                Err(error) => match trouble(&error, "it has no addresses") {
                    // Nobody says that there are none of this kind, so those of the other must not take their place.
                    Trouble::Unanswered(why) => return Err(Trouble::Unanswered(why)),
                    found => nothing = found,
                },
            }
        }
        Err(nothing)
    }
}

impl Addresses {
    fn at(&self, host: &str, port: u16, weight: Option<u16>) -> impl Iterator<Item = Found> {
        let host = host.trim_end_matches('.').to_owned();
        self.addresses.iter().map(move |address| Found {
            address: SocketAddr::new(*address, port),
            host: host.clone(),
            weight,
        })
    }
}

fn fixed(address: SocketAddr) -> Answer {
    let found = Found {
        address,
        host: address.ip().to_string(),
        weight: None,
    };
    Answer::new(vec![found], Duration::MAX, Vec::new())
}

/// Asks the system's name servers, or those of the settings, and looks in the system's search domains.
fn resolver(files: &SystemFiles, settings: &config::Resolver) -> Result<TokioResolver, Trouble> {
    let of_the_system = files.resolver();
    let (config, mut options) = match of_the_system {
        Ok(read) => read,
        Err(_) if !settings.servers.is_empty() => Default::default(),
        Err(why) => return Err(Trouble::NobodyToAsk(why)),
    };
    let (domain, search, mut servers) = config.into_parts();
    if !settings.servers.is_empty() {
        servers = settings.servers.iter().map(name_server).collect();
    }
    options.timeout = settings.timeout / QUESTIONS;
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = 0;
    let config = ResolverConfig::from_parts(domain, search, servers);
    Resolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
        .map_err(|error| Trouble::NobodyToAsk(error.to_string()))
}

fn name_server(server: &NameServer) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let connections = connections.map(|mut connection| {
        connection.port = server.0.port();
        connection
    });
    NameServerConfig::new(server.0.ip(), true, connections.into())
}

/// The records of the lowest number: others are for when all of those are gone (RFC 2782), and they are kept then.
fn preferred(mut records: Vec<&SRV>) -> Vec<&SRV> {
    let first = records.iter().map(|record| record.priority).min();
    records.retain(|record| Some(record.priority) == first);
    records
}

/// The records' own; 1 if they are all the same, as they are where each is its share of 100 and changes with their number.
fn weights(records: &[&SRV]) -> Vec<u16> {
    let is_same = |pair: &[&SRV]| pair[0].weight == pair[1].weight;
    if records.windows(2).all(is_same) {
        return vec![1; records.len()];
    }
    let weight = |record: &&SRV| record.weight.clamp(1, HIGHEST_WEIGHT);
    records.iter().map(weight).collect()
}

fn parse(name: &str) -> Result<Name, Trouble> {
    Name::from_ascii(name).map_err(|error| Trouble::Nothing(error.to_string()))
}

fn left_of(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

fn trouble(error: &NetError, nothing: &str) -> Trouble {
    if error.is_nx_domain() {
        Trouble::NoSuchName
    } else if error.is_no_records_found() {
        Trouble::Nothing(nothing.to_owned())
    } else {
        Trouble::Unanswered(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, weight: u16) -> SRV {
        SRV::new(priority, weight, 5000, Name::root())
    }

    #[test]
    fn only_records_that_come_first_count_with_their_weights() {
        let records = [record(2, 7), record(1, 60), record(1, 30), record(1, 0)];
        let first = preferred(records.iter().collect());
        assert_eq!(first, [&records[1], &records[2], &records[3]]);
        assert_eq!(weights(&first), [60, 30, 1]);
        assert_eq!(weights(&[&record(0, 33), &record(0, 33)]), [1, 1]);
        let high = [&record(0, u16::MAX), &record(0, 1)];
        assert_eq!(weights(&high), [HIGHEST_WEIGHT, 1]);
        assert_eq!(weights(&[]), [0; 0]);
    }
}
