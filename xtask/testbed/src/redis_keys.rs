//! Redis queries that both seeding and auditing use.

use anyhow::{Context, Result};
use redis::aio::MultiplexedConnection;

/// How many keys Redis examines for one `SCAN` answer.
const SCAN_COUNT: usize = 1_000;

/// All keys that match `pattern`. A key that is created or deleted during the scan may be missed or listed twice.
pub(crate) async fn scan(redis: &mut MultiplexedConnection, pattern: &str) -> Result<Vec<String>> {
    let mut keys = Vec::new();
    let mut cursor = 0_u64;
    loop {
        let mut command = redis::cmd("SCAN");
        command
            .arg(cursor)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(SCAN_COUNT);
        let (next, mut found): (u64, Vec<String>) = command
            .query_async(redis)
            .await
            .with_context(|| format!("listing the keys {pattern}"))?;
        keys.append(&mut found);
        if next == 0 {
            return Ok(keys);
        }
        cursor = next;
    }
}
