//! Ends scripts that run too long, because Redis serves no other command while a script runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::IntCounter;
use redis::aio::MultiplexedConnection;
use redis::{
    Arg, AsyncConnectionConfig, Cmd, ErrorKind, RedisConnectionInfo, RedisError, RedisResult,
    ServerErrorKind,
};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::dial::Dialer;
use super::errors::{is_outage, timed_out};
use super::limits::LinkLimits;
use crate::config::HostPort;
use crate::outbound::LogThrottle;

/// The commands that run a script.
const SCRIPTS: [&str; 4] = ["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO"];

/// How long Redis may take to answer that it ends a script. It accepts the command only after the script has run for
/// `busy-reply-threshold`, which is 5 s by default.
const HEARD_WITHIN: Duration = Duration::from_secs(60);

/// How many times in a row Redis must say that no script runs, and the pause between. A script that still waits in the
/// link's connection may begin after the first time.
const CALM_LOOKS: u32 = 3;
const CALM_LOOK: Duration = Duration::from_millis(20);

/// Redis's error code for a script that has written data and so can't be ended.
const HAS_WRITTEN: &str = "UNKILLABLE";

/// Ends the scripts of one link, over a connection of its own.
pub(super) struct ScriptEnder {
    dialer: Arc<Dialer>,
    /// The server that the link is connected to. Set by the link when it connects.
    server: Mutex<HostPort>,
    info: RedisConnectionInfo,
    /// The longest time for a command.
    limit: Duration,
    /// Whether a server is stopped in which a script does not end that has written data.
    shutdown_if_stuck: bool,
    /// The number of scripts that were given up and may still run. Changed by [`RunningScript`] and by the task that
    /// ends the scripts.
    given_up: AtomicUsize,
    /// Counts the scripts that were ended.
    ended: Option<IntCounter>,
    trouble: LogThrottle,
}

/// What was ended.
enum End {
    /// So many scripts.
    Scripts(usize),
    /// The whole server.
    Server,
}

/// A script that was sent. If this is dropped before the script has an answer, the script is ended when its time is
/// over.
pub(super) struct RunningScript {
    ender: Arc<ScriptEnder>,
    since: Instant,
    is_answered: bool,
}

impl ScriptEnder {
    /// An ender for the scripts of a link with these limits, which leads to `server`.
    pub(super) fn new(
        dialer: Arc<Dialer>,
        server: HostPort,
        info: &RedisConnectionInfo,
        limits: &LinkLimits,
    ) -> Arc<Self> {
        // The connection chooses no database and no protocol, because Redis refuses these commands while a script runs.
        let mut plain = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(username) = info.username() {
            plain = plain.set_username(username);
        }
        if let Some(password) = info.password() {
            plain = plain.set_password(password);
        }
        Arc::new(Self {
            dialer,
            server: Mutex::new(server),
            info: plain,
            limit: limits.response_timeout,
            shutdown_if_stuck: limits.shutdown_if_stuck,
            given_up: AtomicUsize::new(0),
            ended: limits.scripts_ended.clone(),
            trouble: LogThrottle::default(),
        })
    }

    /// Sets the server that the link has just connected to.
    pub(super) fn lead_to(&self, server: &HostPort) {
        self.server.lock().clone_from(server);
    }

    /// Watches `command` if it runs a script. Call [`RunningScript::answered`] on the result when the command was
    /// answered.
    pub(super) fn watch(self: &Arc<Self>, command: &Cmd) -> Option<RunningScript> {
        let Some(Arg::Simple(name)) = command.args_iter().next() else {
            return None;
        };
        let is_script = SCRIPTS
            .iter()
            .any(|script| name.eq_ignore_ascii_case(script.as_bytes()));
        is_script.then(|| RunningScript {
            ender: self.clone(),
            since: Instant::now(),
            is_answered: false,
        })
    }

