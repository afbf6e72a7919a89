//! Three members of MySQL's Group Replication: hosts follow the primary when it dies or falls silent, and reads go on
//! until the group has chosen the next.

use testbed::Replication;

use crate::member_faults::{nothing_is_lost, shop_on, stale_reads};
use crate::members::readiness;
use crate::support::{eventually, order_body};

#[tokio::test(flavor = "multi_thread")]
async fn hosts_follow_the_primary_when_it_dies_or_falls_silent() {
    match Replication::of_test_mysql() {
        // The group chooses the next primary, not the hosts.
        Ok(group) => nothing_is_lost(group, &[1, 2]).await,
        Err(reason) => eprintln!("skipped: {reason}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_until_the_group_has_chosen_the_next_primary() {
    let (mut cluster, shop) = match shop_on(Replication::of_test_mysql()).await {
        Ok(started) => started,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    let (user, product) = (shop.user(1).await, shop.product(10.0, 9).await);
    let placed = shop.order(user, product, 2).await.expect(201);
    let path = format!("/orders/{}", placed["order_id"]);
    let shown = shop.get(&path).await.expect(200);

    cluster.kill(0);
    for (what, ready) in [("there is no writer", 503), ("there is one again", 200)] {
        eventually(what, async || {
            assert_eq!(shop.get(&path).await.expect(200), shown);
            assert_eq!(shop.stock(product).await, 7);
            readiness(&shop.host).await == ready
        })
        .await;
    }
    assert!(stale_reads(&shop, "orders").await > 1.0);
    assert!(stale_reads(&shop, "stocks").await > 1.0);
    let order = order_body(user, product, 1);
    shop.post("/orders", &order).await.expect(201);
    assert_eq!(shop.stock(product).await, 6);
}
