//! All uses of WASI 0.2 and 0.3, and nothing else. Wasmtime calls its WASI 0.3 experimental; if it changes, only this
//! folder has to. What the functions here need of an instance is its `ctx`.

mod ctx;

use http::HeaderMap;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::DynOutputStream;
use wasmtime_wasi::p2::bindings::io::streams::StreamError as WitStreamError;
use wasmtime_wasi::{WasiCtxView, WasiView};
use wasmtime_wasi_http::p3::Request;
use wasmtime_wasi_http::p3::bindings::http::types::HostRequest;
use wasmtime_wasi_http::{FieldMap, WasiHttpCtxView, WasiHttpView};

pub(crate) use self::ctx::Wasi;
use super::caller::Caller;
use super::requester::{caller, request_task};
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

/// Replaces the function by which a guest gets the headers of a request. Few guests do, so what the host adds to the
/// headers is added only then.
fn replace_get_headers(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:http/types@0.3.0")?;
    types.func_wrap("[method]request.get-headers", get_headers)
}

fn get_headers(
    mut store: StoreContextMut<'_, State>,
    (request,): (Resource<Request>,),
) -> wasmtime::Result<(Resource<FieldMap>,)> {
    let task = request_task(&mut store)?;
    let state = store.data_mut();
    if let Some(added) = task.and_then(|task| state.callers.lacking(task, &request)) {
        let of_request = &mut state.table.get_mut(&request)?.headers;
        let mut headers = HeaderMap::from(std::mem::take(of_request));
        added.put(&mut headers);
        *of_request = FieldMap::new_immutable(&mut state.wasi.hooks, headers);
    }
    Ok((HostRequest::get_headers(&mut state.http(), request)?,))
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
