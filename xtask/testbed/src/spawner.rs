//! The thread that starts every child process, so that no child outlives us.
//!
//! `setpriv --pdeathsig KILL` makes the kernel kill a child when the thread that started it ends. Threads of a test or
//! of a runtime come and go; this thread lives exactly as long as the process.

use std::ffi::OsStr;
use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};
use std::thread;

use crate::seat::Seat;

struct Request {
    command: Command,
    answer: Sender<io::Result<Child>>,
}

static SPAWNER: OnceLock<Sender<Request>> = OnceLock::new();

/// A command for `program` whose process dies with us. It gets a process group of its own: Ctrl-C in a terminal then
/// reaches only us, and we can stop our children in the right order.
pub(crate) fn owned_command(program: impl AsRef<OsStr>) -> Command {
    owned_command_at(&Seat::LOOPBACK, &[], program)
}

/// As [`owned_command`], at a seat, with further flags of setpriv that set the account.
pub(crate) fn owned_command_at(
    seat: &Seat,
    flags: &[String],
    program: impl AsRef<OsStr>,
) -> Command {
    use std::os::unix::process::CommandExt;

    let mut command = match seat.namespace() {
        None => Command::new("setpriv"),
        // This comes first, because only root may enter a namespace; each program replaces the one before it.
        Some(file) => {
            let mut command = Command::new("nsenter");
            let file = format!("--net={}", file.display());
            command.args([&file, "--", "setpriv"]);
            command
        }
    };
    command
        .args(["--pdeathsig", "KILL"])
        .args(flags)
        .arg("--")
        .arg(program)
        .process_group(0);
    command
}

/// Starts `command` on the spawner thread.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    let (answer, child) = mpsc::channel();
    let spawner = SPAWNER.get_or_init(start_spawner);
    let sent = spawner.send(Request { command, answer });
    sent.map_err(|_| io::Error::other("the spawner thread has ended"))?;
    child
        .recv()
        .map_err(|_| io::Error::other("the spawner thread has ended"))?
}

fn start_spawner() -> Sender<Request> {
    let (requests, inbox) = mpsc::channel::<Request>();
    thread::spawn(move || {
        for mut request in inbox {
            // The requester is gone and no longer wants the child; dropping a `Child` would leave it running.
            if let Err(unclaimed) = request.answer.send(request.command.spawn())
                && let Ok(mut child) = unclaimed.0
            {
                let _ = child.kill();
            }
        }
    });
    requests
}
