//! What is served: the app that `spin.toml` describes, and where each of its requests goes.
//!
//! The `manifest` and the `values` of its variables make a `plan`, checked as a whole. The app that serves is `live`,
//! behind one pointer: a `router` from paths to components, and for each component a `slot`, with one generation, or
//! two while a `canary` is tried. Nothing here compiles or runs a component, or decides that another app is to serve.

mod canary;
mod choice;
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
pub(crate) use choice::Choice;
pub use databases::databases;
pub(crate) use live::{App, LiveApp};
pub(crate) use manifest::Manifest;
pub use manifest::ManifestError;
pub(crate) use mirror::{Comparison, Mirror, Original};
pub use plan::{AppError, LoadError};
pub(crate) use plan::{LoadFault, Plan};
pub(crate) use preflight::PreflightError;
pub(crate) use readiness::Readiness;
#[cfg(feature = "micro")]
pub(crate) use router::Router;
pub(crate) use router::Target;
pub(crate) use slot::Slot;
pub(crate) use tally::{OpenRequest, Tally};
