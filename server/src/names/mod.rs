//! The addresses behind names of servers: asked for, kept, and asked for again.
//!
//! [`look_up`] asks, by the [`Resolver`]'s settings and as the [`SystemFiles`] say, what a [`ServerLocation`] stands for. [`NameState`]
//! keeps what was found last, so that servers stay known when nobody answers, and says when it is time to ask again. Who
//! does so, and what follows from an answer, is for each program to say.

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
