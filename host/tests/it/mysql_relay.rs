//! A relay between a host and MySQL that breaks a transaction at its commit or at any other statement, and counts commits.
//! It understands just enough of the protocol to do that: packets, and which prepared statement is the commit.
//! (<https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html>)

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use testbed::DataStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How every transaction of the store begins.
const BEGIN: &[u8] = b"SET autocommit = 0";

/// How every transaction of the store is committed.
const COMMIT: &[u8] = b"SET autocommit = 1";

const PREPARE: u8 = 0x16;
const EXECUTE: u8 = 0x17;

/// What happens to the next commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server commits, and its answer is lost with the connection.
    AnswerLost,
    /// The commit, or what else comes, is lost with the connection.
    CommitLost,
    /// As `AnswerLost`, and from then on MySQL can't be reached.
    AnswerAndServerLost,
    /// The server answers with this error, and has not committed.
    Refused(u16),
    /// The server answers with this error, and has committed.
    DoneButRefused(u16),
    /// The commit stays on its way until the relay is mended.
    Held,
    /// The server commits, and its answer stays on its way until the relay is mended.
    AnswerHeld,
}

/// Relays until it is dropped.
pub(crate) struct MysqlRelay {
    address: String,
    control: Arc<Mutex<RelayState>>,
    task: JoinHandle<()>,
}

/// Written by the test and by the connections.
#[derive(Debug, Default)]
struct RelayState {
    /// For the first commit of the transactions with this number and those after it; taken by that commit.
    fault: Option<(u32, Fault)>,
    unreachable: bool,
    /// Where connections to come lead.
    server: String,
    /// Taken when a connection is cut.
    cut: Option<Cut>,
    /// Transactions that began; each has the number that this makes of it.
    transactions: u32,
    /// Commits that came.
    commits: u32,
    /// Ends the wait of a commit, or an answer, that is held.
    released: Arc<Notify>,
}

/// Where a connection is to be cut.
#[derive(Debug)]
struct Cut {
    /// The number of the first transaction whose statements count. With 0, all statements do.
    from: u32,
    /// How many statements are let through before.
    left: u32,
}

impl RelayState {
    /// Whether a statement of this transaction is the one to cut at; 0 stands for no transaction.
    fn is_cut_at(&mut self, transaction: u32) -> bool {
        match &mut self.cut {
            Some(Cut { from, left }) if transaction >= *from => match left.checked_sub(1) {
                Some(less) => *left = less,
                None => self.cut = None,
            },
            _ => return false,
        }
        self.cut.is_none()
    }
}

impl MysqlRelay {
    /// A relay to the MySQL of `store`.
    pub(crate) async fn to(store: &DataStore) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let control = RelayState {
            server: mysql_address(store),
            ..RelayState::default()
        };
        let control = Arc::new(Mutex::new(control));
        Self {
            address: listener.local_addr().unwrap().to_string(),
            task: tokio::spawn(accept(listener, control.clone())),
            control,
        }
    }

    /// Where it listens, as the variable `mysql_address` has it.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Connections to come lead to the MySQL of another store.
    pub(crate) fn lead_to(&self, store: &DataStore) {
        self.control.lock().unwrap().server = mysql_address(store);
    }

    /// Breaks the first commit of the transactions to come, and of none that is open now.
    pub(crate) fn break_next_commit(&self, fault: Fault) {
        self.break_commit_after(0, fault);
    }

    /// As [`break_next_commit`](Self::break_next_commit), of the transactions that begin after `transactions` others.
    pub(crate) fn break_commit_after(&self, transactions: u32, fault: Fault) {
        let mut control = self.control.lock().unwrap();
        control.fault = Some((control.transactions + transactions + 1, fault));
    }

    /// Whether a commit came and was broken since.
    pub(crate) fn broke_one(&self) -> bool {
        self.control.lock().unwrap().fault.is_none()
    }

    /// Cuts a connection instead of letting the statement through that comes after `statements` others, on any connection.
    pub(crate) fn cut_after(&self, statements: u32) {
        let cut = Cut {
            from: 0,
            left: statements,
        };
        self.control.lock().unwrap().cut = Some(cut);
    }

    /// As [`cut_after`](Self::cut_after), but counts only statements of transactions to come, and none of those that are
    /// open now.
    pub(crate) fn cut_later_after(&self, statements: u32) {
        let mut control = self.control.lock().unwrap();
        control.cut = Some(Cut {
            from: control.transactions + 1,
            left: statements,
        });
    }

    /// Lets all statements through, and says whether none was cut since [`cut_after`](Self::cut_after).
    pub(crate) fn cut_no_more(&self) -> bool {
        self.control.lock().unwrap().cut.take().is_some()
    }

    /// How many commits have come.
    pub(crate) fn commits(&self) -> u32 {
        self.control.lock().unwrap().commits
    }

    /// MySQL can be reached again, and a commit or an answer that was held goes on.
    pub(crate) fn mend(&self) {
        let mut control = self.control.lock().unwrap();
        control.unreachable = false;
        control.released.notify_one();
    }
}

impl Drop for MysqlRelay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where a store's MySQL listens.
pub(crate) fn mysql_address(store: &DataStore) -> String {
    let variables = store.addresses().variables();
    let mut addresses = variables.into_iter();
    let address = addresses.find_map(|(name, value)| (name == "mysql_address").then_some(value));
    address.unwrap()
}

async fn accept(listener: TcpListener, control: Arc<Mutex<RelayState>>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        if control.lock().unwrap().unreachable {
            continue;
        }
        let server = control.lock().unwrap().server.clone();
        let server = TcpStream::connect(server).await.unwrap();
        // A packet must not wait for the one before it to be acknowledged.
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
        }
        connections.spawn(relay(client, server, control.clone()));
    }
}

