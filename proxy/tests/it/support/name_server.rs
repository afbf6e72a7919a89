//! A name server whose answers a test decides, over UDP.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::SRV;
use hickory_proto::rr::{Name, RData, Record};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::eventually_some;

/// Longer than any message without EDNS.
const MESSAGE_BYTES: usize = 4096;

/// A name server. It ends when it is dropped.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Zone {
    /// What is answered, by name and with the seconds for which it holds. Other names there are none.
    records: HashMap<Name, (u32, Vec<RData>)>,
    is_silent: bool,
    /// Questions so far, by name.
    asked: HashMap<Name, usize>,
}

impl NameServer {
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::default();
        let task = tokio::spawn(answer_all(socket, Arc::clone(&zone)));
        Self {
            address,
            zone,
            task,
        }
    }

    /// From now on, the name has these addresses.
    pub(crate) fn set(&self, name: &str, seconds: u32, addresses: &[SocketAddr]) {
        let records = addresses.iter().map(|address| match address.ip() {
            IpAddr::V4(ip) => RData::A(ip.into()),
            IpAddr::V6(ip) => RData::AAAA(ip.into()),
        });
        self.put(name, seconds, records.collect());
    }

    /// From now on, the name has these services: priority, weight, port and host of each.
    pub(crate) fn set_services(&self, name: &str, services: &[(u16, u16, u16, &str)]) {
        let record = |(priority, weight, port, host): &(u16, u16, u16, &str)| {
            RData::SRV(SRV::new(*priority, *weight, *port, whole(host)))
        };
        self.put(name, 0, services.iter().map(record).collect());
    }

    /// From now on, there is no such name.
    pub(crate) fn remove(&self, name: &str) {
        self.zone.lock().unwrap().records.remove(&whole(name));
    }

    /// Whether questions get no answer.
    pub(crate) fn be_silent(&self, is_silent: bool) {
        self.zone.lock().unwrap().is_silent = is_silent;
    }

    /// Questions for a name so far.
    pub(crate) fn asked(&self, name: &str) -> usize {
        let zone = self.zone.lock().unwrap();
        zone.asked.get(&whole(name)).copied().unwrap_or_default()
    }

    /// Ends, as a process that died.
    pub(crate) async fn stop(&mut self) {
        self.task.abort();
        _ = (&mut self.task).await;
    }

    /// Answers again, at the same address.
    pub(crate) async fn start_again(&mut self) {
        let socket = eventually_some("the port is free again", async || {
            UdpSocket::bind(self.address).await.ok()
        })
        .await;
        self.task = tokio::spawn(answer_all(socket, self.zone.clone()));
    }

    fn put(&self, name: &str, seconds: u32, records: Vec<RData>) {
        let mut zone = self.zone.lock().unwrap();
        zone.records.insert(whole(name), (seconds, records));
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn whole(name: &str) -> Name {
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    name
}

async fn answer_all(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut bytes = [0; MESSAGE_BYTES];
    loop {
        // A client that has gone may be an error of the next read.
        let Ok((length, client)) = socket.recv_from(&mut bytes).await else {
            continue;
        };
        let question = Message::from_vec(&bytes[..length]).unwrap();
        let answer = answer(&question, &mut zone.lock().unwrap());
        if let Some(answer) = answer {
            _ = socket.send_to(&answer.to_vec().unwrap(), client).await;
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
