//! A thread that compiles while others serve.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use bytes::Bytes;
use rustix::process::setpriority_process;
use tokio::sync::oneshot;
use wasmtime::Engine;

use crate::component::{CompileError, Compiled};

/// The lowest priority there is: the kernel gives such a thread what the others leave over, so that compiling takes
/// longer under load and requests do not.
const LOWEST_PRIORITY: i32 = 19;

type Outcome = Result<Compiled, CompileError>;

/// Compiles one component after the other, on one thread: more would only take longer each, and each new thread would
/// leave the memory that compiling needs behind in another arena of the allocator.
pub(crate) struct Compiler {
    orders: mpsc::Sender<(Bytes, oneshot::Sender<Outcome>)>,
}

impl Compiler {
    /// Starts the thread, which ends with this.
    ///
    /// # Errors
    /// The system has no thread to spare.
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let (orders, receiver) = mpsc::channel::<(Bytes, oneshot::Sender<Outcome>)>();
        let thread = std::thread::Builder::new().name("compile".into());
        thread.spawn(move || {
            // On Linux a priority is the thread's own. Without it compiling only gets in the way of requests more.
            if let Err(error) = setpriority_process(None, LOWEST_PRIORITY) {
                tracing::warn!("Compiling at the usual priority: {error}");
            }
            for (bytes, sender) in receiver {
                // Whoever asked may be gone, and then nobody needs the code.
                if !sender.is_closed() {
                    _ = sender.send(compile(&engine, &bytes));
                }
            }
        })?;
        Ok(Self { orders })
    }

    /// Compiles and links, when it is this one's turn.
    ///
    /// # Errors
    /// As [`Compiled::new`].
    pub(crate) async fn compile(&self, bytes: Bytes) -> Outcome {
        let (sender, compiled) = oneshot::channel();
        let gone = || CompileError::Compile("the compiler has ended".into());
        self.orders.send((bytes, sender)).map_err(|_| gone())?;
        compiled.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// A compiler that panics over one component still compiles the next.
fn compile(engine: &Engine, bytes: &[u8]) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| Compiled::new(engine, bytes)))
        .unwrap_or_else(|_| Err(CompileError::Compile("the compiler panicked".into())))
}
