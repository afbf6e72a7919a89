//! Three members of MySQL's Group Replication: hosts follow the primary when it dies or falls silent.

use testbed::Replication;

use crate::member_faults::nothing_is_lost;

#[tokio::test(flavor = "multi_thread")]
async fn hosts_follow_the_primary_when_it_dies_or_falls_silent() {
    match Replication::of_test_mysql() {
        // The group chooses the next primary, not the hosts.
        Ok(group) => nothing_is_lost(group, &[1, 2]).await,
        Err(reason) => eprintln!("skipped: {reason}"),
    }
}
