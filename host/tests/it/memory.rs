//! What is on its way to a component counts against its memory limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::backends::{backend_shop, backend_shop_on};
use crate::operator::bare_store;

const MIB: f64 = 1024.0 * 1024.0;

/// 256 rows of 4 MiB, as four times four times four times four.
const GIGABYTE: &str = "SELECT REPEAT('x', 4194304) FROM \
    (SELECT 0 UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS a, \
    (SELECT 0 UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS b, \
    (SELECT 0 UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS c, \
    (SELECT 0 UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS d";

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_of_rows_passes_through_a_small_part_of_that() {
    let shop = Arc::new(backend_shop("").await);
    let resident = async || shop.metric("process_resident_memory_bytes").await / MIB;
    assert_eq!(shop.last("MYSQL\nquery SELECT 1").await, "1");
    let before = resident().await;
    let is_over = Arc::new(AtomicBool::new(false));
    let reading = tokio::spawn({
        let (shop, is_over) = (shop.clone(), is_over.clone());
        async move {
            let answer = shop.last(&format!("MYSQL\nquery {GIGABYTE}")).await;
            is_over.store(true, Ordering::Relaxed);
            answer
        }
    });
    let mut most = before;
    while !is_over.load(Ordering::Relaxed) {
        most = resident().await.max(most);
        tokio::task::yield_now().await;
    }
    assert_eq!(reading.await.unwrap(), "256 values of 1073741824 bytes");
    // The component's own 128 MiB are among these.
    assert!(most - before < 300.0, "{before} MiB, then {most} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_and_a_parameter_have_a_limit_and_others_pass() {
    let shop = backend_shop("memory_limit_mib = 64").await;
    let answers = shop
        .steps("MYSQL\nquery SELECT REPEAT('x', 3 * 1048576)\nsend 3\nsend 5\nquery SELECT 1")
        .await;
    assert_eq!(answers[1], "1 values of 3145728 bytes");
    assert_eq!(answers[2], "ok");
    assert!(
        answers[3].contains("more than the host holds"),
        "{answers:?}"
    );
    assert_eq!(answers[4], "1");
    let answer = shop
        .last("MYSQL\nquery SELECT REPEAT('x', 5 * 1048576)")
        .await;
    assert!(answer.contains("larger than the host holds"), "{answer}");
    assert_eq!(shop.last("MYSQL\nquery SELECT 1").await, "1");
    let series = "store_outbound_refused_total{component=\"guest\",reason=\"size\"}";
    assert_eq!(shop.metric(series).await, 2.0);
}

/// The XA transaction in it would be refused too, but a statement is read only if it is not too large.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_has_a_limit() {
    let shop = backend_shop("memory_limit_mib = 64, body_limit_bytes = 8388608").await;
    let name = "x".repeat(5 << 20);
    let steps = format!("MYSQL\nexecute XA START '{name}'");
    let answer = shop.last(&steps).await;
    assert!(answer.contains("more than the host holds"), "{answer}");
}

/// Four results that nobody reads take the part of the limit that the host may hold; when they are gone, there is room.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_leaves_no_room_for_more() {
    let limits = "memory_limit_mib = 64";
    let shop = backend_shop_on(bare_store().await, limits, |options| {
        options.arg("--mysql-statement-timeout").arg("300ms")
    })
    .await;
    let unread = "MYSQL\nunread SELECT REPEAT('x', 4000000)\n".repeat(4);
    let steps = format!("{unread}MYSQL\nsend 1\nclose\nMYSQL\nsend 1");
    let answers = shop.steps(&steps).await;
    assert_eq!(answers[..9], ["ok"; 9]);
    assert!(
        answers[9].contains("does not read what the host holds"),
        "{answers:?}"
    );
    assert_eq!(answers[10..], ["ok", "ok", "ok"]);
    let series = "store_outbound_refused_total{component=\"guest\",reason=\"full\"}";
    assert_eq!(shop.metric(series).await, 1.0);
}

/// A thousand rows, more than the host reads ahead.
const THOUSAND: &str = "WITH RECURSIVE r AS \
    (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 1000) SELECT n FROM r";

/// While a connection is busy, calls wait for it with what they are to send. Ten parameters of 3 MiB are held and ten
/// more wait; four are too many.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_to_be_sent_counts_too() {
    let shop = backend_shop("memory_limit_mib = 128").await;
    let answers = shop
        .steps(&format!("MYSQL\nunread {THOUSAND}\nflood 24"))
        .await;
    assert_eq!(answers, ["ok", "ok", "4 of 24 failed"]);
    let series = "store_outbound_refused_total{component=\"guest\",reason=\"full\"}";
    assert_eq!(shop.metric(series).await, 4.0);
    assert_eq!(shop.last("MYSQL\nsend 3").await, "ok");
}
