//! One look-up, in `/etc/hosts` or at name servers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use hickory_resolver::Hosts;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::time::timeout;

use super::answer::{Answer, LookupError, ResolvedServer};
use super::location::ServerLocation;
use super::questions::{Questions, Records};
use super::resolver::Resolver;
use super::system_files::SystemFiles;

/// The highest weight that a server can have.
const HIGHEST_WEIGHT: u16 = 1000;

/// Finds the servers at a location.
///
/// # Errors
/// Nothing was found, or no name server answered in time.
pub async fn look_up(
    files: &SystemFiles,
    location: &ServerLocation,
    settings: &Resolver,
) -> Result<Answer, LookupError> {
    let asker = NameSources {
        hosts: files.hosts(),
        questions: Questions::new(files, settings),
    };
    let asked = async {
        match location {
            ServerLocation::Address(address) => Ok(fixed(*address)),
            ServerLocation::Host { name, port } => asker.host(name, *port).await,
            ServerLocation::Service(name) => asker.service(name).await,
        }
    };
    let limit = settings.timeout;
    let answer = timeout(limit, asked).await;
    answer.unwrap_or_else(|_| Err(LookupError::Unanswered(format!("no answer in {limit:?}"))))
}

/// The sources of names: `/etc/hosts` and name servers.
struct NameSources {
    hosts: Arc<Hosts>,
    /// The name servers, or why none can be asked.
    questions: Result<Questions, LookupError>,
}

impl NameSources {
    async fn host(&self, name: &str, port: u16) -> Result<Answer, LookupError> {
        let asked = self.addresses(&parse(name)?).await?;
        let found = found(&asked.records, name, port, None).collect();
        Ok(Answer {
            doubt: asked.doubt,
            ..Answer::new(found, asked.lifetime, Vec::new())
        })
    }

    async fn service(&self, name: &str) -> Result<Answer, LookupError> {
        let asked = self.questions()?.services(&parse(name)?).await?;
        let records = preferred(&asked.records);
        let (mut lifetime, mut servers, mut left_out) = (asked.lifetime, Vec::new(), Vec::new());
        let targets = join_all(records.iter().map(|record| self.target(record))).await;
        for ((record, weight), target) in records.iter().zip(weights(&records)).zip(targets) {
            match target {
                Ok(target) => {
                    lifetime = lifetime.min(target.lifetime);
                    let host = record.target.to_ascii();
                    servers.extend(found(&target.records, &host, record.port, Some(weight)));
                }
                // The unanswered server may exist. Without it, the other servers would count as all of them.
                Err(why @ LookupError::Unanswered(_)) => return Err(why),
                Err(why) => left_out.push(format!(
                    "its record for {}:{} is left out: {why}",
                    record.target, record.port
                )),
            }
        }
        if servers.is_empty() {
            let none = "none of its SRV records leads to an address".to_owned();
            return Err(LookupError::Nothing(
                left_out.into_iter().next().unwrap_or(none),
            ));
        }
        // The targets cast no doubt: a name in a record is complete, so no search domain comes before it.
        Ok(Answer {
            doubt: asked.doubt,
            ..Answer::new(servers, lifetime, left_out)
        })
    }

    async fn target(&self, record: &SRV) -> Result<Records<IpAddr>, LookupError> {
        if record.target.is_root() {
            let reason = "it says that the service is not there (RFC 2782)";
            return Err(LookupError::Nothing(reason.into()));
        }
        if record.port == 0 {
            return Err(LookupError::Nothing("a server can't have port 0".into()));
        }
        self.addresses(&record.target).await
    }

    async fn addresses(&self, name: &Name) -> Result<Records<IpAddr>, LookupError> {
        match self.addresses_here(name) {
            Some(here) => Ok(here),
            None => self.questions()?.addresses(name).await,
        }
    }

    /// The addresses in `/etc/hosts`, which is looked up first.
    fn addresses_here(&self, name: &Name) -> Option<Records<IpAddr>> {
        let kinds = [RecordType::A, RecordType::AAAA].into_iter();
        let mut here = kinds.filter_map(|kind| {
            self.hosts
                .lookup_static_host(&Query::query(name.clone(), kind))
        });
        let here = here.next()?;
        let addresses = here.answers().iter();
        Some(Records {
            records: addresses
                .filter_map(|record| record.data.ip_addr())
                .collect(),
            // The file has no lifetimes, and may change at any time.
            lifetime: Duration::ZERO,
            doubt: None,
        })
    }

    fn questions(&self) -> Result<&Questions, LookupError> {
        self.questions.as_ref().map_err(LookupError::clone)
    }
}

fn found(
    addresses: &[IpAddr],
    host: &str,
    port: u16,
    weight: Option<u16>,
) -> impl Iterator<Item = ResolvedServer> {
    let host = host.trim_end_matches('.').to_owned();
    addresses.iter().map(move |address| ResolvedServer {
        address: SocketAddr::new(*address, port),
        host: host.clone(),
        weight,
    })
}

fn fixed(address: SocketAddr) -> Answer {
    let found = ResolvedServer {
        address,
        host: address.ip().to_string(),
        weight: None,
    };
    Answer::new(vec![found], Duration::MAX, Vec::new())
}

/// The records with the lowest priority number. The others are for when all servers of these are gone (RFC 2782), but
/// in that case the proxy keeps the addresses that it knows.
fn preferred(records: &[SRV]) -> Vec<&SRV> {
    let first = records.iter().map(|record| record.priority).min();
    let is_first = |record: &&SRV| Some(record.priority) == first;
    records.iter().filter(is_first).collect()
}

/// The weights of the records, or 1 for each if all are equal: some name servers give each record its share of 100, and
/// that share changes with the number of records.
fn weights(records: &[&SRV]) -> Vec<u16> {
    let is_same = |pair: &[&SRV]| pair[0].weight == pair[1].weight;
    if records.windows(2).all(is_same) {
        return vec![1; records.len()];
    }
    let weight = |record: &&SRV| record.weight.clamp(1, HIGHEST_WEIGHT);
    records.iter().map(weight).collect()
}

fn parse(name: &str) -> Result<Name, LookupError> {
    Name::from_ascii(name).map_err(|error| LookupError::Nothing(error.to_string()))
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
        let first = preferred(&records);
        assert_eq!(first, [&records[1], &records[2], &records[3]]);
        assert_eq!(weights(&first), [60, 30, 1]);
        assert_eq!(weights(&[&record(0, 33), &record(0, 33)]), [1, 1]);
        let high = [&record(0, u16::MAX), &record(0, 1)];
        assert_eq!(weights(&high), [HIGHEST_WEIGHT, 1]);
        assert_eq!(weights(&[]), [0; 0]);
    }
}
