//! The wasmtime engine, which all components share.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::{
    Cache, CacheConfig, Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
};

use super::processor_turn::some_compute;

/// The interval at which a busy instance is interrupted, to check its limits and to let others run.
const EPOCH: Duration = Duration::from_millis(1);

/// The interval while no instance computes for long. It is longer, to leave the machine at rest.
const QUIET_EPOCH: Duration = Duration::from_millis(10);

/// The most instances, of all components, that may be alive at once. An unused instance takes no memory but address
/// space: all of them 4 GiB of the 128 TiB that a process has.
const INSTANCES: u32 = 4096;

/// The most instances where the system refuses address space for [`INSTANCES`]: because of a limit, or under a program
/// such as valgrind.
const FEWER_INSTANCES: u32 = 1024;

/// The most elements that the tables of a component may hold. Our components need a few hundred.
const TABLE_ELEMENTS: usize = 20_000;

/// Makes the engine.
///
/// # Errors
/// The system refuses the address space, or the cache folder can't be used.
pub(crate) fn new(memory_limit_bytes: usize, cache: Option<&Path>) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model_async(true)
        .epoch_interruption(true)
        .memory_init_cow(true)
        // A component is compiled on one thread, at low priority while others serve. On two cores, two threads would
        // leave none for requests.
        .parallel_compilation(false)
        .cache(compile_cache(cache)?);
    let mut with = |instances| {
        let pool = pool(instances, memory_limit_bytes);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        Engine::new(&config)
    };
    with(INSTANCES).or_else(|refused| {
        let engine = with(FEWER_INSTANCES)?;
        tracing::warn!("At most {FEWER_INSTANCES} instances, not {INSTANCES}: {refused:#}");
        Ok(engine)
    })
}

/// Whether so many instances are alive that only clients' requests should get new ones.
pub(crate) fn is_short_of_instances(engine: &Engine) -> bool {
    let pool = engine.pooling_allocator_metrics();
    pool.is_some_and(|pool| pool.component_instances() >= u64::from(FEWER_INSTANCES / 2))
}

fn pool(instances: u32, memory_limit_bytes: usize) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances)
        .total_core_instances(instances * 4)
        .total_memories(instances)
        .total_tables(instances * 4)
        .total_stacks(instances)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(memory_limit_bytes);
    pool
}

/// The compile cache in `folder`, or else in the user's cache folder. `None` if that can't be used; then each start
/// compiles again.
fn compile_cache(folder: Option<&Path>) -> wasmtime::Result<Option<Cache>> {
    let mut config = CacheConfig::new();
    if let Some(folder) = folder {
        config.with_directory(std::path::absolute(folder)?);
        return Cache::new(config).map(Some);
    }
    match Cache::new(config) {
        Ok(cache) => Ok(Some(cache)),
        Err(error) => {
            tracing::warn!(
                "Compiling without a cache: {error:#}; name a folder with --compile-cache"
            );
            Ok(None)
        }
    }
}

/// Increments the engine's epoch, on a thread of its own. A task would not run while all worker threads run wasm, and
/// just then the epoch is needed.
pub(crate) struct EpochTicker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl EpochTicker {
    /// Starts the thread, which runs until this is dropped.
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("epoch".into())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    std::thread::sleep(match some_compute() {
                        true => EPOCH,
                        false => QUIET_EPOCH,
                    });
                    engine.increment_epoch();
                }
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for EpochTicker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The thread only sleeps and increments the epoch, so it can't have panicked.
            _ = thread.join();
        }
    }
}
