//! The addresses behind names of servers: asked for, kept, and asked for again.
//!
//! [`look_up`] asks, by the [`Resolver`]'s settings and as the [`SystemFiles`] say, what a [`Place`] stands for. [`Known`]
//! keeps what was found last, so that servers stay known when nobody answers, and says when it is time to ask again. Who
//! does so, and what follows from an answer, is for each program to say.

mod answer;
mod known;
mod lookup;
mod place;
mod questions;
mod resolver;
mod static_glibc;
mod system_files;

pub use answer::{Answer, Found, Trouble, list};
pub use known::{Change, Known};
pub use lookup::look_up;
pub use place::{Place, is_name};
pub use resolver::{NameServer, Resolver};
pub use static_glibc::look_up_without_modules;
pub use system_files::SystemFiles;
