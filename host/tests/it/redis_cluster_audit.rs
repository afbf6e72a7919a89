//! An audit of a store in a Redis Cluster, as `cargo xtask verify` makes it.

use testbed::verify::{self, Audit, Check};
use testbed::{Addresses, DataStore, Progress, RedisCluster, seed};

use crate::redis_cluster::{PREFIX, cache_is_used, clustered, key, order, with_cluster};
use crate::support::{Shop, eventually};

/// The addresses of a store whose keys begin with `prefix` and are on one node, as a developer's command gets them.
fn addresses(store: &DataStore, cluster: &RedisCluster, node: usize, prefix: &str) -> Addresses {
    let mysql = store.addresses().mysql_url();
    let addresses = Addresses::new(mysql, &cluster.nodes[node].url()).unwrap();
    addresses.with_key_prefix(prefix).unwrap()
}

/// The audit of the store, or in one line, why there is none.
async fn audit(addresses: &Addresses) -> Result<Audit, String> {
    let audit = verify::audit(addresses, Progress::Silent).await;
    audit.map_err(|error| format!("{error:#}"))
}

fn assert_told(told: &str, parts: &[&str]) {
    for part in parts {
        assert!(told.contains(part), "no `{part}` in {told}");
    }
    assert!(!told.contains('\n'), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_compares_what_the_primary_of_the_slot_holds() {
    let (store, cluster) = clustered().await;
    let shop = Shop::on(store, with_cluster(&cluster)).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 1000).await);
    let mut left = 1000;
    cache_is_used(&cluster, &shop, user, product, &mut left).await;
    let holder = cluster.holder(PREFIX).await.unwrap();
    let right = addresses(&shop.store, &cluster, holder, PREFIX);
    let mut last = 0;
    eventually("an order is compared", async || {
        last = order(&shop, user, product, &mut left).await;
        audit(&right).await.unwrap().compared(Check::CachedOrders) > 0
    })
    .await;
    eventually("nothing differs", async || {
        audit(&right).await.unwrap().is_clean()
    })
    .await;
    let last = key(&format!("order:{last}"));
    let words = ["HSET", &last, "total_amount", "0.01"];
    cluster.ask::<u8>(holder, &words).await.unwrap();
    let found = audit(&right).await.unwrap();
    assert_eq!(found.count(Check::CachedOrders), 1, "{found}");
    let line = format!("{last}: total_amount is 0.01 in Redis");
    assert!(found.to_string().contains(&line), "no {line} in {found}");
}

/// Where the audit could see nothing of the store, it does not say that nothing differs.
#[tokio::test(flavor = "multi_thread")]
async fn an_audit_of_another_node_or_prefix_is_told() {
    let (store, cluster) = clustered().await;
    let shop = Shop::on(store, with_cluster(&cluster)).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 1000).await);
    let mut left = 1000;
    cache_is_used(&cluster, &shop, user, product, &mut left).await;
    let ordered = order(&shop, user, product, &mut left).await;
    let holder = cluster.holder(PREFIX).await.unwrap();

    let moved = [
        "Redis Cluster",
        &format!("MOVED: {} does", cluster.nodes[holder].address()),
        "--redis-url must be that of the primary",
    ];
    // Another primary, and the holder's replica.
    for node in [(holder + 1) % 3, cluster.partner(holder)] {
        let elsewhere = addresses(&shop.store, &cluster, node, PREFIX);
        assert_told(&audit(&elsewhere).await.unwrap_err(), &moved);
        let refused = seed::empty(&elsewhere).await.unwrap_err();
        assert_told(&format!("{refused:#}"), &moved);
        shop.get(&format!("/orders/{ordered}")).await.expect(200);
    }

    let same_slot = addresses(&shop.store, &cluster, holder, "{store}other:");
    let said = ["has `{store}:cache:state`", "--redis-key-prefix"];
    assert_told(&audit(&same_slot).await.unwrap_err(), &said);

    // The slot of `store` is 7858, that of `other` 11361, on another primary.
    let elsewhere = cluster.holder("{other}:").await.unwrap();
    assert_ne!(elsewhere, holder);
    let other_slot = addresses(&shop.store, &cluster, elsewhere, "{other}:");
    let said = ["is a node of a Redis Cluster and has no `{other}:cache:state`"];
    assert_told(&audit(&other_slot).await.unwrap_err(), &said);
}
