//! Asks name servers for a name, and for the name in each search domain, as the system's own look-ups do.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::answer::LookupError;
use super::resolver::{NameServer, Resolver};
use super::system_files::SystemFiles;

/// The time limit for a look-up divided by this is the limit for one question to one server, so that there is time for
/// others.
const QUESTIONS: u32 = 4;

/// The name servers and search domains. Made for each look-up, as [`super::NameState`] keeps the answers, and the
/// system's files may change.
pub(super) struct Questions {
    resolver: TokioResolver,
    search: Vec<Name>,
    /// A name with at least this many dots is looked up unchanged first, and then in the search domains.
    ndots: usize,
}

/// Records of one kind, and how long they are valid.
pub(super) struct Records<T> {
    pub(super) records: Vec<T>,
    pub(super) lifetime: Duration,
}

impl Questions {
    /// Asks the name servers in the settings, or else those of the system.
    pub(super) fn new(files: &SystemFiles, settings: &Resolver) -> Result<Self, LookupError> {
        let (config, mut options) = match files.resolver() {
            Ok(read) => read,
            Err(_) if !settings.servers.is_empty() => {
                (ResolverConfig::default(), ResolverOpts::default())
            }
            Err(why) => return Err(LookupError::NobodyToAsk(why)),
        };
        let (_, search, mut servers) = config.into_parts();
        if !settings.servers.is_empty() {
            servers = settings.servers.iter().map(name_server).collect();
        }
        let ndots = options.ndots;
        options.timeout = settings.timeout / QUESTIONS;
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = 0;
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build();
        let resolver = resolver.map_err(|error| LookupError::NobodyToAsk(error.to_string()))?;
        Ok(Self {
            resolver,
            search,
            ndots,
        })
    }

    /// The addresses of a host. If it has IPv4 addresses, only these, as a server with both kinds is one server; else
    /// its IPv6 addresses.
    pub(super) async fn addresses(&self, name: &Name) -> Result<Records<IpAddr>, LookupError> {
        let mut trouble = LookupError::NoSuchName;
        for name in whole_names(name, &self.search, self.ndots) {
            match self.addresses_of(&name).await {
                Ok(found) => return Ok(found),
                Err(why) => trouble = trouble.or(why),
            }
        }
        Err(trouble)
    }

    /// The SRV records of a service.
    pub(super) async fn services(&self, name: &Name) -> Result<Records<SRV>, LookupError> {
        let mut trouble = LookupError::NoSuchName;
        for name in whole_names(name, &self.search, self.ndots) {
            match self.ask(&name, RecordType::SRV).await {
                Ok(found) => {
                    return Ok(records(&found, |data| match data {
                        RData::SRV(record) => Some(record.clone()),
                        _ => None,
                    }));
                }
                Err(why) => trouble = trouble.or(why),
            }
        }
        Err(trouble)
    }

    async fn addresses_of(&self, name: &Name) -> Result<Records<IpAddr>, LookupError> {
        let mut trouble = LookupError::NoSuchName;
        for kind in [RecordType::A, RecordType::AAAA] {
            match self.ask(name, kind).await {
                Ok(found) => return Ok(records(&found, RData::ip_addr)),
                // It is unknown whether there are addresses of this kind, so those of the other kind must not take
                // their place.
                Err(why @ LookupError::Unanswered(_)) => return Err(why),
                Err(why) => trouble = trouble.or(why),
            }
        }
        Err(trouble)
    }

    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Lookup, LookupError> {
        let what = match kind {
            RecordType::SRV => "SRV records",
            _ => "addresses",
        };
        let nothing = || LookupError::Nothing(format!("it has no {what}"));
        match self.resolver.lookup(name.clone(), kind).await {
            Ok(found)
                if found
                    .answers()
                    .iter()
                    .any(|record| record.record_type() == kind) =>
            {
                Ok(found)
            }
            Ok(_) => Err(nothing()),
            Err(error) if error.is_nx_domain() => Err(LookupError::NoSuchName),
            Err(error) if error.is_no_records_found() => Err(nothing()),
            Err(error) => Err(unanswered(&error)),
        }
    }
}

fn unanswered(error: &NetError) -> LookupError {
    LookupError::Unanswered(error.to_string())
}

fn records<T>(found: &Lookup, of: impl Fn(&RData) -> Option<T>) -> Records<T> {
    Records {
        records: found
            .answers()
            .iter()
            .filter_map(|record| of(&record.data))
            .collect(),
        lifetime: found
            .valid_until()
            .saturating_duration_since(Instant::now()),
    }
}

fn name_server(server: &NameServer) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let connections = connections.map(|mut connection| {
        connection.port = server.0.port();
        connection
    });
    NameServerConfig::new(server.0.ip(), true, connections.into())
}

/// The complete names that a name may stand for, in the order in which they are looked up.
fn whole_names(name: &Name, search: &[Name], ndots: usize) -> Vec<Name> {
    let mut as_it_is = name.clone();
    as_it_is.set_fqdn(true);
    if name.is_fqdn() {
        return vec![as_it_is];
    }
    let in_domain = |domain: &Name| {
        let mut name = name.clone().append_domain(domain).ok()?;
        name.set_fqdn(true);
        Some(name)
    };
    let mut names: Vec<Name> = search.iter().filter_map(in_domain).collect();
    let dots = usize::from(name.num_labels()).saturating_sub(1);
    let place = if dots >= ndots { 0 } else { names.len() };
    names.insert(place, as_it_is);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).expect("a name")
    }

    #[test]
    fn search_domains_come_before_or_after_the_name_itself() {
        let search = [name("store.svc.local"), name("svc.local.")];
        let names = |text: &str, ndots| {
            let names = whole_names(&name(text), &search, ndots);
            names.iter().map(Name::to_ascii).collect::<Vec<_>>()
        };
        let in_domains = ["host.store.svc.local.", "host.svc.local.", "host."];
        assert_eq!(names("host", 1), in_domains);
        let itself_first = ["a.host.", "a.host.store.svc.local.", "a.host.svc.local."];
        assert_eq!(names("a.host", 1), itself_first);
        assert_eq!(names("a.host", 5)[2], "a.host.");
        assert_eq!(names("host.", 5), ["host."]);
    }
}
