//! Compiles the bytes of a component to code that can be instantiated.

use std::io;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, OutOfMemory};
use wasmtime_wasi_http::p3::bindings::ServicePre;

use super::bindings::refresher::RefresherPre;
use super::source::Source;
use super::state::State;
use super::{variables, wasi};
use crate::{mysql, redis};

/// The export of components that the refresh task calls.
const REFRESH_EXPORT: &str = "store:reports/refresh@1.0.0";

/// Why bytes can't be served as a component.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    /// The bytes are not a component.
    #[error("{0}")]
    Compile(String),
    /// The system refused what compiling needs, such as memory.
    #[error("{0}")]
    System(String),
    /// The component imports something that this host does not offer, or does not export a function that the host
    /// calls.
    #[error("{0}")]
    Link(String),
}

/// Compiled and linked code, of which instances can be made. The memory of the code is freed when this and all its
/// instances are dropped.
pub(crate) struct Code {
    pub(crate) service: ServicePre<State>,
    /// Present if the component exports the refresh function.
    pub(crate) refresher: Option<RefresherPre<State>>,
    /// The SHA-256 digest of the component's bytes, in hexadecimal.
    pub(crate) digest: String,
    /// How long compiling took; short if the code was in the cache.
    pub(crate) took: Duration,
}

impl Code {
    /// Compiles and links a component, which blocks the thread for up to some seconds.
    ///
    /// # Errors
    /// The bytes are not a component, the component needs something that this host does not offer, or the system has no
    /// memory for it.
    pub(crate) fn new(engine: &Engine, source: &Source) -> Result<Self, CompileError> {
        let started = Instant::now();
        let component = compile(engine, &source.bytes)?;
        let took = started.elapsed();
        let pre = link(engine, &component)?;
        let service = ServicePre::new(pre.clone()).map_err(|_| {
            CompileError::Link(
                "exports no wasi:http/handler@0.3.0: build it with spin-sdk 7 or newer".into(),
            )
        })?;
        let refresher = component
            .get_export_index(None, REFRESH_EXPORT)
            .map(|_| RefresherPre::new(pre))
            .transpose()
            .map_err(|cause| {
                CompileError::Link(format!(
                    "its {REFRESH_EXPORT} has another type: {}",
                    cause.root_cause()
                ))
            })?;
        Ok(Self {
            service,
            refresher,
            digest: source.digest.clone(),
            took,
        })
    }
}

fn compile(engine: &Engine, bytes: &[u8]) -> Result<Component, CompileError> {
    // The first eight bytes tell components from core modules:
    // https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md
    let refused = match bytes.get(..8) {
        Some(b"\0asm\x0d\0\x01\0") => None,
        Some(b"\0asm\x01\0\0\0") => {
            Some("is a core module, not a component: build it for wasm32-wasip2")
        }
        _ => Some("is not a WebAssembly component"),
    };
    if let Some(reason) = refused {
        return Err(CompileError::Compile(reason.into()));
    }
    Component::new(engine, bytes).map_err(|cause| {
        let reason = format!("does not compile: {}", one_line(&cause));
        let root = cause.root_cause();
        if root.is::<io::Error>() || root.is::<Errno>() || root.is::<OutOfMemory>() {
            CompileError::System(reason)
        } else {
            CompileError::Compile(reason)
        }
    })
}

fn link(engine: &Engine, component: &Component) -> Result<InstancePre<State>, CompileError> {
    linker(engine)
        .and_then(|linker| linker.instantiate_pre(component))
        .map_err(|cause| {
            CompileError::Link(format!(
                "imports what this host does not offer: {}",
                one_line(&cause)
            ))
        })
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasi::add_to_linker(&mut linker)?;
    variables::add_to_linker(&mut linker)?;
    mysql::add_to_linker(&mut linker)?;
    redis::add_to_linker(&mut linker)?;
    Ok(linker)
}

fn one_line(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
