//! What goes wrong with one order of a group: no other order is the worse for it.

use mysql_async::prelude::Queryable;

use crate::group_orders::{count, keyed, one_instance, request};
use crate::support::{Shop, eventually, order_body, send};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_fails_by_itself_fails_alone() {
    const ORDERS: usize = 16;
    /// The place of the one that fails.
    const BAD: usize = 5;
    /// Transactions that it was in: with all, with half of them, a quarter, an eighth, and alone.
    const DIVISIONS: u64 = 5;

    let shop = Shop::with(one_instance()).await;
    let (user, bad_user) = (shop.user(1).await, shop.user(2).await);
    let (product, bad_product) = (
        shop.product(10.0, 1000).await,
        shop.product(10.0, 1000).await,
    );
    let good = order_body(user, product, 1);
    let bad = order_body(bad_user, bad_product, 1);
    let mut mysql = shop.store.mysql().await.unwrap();
    // What is written to it stays when the transaction is rolled back.
    let tries =
        "CREATE TABLE tries (id INT AUTO_INCREMENT PRIMARY KEY) ENGINE = Aria TRANSACTIONAL = 0";
    mysql.query_drop(tries).await.unwrap();
    let mut rounds = 0;
    for (table, is_bad) in [
        ("orders", format!("NEW.user_id = {bad_user}")),
        ("order_items", format!("NEW.product_id = {bad_product}")),
    ] {
        // Nobody knows this error: it is not about the server, and nothing is tried again for it.
        let trigger = format!(
            "CREATE TRIGGER raises BEFORE INSERT ON {table} FOR EACH ROW \
             IF {is_bad} THEN INSERT INTO tries VALUES (); \
             SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 30001, MESSAGE_TEXT = 'raised'; END IF"
        );
        mysql.query_drop(trigger).await.unwrap();
        // Again, as a busy machine may divide any group.
        eventually("the group is whole at first", async || {
            rounds += 1;
            mysql.query_drop("TRUNCATE tries").await.unwrap();
            let before = count(&shop, "orders").await;
            let orders = (0..ORDERS).map(|at| match at {
                BAD => keyed(&shop, "bad", &bad),
                _ if at.is_multiple_of(3) => keyed(&shop, &format!("{rounds}-{at}"), &good),
                _ => request(&shop, &good),
            });
            let mut ids = Vec::new();
            for (at, answer) in shop
                .gathered(orders.collect())
                .await
                .into_iter()
                .enumerate()
            {
                match at {
                    BAD => drop(answer.problem(500)),
                    _ => ids.push(answer.expect(201)["order_id"].as_i64().unwrap()),
                }
            }
            let again = keyed(&shop, &format!("{rounds}-0"), &good);
            assert_eq!(send(again).await.expect(201)["order_id"], ids[0], "{table}");
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), ORDERS - 1, "{table}");
            // One more is what the others waited for.
            let placed = count(&shop, "orders").await - before;
            assert_eq!(placed, ORDERS as i64, "{table}");
            let tried = "SELECT COUNT(*) FROM tries";
            let tried: Option<u64> = mysql.query_first(tried).await.unwrap();
            tried == Some(DIVISIONS)
        })
        .await;
        mysql.query_drop("DROP TRIGGER raises").await.unwrap();
    }
    // It has left nothing behind, and its key is not used up.
    send(keyed(&shop, "bad", &bad)).await.expect(201);
    assert_eq!(shop.stock(bad_product).await, 999);
    let placed = rounds * (ORDERS as i64 - 1);
    assert_eq!(shop.stock(product).await, 1000 - placed);
    shop.assert_consistent().await;
}
