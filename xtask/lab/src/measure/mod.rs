//! What the benchmarks share: load generators, counts of instructions, what a process used, and what samples amount to.

pub(crate) mod instructions;
mod load;
mod machine;
mod process;
mod samples;

pub(crate) use load::{Flood, Latency, Loaders, Target};
pub(crate) use machine::{commit, processor};
pub(crate) use process::{cpu_seconds, forget_peak, memory_kib, peak_kib};
pub(crate) use samples::{Spread, median, spread};
