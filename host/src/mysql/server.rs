//! The server and database that a pool's connections lead to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};
use rustls::CertificateError;
use store_server::trace::SharedDescription;
use tokio::time::timeout;

use super::fitness;
use super::group::{Group, WriterTenure};
use super::hidden::Hidden;
use super::process::ListedConn;
use crate::config::{HostPort, TlsMode};
use crate::outbound::{Backend, Tls, largest_piece, tls_error};

/// How many prepared statements are kept on each connection. Lists of ids have many lengths, and each length is a
/// statement of its own. The server allows 16,382 prepared statements for all its clients (`max_prepared_stmt_count`).
/// Each takes 30 to 500 KiB there, depending on its length.
const STATEMENTS_KEPT: usize = 128;

/// Room for the protocol's bytes around a row.
const PACKET_EXTRA_BYTES: usize = 64 * 1024;

/// How long the server keeps idle connections. Only the driver's own pool needs this value, and the host does not use
/// that pool. The value is set so that the driver does not ask the server for it.
const WAIT_TIMEOUT_SECONDS: usize = 28_800;

/// How long it may take to connect to a member that is to answer reads, and until nothing that it has received waits
/// there to be applied.
const STANDBY_LIMIT: Duration = Duration::from_millis(500);

/// One database of one server, as one user.
pub(crate) struct Server {
    /// The connection options, as the address gives them.
    usual: Opts,
    /// The connection options that were used last. They may lead to the group's writer, and have the name for which the
    /// server's certificate was issued.
    opts: ArcSwap<Opts>,
    /// Whether the server's certificate may be for any name.
    takes_any_name: bool,
    /// The group that chooses the server; `None` if the address is that of a single server.
    group: Option<Arc<Group>>,
    /// Whether connections lead to a member of the group that is not its writer.
    is_standby: bool,
    /// What spans say of the server.
    pub(super) description: SharedDescription,
    /// Whether a view or trigger may change a session. Changed by each look, when a connection is opened or reset, and
    /// before and after a statement that may make one.
    pub(super) hidden: Hidden,
}

impl Server {
    /// The single server at `backend`, with connection options for a component with this memory limit.
    pub(crate) fn alone(backend: &Backend, tls: &Tls, memory_limit_bytes: usize) -> Self {
        let opts = backend
            .mysql_opts(tls)
            .stmt_cache_size(STATEMENTS_KEPT)
            .tcp_nodelay(true)
            // A row that is larger is refused when it begins to arrive.
            .max_allowed_packet(Some(largest_piece(memory_limit_bytes) + PACKET_EXTRA_BYTES))
            .wait_timeout(Some(WAIT_TIMEOUT_SECONDS));
        let opts = Opts::from(opts);
        Self {
            opts: ArcSwap::from_pointee(opts.clone()),
            usual: opts,
            group: None,
            is_standby: false,
            description: backend.description(),
            takes_any_name: backend.tls_mode(tls) == TlsMode::VerifyCa,
            hidden: Hidden::default(),
        }
    }

    /// The same, if the address stands for `group`: the group chooses the server.
    pub(super) fn chosen_by(self, group: Option<Arc<Group>>) -> Self {
        Self { group, ..self }
    }

    /// A member of the same group that answers reads while there is no writer.
    pub(super) fn standby(&self) -> Self {
        Self {
            usual: self.usual.clone(),
            opts: ArcSwap::from_pointee(self.usual.clone()),
            takes_any_name: self.takes_any_name,
            group: self.group.clone(),
            is_standby: true,
            description: self.description.clone(),
            hidden: Hidden::default(),
        }
    }

    /// The default database of the connections.
    pub(super) fn database(&self) -> Option<&str> {
        self.usual.db_name()
    }

    /// Whether this is such a member.
    pub(super) fn is_standby(&self) -> bool {
        self.is_standby
    }

    /// The group whose writer this is; `None` for a single server, and for a standby.
    pub(super) fn group_to_write_to(&self) -> Option<&Group> {
        self.group.as_deref().filter(|_| !self.is_standby)
    }

