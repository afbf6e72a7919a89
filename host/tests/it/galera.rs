//! Three members of a Galera cluster: one is written to, and the next when it dies or falls silent.

use testbed::Replication;

use crate::member_faults::nothing_is_lost;

#[tokio::test(flavor = "multi_thread")]
async fn the_next_member_is_written_to_when_one_dies_or_falls_silent() {
    match Replication::galera() {
        // All members take writes, so hosts take the first that is well.
        Ok(galera) => nothing_is_lost(galera, &[1]).await,
        Err(reason) => eprintln!("skipped: {reason}"),
    }
}
