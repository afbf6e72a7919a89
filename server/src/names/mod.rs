//! The addresses of named servers: look-ups, the last known addresses, and when to look up again.
//!
//! [`look_up`] finds what a [`ServerLocation`] stands for, by the settings in [`Resolver`] and the [`SystemFiles`].
//! [`NameState`] keeps the last known servers, so that they stay known when no name server answers, and says when the
//! next look-up is due. Nothing here makes a look-up by itself, connects to what it has found, or decides what follows
//! from an answer: the programs do.

mod answer;
mod location;
mod lookup;
mod name_state;
mod questions;
mod resolver;
mod static_glibc;
mod system_files;

pub use answer::{Answer, LookupError, ResolvedServer, list};
pub use location::{ServerLocation, is_name};
pub use lookup::look_up;
pub use name_state::{Change, NameState};
pub use resolver::{NameServer, Resolver};
pub use static_glibc::look_up_without_modules;
pub use system_files::SystemFiles;
