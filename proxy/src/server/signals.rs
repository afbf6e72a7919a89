//! The signals of the system and of operators to a running process.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The meaning of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instruction {
    /// SIGTERM or SIGINT: finish requests, and end.
    Stop,
    /// SIGQUIT: hand the sockets to a new process, finish requests, and end.
    HandOver,
    /// SIGHUP: read the settings again.
    Reload,
}

/// All signals with a meaning.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Catches the signals. Call this before anything is started: until then, a signal ends the process by its default
    /// action.
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) -> Instruction {
        tokio::select! {
            _ = self.terminate.recv() => Instruction::Stop,
            _ = self.interrupt.recv() => Instruction::Stop,
            _ = self.quit.recv() => Instruction::HandOver,
            _ = self.hang_up.recv() => Instruction::Reload,
        }
    }
}