    /// Ends scripts until no given-up script may be running. One task does this for all of them.
    async fn end_all(self: Arc<Self>, first_left: Duration) {
        tokio::time::sleep(first_left).await;
        loop {
            let given_up = self.given_up.load(Ordering::Acquire);
            match timeout(HEARD_WITHIN, self.end_those_that_run()).await {
                Ok(Ok(End::Scripts(0))) => {}
                Ok(Ok(End::Scripts(ended))) => tracing::warn!(
                    "Ended {ended} scripts that Redis at {} ran for longer than {:?}",
                    self.server.lock(),
                    self.limit
                ),
                Ok(Ok(End::Server)) => tracing::error!(
                    "Stopped Redis at {} with SHUTDOWN NOSAVE: a script that has written data ran there for longer \
                     than {:?}, and nothing else ends one",
                    self.server.lock(),
                    self.limit
                ),
                Ok(Err(error)) => self.warn(&error.to_string()),
                Err(_) => self.warn(&format!("it did not answer within {HEARD_WITHIN:?}")),
            }
            if self.given_up.fetch_sub(given_up, Ordering::AcqRel) == given_up {
                return;
            }
        }
    }

    /// Ends the running script and those that begin after it, until none runs. If one can't be ended, stops the server
    /// where that is allowed.
    async fn end_those_that_run(&self) -> RedisResult<End> {
        let server = self.server.lock().clone();
        let stream = self.dialer.open(&server).await?;
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(HEARD_WITHIN));
        let handshake = MultiplexedConnection::new_with_config(&self.info, stream, config);
        let (mut connection, driver) = handshake.await?;
        let is_stopping = AtomicBool::new(false);
        let end = async {
            let (mut ended, mut calm) = (0, 0);
            while calm < CALM_LOOKS {
                let mut kill = redis::cmd("SCRIPT");
                match kill.arg("KILL").exec_async(&mut connection).await {
                    Ok(()) => {
                        ended += 1;
                        calm = 0;
                        // Counted at once, because ending the next script may fail.
                        self.ended.iter().for_each(IntCounter::inc);
                    }
                    Err(error) if error.kind() == NONE_RUNS => {
                        calm += 1;
                        tokio::time::sleep(CALM_LOOK).await;
                    }
                    Err(error) if has_written(&error) && self.shutdown_if_stuck => {
                        // Over the connection that has just heard of the script, so that no server is stopped that was
                        // started since.
                        is_stopping.store(true, Ordering::Relaxed);
                        let mut stop = redis::cmd("SHUTDOWN");
                        stop.arg("NOSAVE").exec_async(&mut connection).await?;
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(End::Scripts(ended))
        };
        let ended = tokio::select! {
            ended = end => ended,
            () = driver => Err(timed_out("the connection was closed")),
        };
        match ended {
            // A server that stops does not answer; it closes the connection.
            Err(error) if is_stopping.load(Ordering::Relaxed) && is_outage(&error) => {
                Ok(End::Server)
            }
            ended => ended,
        }
    }

    fn warn(&self, reason: &str) {
        if !self.trouble.is_to_be_logged() {
            return;
        }
        let (server, limit) = (self.server.lock().clone(), self.limit);
        if reason.contains(HAS_WRITTEN) {
            tracing::error!(
                "A script that has written data runs in Redis at {server} for longer than {limit:?}, so it can't be \
                 ended: Redis answers nobody until the script ends or Redis is stopped with SHUTDOWN NOSAVE, which \
                 this host does with --redis-shutdown-if-stuck"
            );
        } else {
            tracing::warn!(
                "Can't end a script that runs in Redis at {server} for longer than {limit:?}: {reason}"
            );
        }
    }
}

/// Whether Redis refuses to end a script because it has written data.
fn has_written(error: &RedisError) -> bool {
    error.code() == Some(HAS_WRITTEN)
}

/// Redis's error when no script runs.
const NONE_RUNS: ErrorKind = ErrorKind::Server(ServerErrorKind::NotBusy);

impl RunningScript {
    /// Records that the script has ended, or did not begin.
    pub(super) fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for RunningScript {
    fn drop(&mut self) {
        // There is no runtime only while the process ends.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if !self.is_answered && self.ender.given_up.fetch_add(1, Ordering::AcqRel) == 0 {
            let left = self.ender.limit.saturating_sub(self.since.elapsed());
            runtime.spawn(self.ender.clone().end_all(left));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scripts_are_watched() {
        let dialer = Arc::new(Dialer::new(None));
        let info = RedisConnectionInfo::default();
        let server = HostPort::new("127.0.0.1", 6379);
        let ender = ScriptEnder::new(dialer, server, &info, &LinkLimits::plain());
        for (command, is_watched) in [("evalsha", true), ("EVAL_RO", true), ("GET", false)] {
            let watched = ender.watch(redis::cmd(command).arg("EVAL"));
            assert_eq!(watched.is_some(), is_watched, "{command}");
        }
    }
}
