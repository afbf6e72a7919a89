//! A thread that compiles while others serve.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::setpriority_process;
use tokio::sync::oneshot;
use wasmtime::Engine;

use super::component::{Code, CompileError};
use super::source::Source;

/// The lowest priority there is: the kernel gives such a thread what the others leave over, so that compiling takes
/// longer under load and requests do not.
const LOWEST_PRIORITY: i32 = 19;

/// Longest wait for code, those in front of it included. A component that keeps the compiler busy for longer is not one
/// to wait for, and its change must not keep others out for ever.
const TIME_LIMIT: Duration = Duration::from_secs(120);

type Outcome = Result<Code, CompileError>;

/// Compiles one component after the other, on one thread: more would only take longer each, and each new thread would
/// leave the memory that compiling needs behind in another arena of the allocator.
pub(crate) struct Compiler {
    orders: mpsc::Sender<(Source, oneshot::Sender<Outcome>)>,
}

impl Compiler {
    /// Starts the thread, which ends with this.
    ///
    /// # Errors
    /// The system can't start a thread.
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let (orders, receiver) = mpsc::channel::<(Source, oneshot::Sender<Outcome>)>();
        let thread = std::thread::Builder::new().name("compile".into());
        thread.spawn(move || {
            // On Linux a priority is the thread's own. Without it compiling only gets in the way of requests more.
            if let Err(error) = setpriority_process(None, LOWEST_PRIORITY) {
                tracing::warn!("Compiling at the usual priority: {error}");
            }
            for (source, sender) in receiver {
                // Whoever asked may be gone, and then nobody needs the code.
                if !sender.is_closed() {
                    _ = sender.send(compile(&engine, &source));
                }
            }
        })?;
        Ok(Self { orders })
    }

    /// Compiles and links, when it is this one's turn.
    ///
    /// # Errors
    /// As [`Code::new`], or it takes too long.
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

/// A compiler that panics over one component still compiles the next.
fn compile(engine: &Engine, source: &Source) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| Code::new(engine, source)))
        .unwrap_or_else(|_| Err(CompileError::Compile("the compiler panicked".into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        // Nobody takes the orders, as when one before keeps the thread.
        let (orders, _receiver) = mpsc::channel();
        let compiler = Compiler { orders };
        let source = Source::new(&b"endless"[..], None);
        let outcome = compiler.compile_within(Duration::from_millis(10), source);
        let error = outcome.await.err().expect("no code");
        assert!(error.to_string().contains("longer than 10ms"), "{error}");
    }
}
