//! The server and database that a pool's connections lead to, and what is known of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};
use rustls::CertificateError;

use super::group::{Group, WriterTenure};
use super::process::ListedConn;
use super::servers::Servers;
use super::sql::{self, Effect};
use crate::config::{HostPort, TlsMode};
use crate::instance::share::largest_piece;
use crate::outbound::{Attributes, Backend, Tls, tls_error};

/// Prepared statements kept on each connection. Lists of ids come in many lengths, each its own statement, and the
/// server allows 16,382 of them to all its clients (`max_prepared_stmt_count`). One takes 30 to 500 KiB there, by its length.
const STATEMENTS_KEPT: usize = 128;

/// Room for what the protocol puts around a row.
const PACKET_EXTRA_BYTES: usize = 64 * 1024;

/// How long the server keeps connections that nobody uses. Only the driver's own pool would need it, which we do not use; it
/// is set so that the driver does not ask the server.
const WAIT_TIMEOUT_SECONDS: usize = 28_800;

/// Selects the texts of the database's views and triggers. A user who may not see a view's text gets an empty one.
const HIDDEN_STATEMENTS: &str = "\
    SELECT ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = DATABASE() \
    UNION ALL \
    SELECT VIEW_DEFINITION FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()";

/// One database of one server, as one user.
pub(crate) struct Server {
    /// The options as the address has them.
    usual: Opts,
    /// The options that were used last: they may lead to the group's writer, and have a name that its certificate is
    /// for.
    opts: ArcSwap<Opts>,
    /// Whether its certificate may be for any name.
    takes_any_name: bool,
    /// The group that says which server is written to; none if the address is that of one server.
    group: Option<Arc<Group>>,
    /// What traces say of it.
    pub(super) attributes: Attributes,
    /// Whether a view or a trigger may change a session. Written each time a connection is opened.
    hides_changes: AtomicBool,
}

impl Server {
    /// The server at `backend`, with the options of a connection for a component with this memory limit.
    pub(crate) fn new(backend: &Backend, servers: &Servers, memory_limit_bytes: usize) -> Self {
        Self {
            group: servers.group_of(backend),
            ..Self::alone(&servers.resolved(backend), &servers.tls, memory_limit_bytes)
        }
    }

    /// The same, whatever group it is a member of.
    pub(crate) fn alone(backend: &Backend, tls: &Tls, memory_limit_bytes: usize) -> Self {
        let opts = backend
            .mysql_opts(tls)
            .stmt_cache_size(STATEMENTS_KEPT)
            .tcp_nodelay(true)
            // A row larger than this is refused when it begins to arrive.
            .max_allowed_packet(Some(largest_piece(memory_limit_bytes) + PACKET_EXTRA_BYTES))
            .wait_timeout(Some(WAIT_TIMEOUT_SECONDS));
        let opts = Opts::from(opts);
        Self {
            opts: ArcSwap::from_pointee(opts.clone()),
            usual: opts,
            group: None,
            attributes: backend.attributes(),
            takes_any_name: backend.tls_mode(tls) == TlsMode::VerifyCa,
            hides_changes: AtomicBool::new(false),
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
        let nobody = |reason: String| std::io::Error::other(reason);
        let writer = group.writer().await.map_err(nobody)?;
        match self.connect_with(self.opts_for(&writer)).await {
            // It may be known in a moment that it is gone.
            Err(error) if !matches!(error, mysql_async::Error::Server(_)) => {
                let next = group.next_after(&writer).await.ok_or(error)?;
                self.connect_with(self.opts_for(&next)).await
            }
            opened => opened,
        }
    }

    fn opts_for(&self, writer: &HostPort) -> Arc<Opts> {
        let opts = self.opts.load_full();
        if place(&opts) == *writer {
            return opts;
        }
        let opts = OptsBuilder::from_opts(self.usual.clone())
            .ip_or_hostname(&writer.host)
            .tcp_port(writer.port);
        let opts = Arc::new(Opts::from(opts));
        self.opts.store(opts.clone());
        opts
    }

    /// Whether a connection leads to where work is to go.
    pub(super) fn leads_to(&self, conn: &Conn) -> bool {
        let group = self.group.as_ref();
        group.is_none_or(|group| group.is_writer(&place(conn.opts())))
    }

    /// The member that a connection leads to, if it leads to one.
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
        // The driver always wants a name to be right: the one that the certificate is for.
        let tls = opts.ssl_opts().cloned();
        let tls = tls.map(|tls: SslOpts| tls.with_danger_tls_hostname_override(Some(name)));
        let opts = Opts::from(OptsBuilder::from_opts(Opts::clone(&opts)).ssl_opts(tls));
        self.opts.store(Arc::new(opts.clone()));
        Conn::new(opts).await
    }

    /// Opens a connection, and looks whether views or triggers of its database may change its session.
    ///
    /// # Errors
    /// The server can't be reached or refuses the user. The caller limits the time.
    pub(super) async fn open(&self) -> Result<ListedConn, mysql_async::Error> {
        let mut conn = ListedConn::new(self.connect().await?).await?;
        let bodies = conn.query::<Option<Vec<u8>>, _>(HIDDEN_STATEMENTS).await;
        let may_change = |body: &Option<Vec<u8>>| {
            let text = body.as_deref().map(String::from_utf8_lossy);
            text.is_none_or(|text| sql::effect(&text) == Effect::ChangesSession)
        };
        let hides_changes = match bodies {
            // Without a database of its own a connection may use the views and triggers of all.
            Ok(bodies) => conn.opts().db_name().is_none() || bodies.iter().any(may_change),
            // The user may not look, so there may be some.
            Err(mysql_async::Error::Server(_)) => true,
            Err(error) => return Err(error),
        };
        if hides_changes && !self.hides_changes.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "For all we know, a view or trigger in the database at {self} may change a session, so each is reset after its use"
            );
        }
        self.hides_changes.store(hides_changes, Ordering::Relaxed);
        Ok(conn)
    }

    /// Whether views and triggers may do more to a session than a statement's text shows.
    pub(super) fn hides_changes(&self) -> bool {
        self.hides_changes.load(Ordering::Relaxed)
    }
}

/// Its address, without user and password.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opts = self.opts.load();
        write!(f, "{}:{}", opts.ip_or_hostname(), opts.tcp_port())
    }
}

/// Where a connection leads.
fn place(opts: &Opts) -> HostPort {
    HostPort::new(opts.ip_or_hostname(), opts.tcp_port())
}

/// A name in a server's certificate, if a connection failed because the certificate is not for the host in the address.
/// The name is checked last: by then an authority was found that signed the certificate.
fn name_in_certificate(error: &mysql_async::Error) -> Option<String> {
    let rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
        presented,
        ..
    }) = tls_error(error)?
    else {
        return None;
    };
    // As rustls writes them: `DnsName("db.example")`, `IpAddress(10.0.0.1)`.
    presented.iter().find_map(|name| {
        let (_, inner) = name.split_once('(')?;
        let name = inner.strip_suffix(')')?.trim_matches('"');
        // Any name below a star is covered by it.
        Some(name.replacen('*', "any", 1))
    })
}

/// Makes a session as it was when it was opened. MariaDB leaves the default database as `USE` has set it
/// (COM_RESET_CONNECTION), so that is chosen again.
pub(super) async fn reset(conn: &mut Conn) -> bool {
    let Some(name) = conn.opts().db_name().map(|name| name.replace('`', "``")) else {
        return false;
    };
    conn.reset().await.is_ok_and(|done| done)
        && conn.query_drop(format!("USE `{name}`")).await.is_ok()
}
