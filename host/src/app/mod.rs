//! What is served: the app that `spin.toml` describes, and where each of its requests goes.
//!
//! `manifest` reads the file, `values` what its `variables` are set to (`key_prefix` checks one of them), a `plan` is all of it checked, and `preflight` looks whether the
//! databases and caches answer; `readiness` looks later whether the databases take writes. `live` is the app in force,
//! behind one pointer: a `router` from paths to components, and for each component a `slot` with the generation that
//! serves, or two of them: a `canary` is tried, a `tally` counts what each does, a `mirror` what copies of requests show. Nothing here compiles, runs a component or decides that another app
//! is to serve.

mod canary;
mod databases;
mod key_prefix;
mod live;
mod manifest;
mod mirror;
mod plan;
pub(crate) mod preflight;
mod readiness;
mod router;
mod slot;
mod tally;
mod values;
mod variables;

pub(crate) use canary::{Canary, PassedPhase, Rollout};
pub use databases::databases;
pub(crate) use live::{App, Live};
pub(crate) use manifest::Manifest;
pub use manifest::ManifestError;
pub(crate) use mirror::{Comparison, Mirror, Original};
pub(crate) use plan::Plan;
pub use plan::{AppError, LoadError};
pub(crate) use preflight::Unfit;
pub(crate) use readiness::Readiness;
#[cfg(feature = "micro")]
pub(crate) use router::Router;
pub(crate) use router::Target;
pub(crate) use slot::{Choice, Slot};
pub(crate) use tally::{OpenRequest, Tally};
