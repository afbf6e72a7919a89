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
    /// Why the records of another name may be the right ones, see [`super::Answer::doubt`].
    pub(super) doubt: Option<LookupError>,
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
                Ok(found) => {
                    let doubt = trouble.doubt();
                    return Ok(Records { doubt, ..found });
                }
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
                    let found = records(&found, |data| match data {
                        RData::SRV(record) => Some(record.clone()),
                        _ => None,
                    });
                    let doubt = trouble.doubt();
                    return Ok(Records { doubt, ..found });
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
        doubt: None,
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
    use std::net::{Ipv4Addr, Ipv6Addr};

    use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
    use hickory_resolver::proto::rr::Record;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, UdpSocket};

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

    /// A name server that fails to answer for one name, and has one address for every other.
    async fn serve(socket: UdpSocket, failing: Name) {
        let mut bytes = [0; 512];
        loop {
            // The error may be about a client that has gone.
            let Ok((length, client)) = socket.recv_from(&mut bytes).await else {
                continue;
            };
            let question = Message::from_vec(&bytes[..length]).expect("a question");
            let query = question.queries[0].clone();
            let mut answer = Message::response(question.metadata.id, OpCode::Query);
            if *query.name() == failing {
                answer.metadata.response_code = ResponseCode::ServFail;
            } else {
                let address = RData::A(Ipv4Addr::LOCALHOST.into());
                answer.add_answers([Record::from_rdata(query.name().clone(), 30, address)]);
            }
            answer.add_query(query);
            let answer = answer.to_vec().expect("an answer");
            _ = socket.send_to(&answer, client).await;
        }
    }

    #[tokio::test]
    async fn what_follows_a_name_that_is_unanswered_is_in_doubt() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let settings = Resolver {
            servers: vec![NameServer(socket.local_addr().expect("an address"))],
            ..Resolver::default()
        };
        let server = tokio::spawn(serve(socket, name("db.right.example.")));
        let questions = Questions::new(&SystemFiles::default(), &settings);
        let mut questions = questions.expect("a name server is known");
        questions.ndots = 1;
        for (search, is_in_doubt) in [
            (["right.example.", "wildcard.example."], true),
            (["wildcard.example.", "right.example."], false),
        ] {
            questions.search = search.map(name).to_vec();
            let found = questions.addresses(&name("db")).await.expect("an address");
            assert_eq!(found.records, [IpAddr::from(Ipv4Addr::LOCALHOST)]);
            let doubt = matches!(found.doubt, Some(LookupError::Unanswered(_)));
            assert_eq!(doubt, is_in_doubt, "{search:?}");
        }
        // A whole name has nothing after it.
        let alone = questions.addresses(&name("db.right.example.")).await;
        assert!(
            matches!(alone, Err(LookupError::Unanswered(_))),
            "it is unanswered"
        );
        server.abort();
    }

    /// One port for datagrams and for connections.
    async fn port_for_both() -> (UdpSocket, TcpListener) {
        loop {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            if let Ok(socket) = UdpSocket::bind(address).await {
                return (socket, listener);
            }
        }
    }

    /// The answer to a question for a name that has these addresses and no others.
    fn answer(question: &[u8], addresses: &[Ipv6Addr], is_truncated: bool) -> Vec<u8> {
        let question = Message::from_vec(question).expect("a question");
        let query = question.queries[0].clone();
        let mut answer = Message::response(question.metadata.id, OpCode::Query);
        if query.query_type() == RecordType::AAAA {
            answer.metadata.truncation = is_truncated;
            answer.add_answers(addresses.iter().map(|address| {
                let address = RData::AAAA((*address).into());
                Record::from_rdata(query.name().clone(), 30, address)
            }));
        }
        answer.add_query(query);
        answer.to_vec().expect("an answer")
    }

    #[tokio::test]
    async fn more_addresses_than_a_datagram_holds_are_all_found() {
        let (socket, listener) = port_for_both().await;
        let settings = Resolver {
            servers: vec![NameServer(socket.local_addr().expect("an address"))],
            ..Resolver::default()
        };
        let all: Vec<Ipv6Addr> = (1..=300)
            .map(|number| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number))
            .collect();
        let first = all[..10].to_vec();
        let datagrams = tokio::spawn(async move {
            let mut bytes = [0; 512];
            loop {
                let Ok((length, client)) = socket.recv_from(&mut bytes).await else {
                    continue;
                };
                let answer = answer(&bytes[..length], &first, true);
                _ = socket.send_to(&answer, client).await;
            }
        });
        let whole = all.clone();
        let connections = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("a client");
                let length = stream.read_u16().await.expect("a length");
                let mut question = vec![0; length.into()];
                stream.read_exact(&mut question).await.expect("a question");
                let answer = answer(&question, &whole, false);
                let length = u16::try_from(answer.len()).expect("it is short");
                stream.write_u16(length).await.expect("written");
                stream.write_all(&answer).await.expect("written");
            }
        });
        let questions = Questions::new(&SystemFiles::default(), &settings);
        let questions = questions.expect("a name server is known");
        let found = questions.addresses(&name("db.example.")).await;
        let mut found = found.expect("addresses").records;
        found.sort();
        let all: Vec<IpAddr> = all.into_iter().map(IpAddr::from).collect();
        assert_eq!(found, all);
        datagrams.abort();
        connections.abort();
    }
}
