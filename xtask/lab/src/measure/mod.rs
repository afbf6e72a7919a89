//! The measuring tools of all commands here, each written once: the orders that a load places, the counters of processes
//! and servers, and the tables and files of results. The load and the statistics of samples are the crate `load-driver`.
//! Nothing here knows a command.

mod clients;
mod counters;
mod idle;
pub(crate) mod instructions;
mod machine;
mod orders;
mod process;
mod reads;
mod results;
mod table;
mod tracing;

pub(crate) use clients::until;
pub(crate) use counters::Counters;
pub(crate) use idle::{IDLE_CONNECTIONS, idle_connection_kib};
pub(crate) use load_driver::{
    Flood, Loaders, Request, SendOptions, Spread, Stream, StreamResult, Target, mean, median,
    mostly_unclear, quantile, send, spread,
};
pub(crate) use machine::{commit, processor};
pub(crate) use orders::{Basket, Numbers, Orders};
pub(crate) use process::{cpu_seconds, forget_peak, memory_kib, peak_kib};
pub(crate) use reads::reads;
pub(crate) use results::{results_file, write_json};
pub(crate) use table::{Column, TextTable};
pub(crate) use testbed::metrics::{label, series};
pub(crate) use tracing::{TraceCosts, TraceReceiver, TraceShare, cpu_per_request};
