//! A DNS server over UDP whose answers a test decides.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::SRV;
use hickory_proto::rr::{Name, RData, Record};
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::polling::poll_until;

/// How long a restarted server waits for its own port.
const OWN_PORT_LIMIT: Duration = Duration::from_secs(20);

/// Longer than any message without EDNS, in bytes.
const MESSAGE_BYTES: usize = 4096;

/// A DNS server. Dropping it ends it.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Zone {
    /// The records by name, with their time to live in seconds. Other names don't exist.
    records: HashMap<Name, (u32, Vec<RData>)>,
    is_silent: bool,
    /// The number of questions so far, by name.
    asked: HashMap<Name, usize>,
}

impl NameServer {
    /// Starts a server that knows no names yet, on a free port of loopback.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start() -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await;
        let socket = socket.context("looking for a free port")?;
        let address = socket.local_addr().context("reading the free port")?;
        let zone = Arc::default();
        let task = tokio::spawn(answer_all(socket, Arc::clone(&zone)));
        Ok(Self {
            address,
            zone,
            task,
        })
    }

    /// The server's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, the name has these addresses, for `seconds`.
    pub fn set(&self, name: &str, seconds: u32, addresses: &[SocketAddr]) {
        let records = addresses.iter().map(|address| match address.ip() {
            IpAddr::V4(ip) => RData::A(ip.into()),
            IpAddr::V6(ip) => RData::AAAA(ip.into()),
        });
        self.put(name, seconds, records.collect());
    }

    /// From now on, the name has these SRV records: priority, weight, port and host of each.
    pub fn set_services(&self, name: &str, services: &[(u16, u16, u16, &str)]) {
        let record = |(priority, weight, port, host): &(u16, u16, u16, &str)| {
            RData::SRV(SRV::new(*priority, *weight, *port, whole(host)))
        };
        self.put(name, 0, services.iter().map(record).collect());
    }

    /// From now on, the name does not exist.
    pub fn remove(&self, name: &str) {
        self.zone.lock().records.remove(&whole(name));
    }

    /// Sets whether the server leaves questions unanswered.
    pub fn be_silent(&self, is_silent: bool) {
        self.zone.lock().is_silent = is_silent;
    }

    /// The number of questions for a name so far.
    pub fn asked(&self, name: &str) -> usize {
        let zone = self.zone.lock();
        zone.asked.get(&whole(name)).copied().unwrap_or_default()
    }

    /// Stops the server, as if its process had died.
    pub async fn stop(&mut self) {
        self.task.abort();
        _ = (&mut self.task).await;
    }

    /// Starts a stopped server at the same address.
    ///
    /// # Errors
    /// When another process has taken the port.
    pub async fn start_again(&mut self) -> Result<()> {
        let address = self.address;
        let socket = poll_until(OWN_PORT_LIMIT, "taking the port again", async || {
            Ok(UdpSocket::bind(address).await.ok())
        })
        .await?;
        self.task = tokio::spawn(answer_all(socket, self.zone.clone()));
        Ok(())
    }

    fn put(&self, name: &str, seconds: u32, records: Vec<RData>) {
        let mut zone = self.zone.lock();
        zone.records.insert(whole(name), (seconds, records));
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn whole(name: &str) -> Name {
    let mut name = Name::from_ascii(name).expect("a test asks for names that can be");
    name.set_fqdn(true);
    name
}

async fn answer_all(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut bytes = [0; MESSAGE_BYTES];
    loop {
        // The error may be about a client that has gone.
        let Ok((length, client)) = socket.recv_from(&mut bytes).await else {
            continue;
        };
        let Ok(question) = Message::from_vec(&bytes[..length]) else {
            continue;
        };
        let answer = answer(&question, &mut zone.lock());
        if let Some(Ok(answer)) = answer.map(|answer| answer.to_vec()) {
            _ = socket.send_to(&answer, client).await;
        }
    }
}

fn answer(question: &Message, zone: &mut Zone) -> Option<Message> {
    let query = question.queries.first()?.clone();
    let name = query.name().clone();
    *zone.asked.entry(name.clone()).or_default() += 1;
    if zone.is_silent {
        return None;
    }
    let mut answer = Message::response(question.metadata.id, OpCode::Query);
    match zone.records.get(&name) {
        None => answer.metadata.response_code = ResponseCode::NXDomain,
        Some((seconds, records)) => {
            let asked = records
                .iter()
                .filter(|record| record.record_type() == query.query_type());
            let asked =
                asked.map(|record| Record::from_rdata(name.clone(), *seconds, record.clone()));
            answer.add_answers(asked.collect::<Vec<_>>());
        }
    }
    answer.add_query(query);
    Some(answer)
}
