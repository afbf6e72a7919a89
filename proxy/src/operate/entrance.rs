//! Connections to the admin listener. The heads of their requests are read and checked like those of clients.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, ServerApp};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::{GetSocketDigest, Stream};
use pingora_core::server::ShutdownWatch;
use store_server::listener::MOST_ADMIN_CONNECTIONS;
use tokio::sync::Semaphore;

use super::admin::Admin;
use crate::downstream::read_head::{Head, Wait, read_head, stopping};
use crate::downstream::wire::Wire;
use crate::message::head;
use crate::message::request_id::new_id;
use crate::metrics::Reason;
use crate::table::live::LiveTable;

/// Accepts the admin listener's connections.
pub(crate) struct AdminEntrance {
    admin: Arc<Admin>,
    live: Arc<LiveTable>,
    /// One permit for each connection that may be open.
    room: Semaphore,
    /// Whether the last connection was refused. Written by connections, so that a flood of them logs one line.
    is_full: AtomicBool,
}

impl AdminEntrance {
    pub(crate) fn new(admin: Admin, live: Arc<LiveTable>) -> Self {
        Self {
            admin: Arc::new(admin),
            live,
            room: Semaphore::new(MOST_ADMIN_CONNECTIONS),
            is_full: AtomicBool::new(false),
        }
    }

    fn refuse(&self) {
        self.live.metrics.refuse(Reason::AdminConnections);
        if !self.is_full.swap(true, Ordering::Relaxed) {
            tracing::warn!("Closing admin connections: there are {MOST_ADMIN_CONNECTIONS} already");
        }
    }
}

#[async_trait]
impl ServerApp for AdminEntrance {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let Ok(_permit) = self.room.try_acquire() else {
            self.refuse();
            return None;
        };
        self.is_full.store(false, Ordering::Relaxed);
        let mut wire = Wire::new(stream);
        let opened = Instant::now();
        let mut wait = Wait::ForFirst { opened };
        let mut stopping = pin!(stopping(shutdown.clone()));
        loop {
            let limits = self.live.table().config.limits.clone();
            let (head_bytes, checked) =
                match read_head(&mut wire, &limits, wait, stopping.as_mut()).await {
                    Head::Whole(head_bytes, checked) => (head_bytes, checked),
                    Head::None => return None,
                    Head::Refused(problem) => {
                        let id = new_id();
                        let id = id.to_str().unwrap_or("-");
                        self.admin.note_refusal(&peer(&wire), problem.status(), id);
                        let (answer, _) = problem.raw(id, None);
                        wire.close_with(&answer).await;
                        return None;
                    }
                };
            let mut head = wire.begin(head_bytes, checked.body);
            if !checked.is_simple {
                head = head::simplified(&head);
            }
            let mut session = ServerSession::new_http1(wire);
            session.set_pipelined_prefix(head);
            session.set_read_timeout(Some(limits.body_timeout));
            session.set_total_drain_timeout(Some(limits.body_timeout));
            let reused = self.admin.process_new_http(session, shutdown).await?;
            wire = Wire::returned(reused.consume().0)?;
            wait = Wait::ForNext;
        }
    }
}

/// The sender's address, for the log.
fn peer(wire: &Wire) -> String {
    let digest = wire.get_socket_digest();
    let address = digest.as_ref().and_then(|digest| digest.peer_addr());
    address.map_or_else(|| "unknown".to_owned(), ToString::to_string)
}
