//! A thread that compiles components while others serve requests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::setpriority_process;
use tokio::sync::oneshot;
use wasmtime::Engine;

use super::component::{Code, CompileError};
use super::source::Source;

/// The lowest priority of a thread. The kernel gives it only the time that other threads leave over, so under load
/// compiling takes longer and requests do not.
const LOWEST_PRIORITY: i32 = 19;

/// The longest wait for compiled code, including the wait for earlier components. Without a limit, one component that
/// takes very long to compile would block all other changes.
const TIME_LIMIT: Duration = Duration::from_secs(120);

type Outcome = Result<Code, CompileError>;

/// Compiles one component after the other, on one thread. Several threads would make each compilation slower, and each
/// new thread would keep the memory that compiling needs in one more arena of the allocator.
pub(crate) struct Compiler {
    orders: mpsc::Sender<(Source, oneshot::Sender<Outcome>)>,
}

impl Compiler {
    /// Starts the thread, which ends when the compiler is dropped.
    ///
    /// # Errors
    /// The system can't start a thread.
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let (orders, receiver) = mpsc::channel::<(Source, oneshot::Sender<Outcome>)>();
        let thread = std::thread::Builder::new().name("compile".into());
        thread.spawn(move || {
            // On Linux each thread has a priority of its own. If it can't be set, compiling still works but slows
            // requests down more.
            if let Err(error) = setpriority_process(None, LOWEST_PRIORITY) {
                tracing::warn!("Compiling at the usual priority: {error}");
            }
            for (source, sender) in receiver {
                // If the caller has given up, nobody needs the code.
                if !sender.is_closed() {
                    _ = sender.send(compile(&engine, &source));
                }
            }
        })?;
        Ok(Self { orders })
    }

    /// Compiles and links a component, after the ones that were asked for earlier.
    ///
    /// # Errors
    /// As [`Code::new`], or compiling took too long.
    pub(crate) async fn compile(&self, source: Source) -> Outcome {
        self.compile_within(TIME_LIMIT, source).await
    }

    async fn compile_within(&self, limit: Duration, source: Source) -> Outcome {
        let (sender, compiled) = oneshot::channel();
        let failed = |reason: String| CompileError::Compile(reason);
        let gone = || failed("the compiler has ended".into());
        self.orders.send((source, sender)).map_err(|_| gone())?;
        match tokio::time::timeout(limit, compiled).await {
            Ok(outcome) => outcome.unwrap_or_else(|_| Err(gone())),
            Err(_) => Err(failed(format!("compiling took longer than {limit:?}"))),
        }
    }
}

/// Compiles one component. If that panics, the thread can still compile the next one.
fn compile(engine: &Engine, source: &Source) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| Code::new(engine, source)))
        .unwrap_or_else(|_| Err(CompileError::Compile("the compiler panicked".into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        // No thread takes the orders, as when an earlier component keeps the compiler busy.
        let (orders, _receiver) = mpsc::channel();
        let compiler = Compiler { orders };
        let source = Source::new(&b"endless"[..], None);
        let outcome = compiler.compile_within(Duration::from_millis(10), source);
        let error = outcome.await.err().expect("no code");
        assert!(error.to_string().contains("longer than 10ms"), "{error}");
    }
}
