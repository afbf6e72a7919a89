//! The functions of `spin:variables`.

use wasmtime::component::{Accessor, HasSelf, Linker};

use super::bindings::spin::variables::variables as wit;
use super::state::State;

/// Adds `spin:variables` to the linker.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wit::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

impl wit::Host for State {}

impl wit::HostWithStore<State> for HasSelf<State> {
    async fn get(
        accessor: &Accessor<State, Self>,
        name: String,
    ) -> wasmtime::Result<Result<String, wit::Error>> {
        accessor.with(|mut access| {
            let component = &access.get().component;
            let value = component.variables.get(&name).cloned();
            Ok(value.ok_or_else(|| {
                wit::Error::Undefined(format!("`{name}` is not a variable of `{}`", component.id))
            }))
        })
    }
}
