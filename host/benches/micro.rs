//! The parts that each request goes through, one by one:
//! `cargo bench --profile dist --package store-host --features micro,jemalloc --bench micro`.
//!
//! Needs the components (`cargo xtask build`), and for the last three `STORE_BENCH_MYSQL_URL`: without, they are left
//! out. divan rather than criterion: it builds in seconds.

use std::env;
use std::path::{Path, PathBuf};

use divan::{Bencher, black_box};
use store_host::micro::{Component, Connections, Routes};
use tokio::runtime::{Builder, Runtime};

/// As in the host.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    divan::main();
}

fn app() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../spin.toml")
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("threads can be started")
}

#[divan::bench(args = ["/health-check", "/orders/7", "/orders/reports/best-sellers", "/no/such/path"])]
fn routing(bencher: Bencher, path: &str) {
    let routes = Routes::of(&app()).expect("spin.toml can be served");
    bencher.bench_local(|| routes.find(black_box(path)));
}

/// From a request to the end of its answer, without HTTP.
#[divan::bench]
fn empty_handler(bencher: Bencher) {
    let runtime = runtime();
    let _inside = runtime.enter();
    let orders = Component::load(&app(), "orders").expect("`cargo xtask build` was run");
    bencher.bench_local(|| {
        let answer = runtime.block_on(orders.get("/health-check"));
        answer.expect("the component answers")
    });
}

fn with_mysql(bencher: Bencher, run: impl AsyncFn(&Connections)) {
    let Ok(url) = env::var("STORE_BENCH_MYSQL_URL") else {
        return;
    };
    let runtime = runtime();
    let _inside = runtime.enter();
    let pool = Connections::to(&url).expect("STORE_BENCH_MYSQL_URL is a URL");
    bencher.bench_local(|| runtime.block_on(run(&pool)));
}

#[divan::bench]
fn pooled_connection(bencher: Bencher) {
    with_mysql(bencher, async |pool: &Connections| {
        pool.open_and_drop().await.expect("MySQL is there");
    });
}

/// One row, and 256: the difference is what 255 rows cost.
#[divan::bench(args = [1, 256])]
fn rows(bencher: Bencher, count: usize) {
    let statement = format!(
        "WITH RECURSIVE n AS (SELECT 1 AS id UNION ALL SELECT id + 1 FROM n WHERE id < {count}) \
         SELECT id, 'a product of the store' FROM n"
    );
    with_mysql(bencher, async |pool: &Connections| {
        let rows = pool.rows(&statement).await.expect("MySQL is there");
        assert_eq!(rows, count);
    });
}
