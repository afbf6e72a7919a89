//! What is served: the app that `spin.toml` describes, and where each of its requests goes.
//!
//! `manifest` reads the file, and `values` finds what its `variables` are set to; `key_prefix` checks one of them. A
//! `plan` is the result of all this, checked. Before the start, `preflight` checks whether the databases and caches
//! answer; later, `readiness` checks whether the databases take writes. `databases` finds those that
//! `store-host migrate` migrates.
//!
//! `live` is the app that serves, behind one pointer. It has a `router` from paths to components, and for each
//! component a `slot`, which holds the generation that serves, or two while a `canary` is tried. The `choice` between
//! them is made for each request. During a trial, a `tally` counts the requests of each generation, and `mirror` counts
//! how the answers to copied requests compare. Nothing here compiles or runs a component, or decides that another app
//! is to serve.

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
pub(crate) use plan::Plan;
pub use plan::{AppError, LoadError};
pub(crate) use preflight::PreflightError;
pub(crate) use readiness::Readiness;
#[cfg(feature = "micro")]
pub(crate) use router::Router;
pub(crate) use router::Target;
pub(crate) use slot::Slot;
pub(crate) use tally::{OpenRequest, Tally};
