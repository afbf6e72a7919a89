//! All uses of WASI 0.2 and 0.3, and nothing else. Wasmtime calls its WASI 0.3 experimental; if it changes, only this
//! folder has to. What the functions here need of an instance is its `ctx`.

mod ctx;

use http::HeaderMap;
use wasmtime::StoreContextMut;
use wasmtime::component::{GuestTaskId, Linker, Resource};
use wasmtime_wasi::p2::DynOutputStream;
use wasmtime_wasi::p2::bindings::io::streams::StreamError as WitStreamError;
use wasmtime_wasi::{WasiCtxView, WasiView};
use wasmtime_wasi_http::p3::Request;
use wasmtime_wasi_http::p3::bindings::http::types::HostRequest;
use wasmtime_wasi_http::{FieldMap, WasiHttpCtxView, WasiHttpView};

pub(crate) use self::ctx::Wasi;
use super::caller::Caller;
use super::requester::caller;
use super::state::State;

/// Adds WASI 0.2 and 0.3 to the linker.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi::p3::add_to_linker(linker)?;
    wasmtime_wasi_http::p3::add_to_linker(linker)?;
    linker.allow_shadowing(true);
    replace_stream_writes(linker)?;
    replace_get_headers(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Replaces WASI's stream writes by ours, because only within the call is it known which task, and so which request, is
/// writing. The only output streams that a component can hold are its stdout and stderr, which never wait.
fn replace_stream_writes(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut streams = linker.instance("wasi:io/streams@0.2.12")?;
    for name in [
        "[method]output-stream.write",
        "[method]output-stream.blocking-write-and-flush",
    ] {
        streams.func_wrap(name, write_to_log)?;
    }
    Ok(())
}

fn write_to_log(
    mut store: StoreContextMut<'_, State>,
    (stream, bytes): (Resource<DynOutputStream>, Vec<u8>),
) -> wasmtime::Result<(Result<(), WitStreamError>,)> {
    let caller = caller(&mut store)?;
    let ids = caller.and_then(Caller::ids);
    let request = caller.map(|caller| caller.request.clone());
    let state = store.data_mut();
    let logs = [&state.wasi.stdout, &state.wasi.stderr];
    for log in logs {
        log.set_request(request.clone(), ids);
    }
    let written = state.table.get_mut(&stream)?.write(bytes.into());
    for log in logs {
        log.set_request(None, None);
    }
    Ok((written.map_err(|_| WitStreamError::Closed),))
}

/// Replaces the function by which a guest gets the headers of a request, because the host adds some only then.
fn replace_get_headers(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:http/types@0.3.0")?;
    types.func_wrap("[method]request.get-headers", get_headers)
}

fn get_headers(
    mut store: StoreContextMut<'_, State>,
    (request,): (Resource<Request>,),
) -> wasmtime::Result<(Resource<FieldMap>,)> {
    let state = store.data_mut();
    state.complete_headers(&request)?;
    Ok((HostRequest::get_headers(&mut state.http(), request)?,))
}

impl State {
    /// Adds what the host adds to the headers of a request, unless that was done or the guest has made the request.
    fn complete_headers(&mut self, request: &Resource<Request>) -> wasmtime::Result<()> {
        let headers = &mut self.table.get_mut(request)?.headers;
        if let Some(added) = self.callers.take_lacking(headers) {
            let mut map = HeaderMap::from(std::mem::take(headers));
            added.put(&mut map);
            *headers = FieldMap::new_immutable(&mut self.wasi.hooks, map);
        }
        Ok(())
    }

    /// Records that a task has answered. As a rule its guest has no request any more that it could ask for headers.
    pub(super) fn answered(&mut self, task: GuestTaskId) -> wasmtime::Result<()> {
        let Some(unread) = self.callers.answered(task) else {
            return Ok(());
        };
        let request = unread.resource();
        let known = self.table.get(&request);
        if known.is_ok_and(|request| unread.are(&request.headers)) {
            self.callers.keep(task, unread);
            self.complete_headers(&request)?;
        }
        Ok(())
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi.ctx,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.wasi.http,
            table: &mut self.table,
            hooks: &mut self.wasi.hooks,
        }
    }
}