    /// Has the group check its members soon, because a connection to the writer has failed.
    pub(super) fn doubt(&self) {
        if let Some(group) = self.group_to_write_to() {
            group.doubt_writer();
        }
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// As [`Server::open`].
    pub(crate) async fn connect(&self) -> Result<Conn, mysql_async::Error> {
        let Some(group) = &self.group else {
            return self.connect_with(self.opts.load_full()).await;
        };
        if self.is_standby {
            return self.connect_to_standby(group).await;
        }
        let nobody = |reason: String| std::io::Error::other(reason);
        let writer = group.writer().await.map_err(nobody)?;
        match self.connect_with(self.opts_for(&writer)).await {
            // The writer may just have failed, and the group may choose another one in a moment.
            Err(error) if !matches!(error, mysql_async::Error::Server(_)) => {
                group.doubt_writer();
                let next = group.next_after(&writer).await.ok_or(error)?;
                self.connect_with(self.opts_for(&next)).await
            }
            opened => opened,
        }
    }

    async fn connect_to_standby(&self, group: &Group) -> Result<Conn, mysql_async::Error> {
        let mut failure = std::io::Error::other("no other MySQL member can answer reads");
        for member in group.standbys() {
            let connecting = async {
                let mut conn = self.connect_with(self.opts_for(&member)).await?;
                let can_answer = fitness::takes_up_all(&mut conn).await?;
                Ok::<_, mysql_async::Error>(can_answer.then_some(conn))
            };
            match timeout(STANDBY_LIMIT, connecting).await {
                Ok(Ok(Some(conn))) => {
                    group.reads_from(&member);
                    return Ok(conn);
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) => failure = std::io::Error::other(error),
                Err(_) => failure = std::io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failure.into())
    }

    fn opts_for(&self, member: &HostPort) -> Arc<Opts> {
        let opts = self.opts.load_full();
        if place(&opts) == *member {
            return opts;
        }
        let opts = OptsBuilder::from_opts(self.usual.clone())
            .ip_or_hostname(&member.host)
            .tcp_port(member.port);
        let opts = Arc::new(Opts::from(opts));
        self.opts.store(opts.clone());
        opts
    }

    /// Whether a connection leads to the server that is to be used now.
    pub(super) fn leads_to(&self, conn: &Conn) -> bool {
        let at = place(conn.opts());
        match &self.group {
            None => true,
            Some(group) if self.is_standby => group.standbys().contains(&at),
            Some(group) => group.is_writer(&at),
        }
    }

    /// The tenure of the member that a connection leads to; `None` if the server is in no group.
    pub(super) fn tenure_of(&self, conn: &Conn) -> Option<WriterTenure> {
        let group = self.group.clone()?;
        Some(WriterTenure::new(group, place(conn.opts())))
    }

    async fn connect_with(&self, opts: Arc<Opts>) -> Result<Conn, mysql_async::Error> {
        let opened = Conn::new(Opts::clone(&opts)).await;
        let name = match &opened {
            Err(error) if self.takes_any_name => name_in_certificate(error),
            _ => None,
        };
        let Some(name) = name else { return opened };
        // The driver always checks a name, so it is given the one that the certificate is for.
        let tls = opts.ssl_opts().cloned();
        let tls = tls.map(|tls: SslOpts| tls.with_danger_tls_hostname_override(Some(name)));
        let opts = Opts::from(OptsBuilder::from_opts(Opts::clone(&opts)).ssl_opts(tls));
        self.opts.store(Arc::new(opts.clone()));
        Conn::new(opts).await
    }

    /// Opens a connection, and looks for hidden changes. The caller must limit the time.
    ///
    /// # Errors
    /// The server can't be reached or refuses the user.
    pub(super) async fn open(&self) -> Result<ListedConn, mysql_async::Error> {
        let mut conn = ListedConn::new(self.connect().await?).await?;
        self.look_for_hidden_changes(&mut conn).await?;
        Ok(conn)
    }

    /// Resets a session to the state in which it was opened, and looks again for hidden changes, as a view or trigger
    /// may have been made or removed since. There is no look while it is certain that one may change a session. `false`
    /// if the connection can't be kept. The caller must limit the time.
    pub(super) async fn reset(&self, conn: &mut Conn) -> bool {
        reset(conn).await
            && (self.hidden.is_certain() || self.look_for_hidden_changes(conn).await.is_ok())
    }

    /// Checks whether views or triggers of the database may change a session. Without a default database, those of all
    /// databases can be used, so they may. The caller must limit the time.
    ///
    /// # Errors
    /// The server is gone.
    async fn look_for_hidden_changes(&self, conn: &mut Conn) -> Result<(), mysql_async::Error> {
        let Some(database) = self.database() else {
            if self.hidden.find() {
                tracing::warn!(
                    "The address of MySQL at {self} names no database, so each connection is closed after its use"
                );
            }
            return Ok(());
        };
        if self.hidden.look(conn, database).await? {
            tracing::warn!(
                "A view or trigger in the database at {self} may change a session, so each session is reset after its use"
            );
        }
        Ok(())
    }

    /// Whether views and triggers may do more to a session than a statement's text shows.
    pub(super) fn hides_changes(&self) -> bool {
        self.hidden.may_change()
    }
}

/// Writes the server's address, without user and password.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opts = self.opts.load();
        write!(f, "{}:{}", opts.ip_or_hostname(), opts.tcp_port())
    }
}

/// The host and port that a connection leads to.
fn place(opts: &Opts) -> HostPort {
    HostPort::new(opts.ip_or_hostname(), opts.tcp_port())
}

/// A name in the server's certificate, if a connection failed only because the certificate is not for the host in the
/// address. The name is checked last: by then, a trusted authority was found that signed the certificate.
fn name_in_certificate(error: &mysql_async::Error) -> Option<String> {
    let rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
        presented,
        ..
    }) = tls_error(error)?
    else {
        return None;
    };
    // Rustls writes the names as `DnsName("db.example")` and `IpAddress(10.0.0.1)`.
    presented.iter().find_map(|name| {
        let (_, inner) = name.split_once('(')?;
        let name = inner.strip_suffix(')')?.trim_matches('"');
        // A certificate with a star is valid for any name in its place.
        Some(name.replacen('*', "any", 1))
    })
}

/// Resets a session to the state in which it was opened. MariaDB does not undo `USE` on a reset (COM_RESET_CONNECTION),
/// so the default database is set again. `false` if there is none.
async fn reset(conn: &mut Conn) -> bool {
    let Some(name) = conn.opts().db_name().map(|name| name.replace('`', "``")) else {
        return false;
    };
    conn.reset().await.is_ok_and(|done| done)
        && conn.query_drop(format!("USE `{name}`")).await.is_ok()
}
