//! What the tests share.

use std::fs;
use std::path::{Path, PathBuf};

use mysql_async::prelude::Queryable;
use testbed::DataStore;
use testbed::seed::{Dataset, Size};

/// Large enough for several batches of orders and for ties in the reports.
const SMALL: Size = Size {
    users: 30,
    products: 60,
    orders: 1_500,
};

/// An empty store with its tables. The migrations are applied by hand: `store-host` belongs to another crate, whose
/// programs cargo doesn't build for our tests.
pub(crate) async fn empty_store() -> DataStore {
    let store = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
    let mut conn = store.mysql().await.unwrap();
    for migration in migrations() {
        conn.query_drop(fs::read_to_string(migration).unwrap())
            .await
            .unwrap();
    }
    store
}

/// A store with random data.
pub(crate) async fn seeded_store() -> DataStore {
    let store = empty_store().await;
    store.seed(&small_dataset()).await.unwrap();
    store
}

pub(crate) fn small_dataset() -> Dataset {
    Dataset::random(SMALL, 42)
}

fn migrations() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/migrations");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}