/// One connection. It ends, on both sides, when either direction does.
async fn relay(client: TcpStream, server: TcpStream, control: Arc<Mutex<RelayState>>) {
    let statements = Mutex::new(Statements::default());
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let client_write = tokio::sync::Mutex::new(client_write);
    let ended = tokio::select! {
        ended = to_server(client_read, server_write, &client_write, &statements, &control) => ended,
        ended = to_client(server_read, &client_write, &statements, &control) => ended,
    };
    // What broke is the test's doing, or a host that ended.
    drop(ended);
}

/// Either end of a transaction.
#[derive(Clone, Copy, Debug)]
enum Bracket {
    Begin,
    Commit,
}

impl Bracket {
    fn of(statement: &[u8]) -> Option<Self> {
        match statement {
            BEGIN => Some(Self::Begin),
            COMMIT => Some(Self::Commit),
            _ => None,
        }
    }
}

/// What one connection has prepared.
#[derive(Debug, Default)]
struct Statements {
    /// What the answer to come gives a number to.
    prepared: Option<Bracket>,
    brackets: HashMap<[u8; 4], Bracket>,
    /// The number of the transaction that is open; 0 if none is.
    transaction: u32,
    /// The answer to come is lost.
    lose_answer: bool,
    /// The answer to come is held.
    hold_answer: bool,
    /// The error that takes the place of the answer to come.
    error_instead: Option<u16>,
}

async fn to_server(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    client: &tokio::sync::Mutex<OwnedWriteHalf>,
    statements: &Mutex<Statements>,
    control: &Mutex<RelayState>,
) -> io::Result<()> {
    loop {
        let packet = read_packet(&mut from).await?;
        match fault(&packet, statements, control) {
            None => to.write_all(&packet).await?,
            Some(Fault::CommitLost) => return Ok(()),
            Some(Fault::Held) => {
                let released = control.lock().unwrap().released.clone();
                released.notified().await;
                to.write_all(&packet).await?;
            }
            Some(Fault::AnswerHeld) => {
                statements.lock().unwrap().hold_answer = true;
                to.write_all(&packet).await?;
            }
            Some(Fault::AnswerLost | Fault::AnswerAndServerLost) => {
                statements.lock().unwrap().lose_answer = true;
                to.write_all(&packet).await?;
            }
            Some(Fault::Refused(code)) => {
                client.lock().await.write_all(&refusal(code)).await?;
            }
            Some(Fault::DoneButRefused(code)) => {
                statements.lock().unwrap().error_instead = Some(code);
                to.write_all(&packet).await?;
            }
        }
    }
}

/// Looks at a packet of the client's, and gives what is to be done to it if it is a commit or one to cut at.
fn fault(
    packet: &[u8],
    statements: &Mutex<Statements>,
    control: &Mutex<RelayState>,
) -> Option<Fault> {
    // Commands begin a new sequence of packets.
    let [_, _, _, 0, command, payload @ ..] = packet else {
        return None;
    };
    let mut statements = statements.lock().unwrap();
    if *command == PREPARE {
        statements.prepared = Bracket::of(payload);
    }
    if *command != EXECUTE {
        return None;
    }
    let mut control = control.lock().unwrap();
    let bracket = statements.brackets.get(&payload[..4]).copied();
    if let Some(Bracket::Begin) = bracket {
        control.transactions += 1;
        statements.transaction = control.transactions;
    }
    if control.is_cut_at(statements.transaction) {
        return Some(Fault::CommitLost);
    }
    if !matches!(bracket, Some(Bracket::Commit)) {
        return None;
    }
    control.commits += 1;
    let number = std::mem::take(&mut statements.transaction);
    let (_, fault) = control.fault.take_if(|(from, _)| number >= *from)?;
    control.unreachable |= fault == Fault::AnswerAndServerLost;
    Some(fault)
}

async fn to_client(
    mut from: OwnedReadHalf,
    to: &tokio::sync::Mutex<OwnedWriteHalf>,
    statements: &Mutex<Statements>,
    control: &Mutex<RelayState>,
) -> io::Result<()> {
    loop {
        let mut packet = read_packet(&mut from).await?;
        let is_held = {
            let mut statements = statements.lock().unwrap();
            if statements.lose_answer {
                return Ok(());
            }
            if let Some(bracket) = statements.prepared.take()
                && let [_, _, _, 1, 0, a, b, c, d, ..] = packet[..]
            {
                statements.brackets.insert([a, b, c, d], bracket);
            }
            if let Some(code) = statements.error_instead.take() {
                packet = refusal(code);
            }
            std::mem::take(&mut statements.hold_answer)
        };
        if is_held {
            let released = control.lock().unwrap().released.clone();
            released.notified().await;
        }
        to.lock().await.write_all(&packet).await?;
    }
}

/// A packet with its head: three bytes of length and one of sequence.
async fn read_packet(from: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let mut packet = vec![0; 4];
    from.read_exact(&mut packet).await?;
    let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]) as usize;
    packet.resize(4 + length, 0);
    from.read_exact(&mut packet[4..]).await?;
    Ok(packet)
}

/// The server's error `code`, as the answer to a command.
fn refusal(code: u16) -> Vec<u8> {
    let mut payload = vec![0xff];
    payload.extend(code.to_le_bytes());
    payload.extend(b"#40001refused by the test");
    let mut packet = vec![payload.len() as u8, 0, 0, 1];
    packet.extend(payload);
    packet
}
