//! A client that places orders, reads them, and cancels some.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::client::{Client, Message, Reply};
use super::history::{Cancellation, Errand, History, Order, Outcome, StaleRead};
use crate::measure::Numbers;

/// How long to wait for the answer to a request that may be sent again.
const REPEATABLE: Duration = Duration::from_secs(2);

/// How long to wait for the answer to a request that may not be sent again.
const ONCE: Duration = Duration::from_secs(20);

/// The wait before a retry.
const PAUSE: Duration = Duration::from_millis(50);

/// The wait between two orders.
const THINKING: Duration = Duration::from_millis(100);

/// How long open requests are retried after the end of the load.
const LAST_TRIES: Duration = Duration::from_secs(30);

/// One order in four is cancelled, and one in sixteen is for the product that is sold out.
const CANCELLED_OF: u64 = 4;
const SOLD_OUT_OF: u64 = 16;

/// A buyer. Its orders can be told from those of all others.
pub(super) struct Buyer {
    pub(super) client: Client,
    /// The id of the user, and of the product that identifies the buyer's orders: each order has as many pieces of it
    /// as the order's number.
    pub(super) user: u64,
    pub(super) is_keyed: bool,
    pub(super) catalogue: Catalogue,
    pub(super) ends: Arc<StopFlag>,
    pub(super) numbers: Numbers,
}

/// The products. The last one is sold out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Catalogue {
    /// The products below this one belong to one buyer each.
    pub(super) first: u64,
    pub(super) last: u64,
}

/// Tells whether the load is over.
#[derive(Debug, Default)]
pub(super) struct StopFlag {
    has_come: AtomicBool,
}

impl StopFlag {
    pub(super) fn come(&self) {
        self.has_come.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_come(&self) -> bool {
        self.has_come.load(Ordering::Relaxed)
    }
}

impl Buyer {
    pub(super) async fn buy(mut self) -> History {
        let mut number = 0;
        while !self.ends.has_come() {
            number += 1;
            let mut order = self.next(number);
            order.outcome = self.place(&order).await;
            if let Outcome::Placed(id) = order.outcome {
                self.read_back(id, &order, Instant::now()).await;
                if number % CANCELLED_OF == 0 {
                    order.cancelled = self.cancel(id).await;
                }
                if order.cancelled == Cancellation::Yes {
                    self.read_nothing(id, Instant::now()).await;
                }
            }
            self.client.history.orders.push(order);
            sleep(THINKING).await;
        }
        self.client.history
    }

    fn next(&mut self, number: u64) -> Order {
        let Catalogue { first, last } = self.catalogue;
        let product = match number % SOLD_OUT_OF {
            0 => last,
            _ => first - 1 + self.numbers.up_to(last - first),
        };
        Order {
            user: self.user,
            number,
            is_keyed: self.is_keyed,
            lines: vec![(self.user, number), (product, self.numbers.up_to(3))],
            outcome: Outcome::Unknown,
            cancelled: Cancellation::No,
        }
    }

    /// Places an order: with a key, until there is an outcome; without a key, only until the request was sent once.
    async fn place(&mut self, order: &Order) -> Outcome {
        let item =
            |(product, quantity): (u64, u64)| json!({"product_id": product, "quantity": quantity});
        let items: Vec<Value> = order.lines.iter().copied().map(item).collect();
        let body = json!({"user_id": order.user, "items": items}).to_string();
        let key = format!("cluster-{}-{}", order.user, order.number);
        let message = Message {
            errand: Errand::Order,
            method: Method::POST,
            path: "/orders",
            body: Some(body.as_str()),
            key: self.is_keyed.then_some(key.as_str()),
            patience: if self.is_keyed { REPEATABLE } else { ONCE },
        };
        let mut limit = Limit::new(self.ends.clone());
        while limit.allows() {
            let reply = self.client.send(&message, is_decision).await;
            match reply {
                Reply::Status(StatusCode::CREATED, body) => {
                    return match body["order_id"].as_u64() {
                        Some(id) => Outcome::Placed(id),
                        None => Outcome::Unknown,
                    };
                }
                Reply::Status(status, body) if is_decision(status, &body) => {
                    return Outcome::Refused(status.as_u16());
                }
                Reply::NoConnection => {}
                _ if self.is_keyed => {}
                // This status means that nothing was done; the order need not be retried.
                Reply::Status(StatusCode::SERVICE_UNAVAILABLE, _) => return Outcome::Refused(503),
                Reply::Status(..) | Reply::Broken => return Outcome::Unknown,
            }
            sleep(PAUSE).await;
        }
        Outcome::Unknown
    }

    /// Reads an order, which was confirmed at this time, until it is visible.
    async fn read_back(&mut self, id: u64, order: &Order, confirmed: Instant) {
        let shown = self.read(id, StatusCode::OK, confirmed).await;
        let Some(shown) = shown else { return };
        let items = shown["items"].as_array().into_iter().flatten();
        let line = |item: &Value| Some((item["product_id"].as_u64()?, item["quantity"].as_u64()?));
        let lines: Option<Vec<(u64, u64)>> = items.map(line).collect();
        if lines.as_ref() != Some(&order.lines) || shown["user_id"] != order.user {
            let wrong = format!("order {id} is shown as {shown}, and it is {order:?}");
            self.client.history.wrong.push(wrong);
        }
    }

    /// Reads an order, which was cancelled at this time, until it is gone.
    async fn read_nothing(&mut self, id: u64, cancelled: Instant) {
        self.read(id, StatusCode::NOT_FOUND, cancelled).await;
    }

    /// Reads an order until it has the `expected` status, which it must have since `since`. Notes if it had another
    /// status meanwhile.
    async fn read(&mut self, id: u64, expected: StatusCode, since: Instant) -> Option<Value> {
        let path = format!("/orders/{id}");
        let message = Message {
            errand: Errand::Own,
            method: Method::GET,
            path: &path,
            body: None,
            key: None,
            patience: REPEATABLE,
        };
        let is_answer =
            |status: StatusCode| [StatusCode::OK, StatusCode::NOT_FOUND].contains(&status);
        let mut old = None;
        let mut limit = Limit::new(self.ends.clone());
        while limit.allows() {
            let asked = since.elapsed();
            let reply = self
                .client
                .send(&message, |status, _| is_answer(status))
                .await;
            match reply {
                Reply::Status(status, body) if status == expected => {
                    self.note_old(id, old, true);
                    return Some(body);
                }
                Reply::Status(status, _) if is_answer(status) => old = Some(asked),
                _ => {}
            }
            sleep(PAUSE).await;
        }
        self.note_old(id, old, false);
        None
    }

    fn note_old(&mut self, order: u64, lasted: Option<Duration>, is_over: bool) {
        let old = lasted.map(|lasted| StaleRead {
            order,
            lasted,
            is_over,
        });
        self.client.history.old_reads.extend(old);
    }

    async fn cancel(&mut self, id: u64) -> Cancellation {
        let path = format!("/orders/{id}");
        let message = Message {
            errand: Errand::Cancel,
            method: Method::DELETE,
            path: &path,
            body: None,
            key: None,
            patience: REPEATABLE,
        };
        let since = Instant::now();
        let mut may_be_done = false;
        let mut old = None;
        let mut limit = Limit::new(self.ends.clone());
        while limit.allows() {
            let asked = since.elapsed();
            let is_answer = |status: StatusCode, _: &Value| {
                [StatusCode::OK, StatusCode::NOT_FOUND].contains(&status)
            };
            let reply = self.client.send(&message, is_answer).await;
            match reply {
                Reply::Status(StatusCode::NOT_FOUND, _) if !may_be_done => old = Some(asked),
                Reply::Status(StatusCode::OK | StatusCode::NOT_FOUND, _) => {
                    self.note_old(id, old, true);
                    return Cancellation::Yes;
                }
                Reply::NoConnection | Reply::Status(StatusCode::SERVICE_UNAVAILABLE, _) => {}
                Reply::Status(..) | Reply::Broken => may_be_done = true,
            }
            sleep(PAUSE).await;
        }
        self.note_old(id, old, false);
        match may_be_done {
            true => Cancellation::Unknown,
            false => Cancellation::No,
        }
    }
}

/// Whether an answer settles an order: it is placed, or refused for good.
fn is_decision(status: StatusCode, body: &Value) -> bool {
    let is_under_way = || {
        let detail = body["detail"].as_str();
        detail.is_some_and(|detail| detail.contains("still under way"))
    };
    match status {
        StatusCode::CREATED | StatusCode::UNPROCESSABLE_ENTITY => true,
        StatusCode::CONFLICT => !is_under_way(),
        _ => false,
    }
}

/// Allows retries while the load lasts, and for a while after its end.
struct Limit {
    ends: Arc<StopFlag>,
    ended: Option<Instant>,
}

impl Limit {
    fn new(ends: Arc<StopFlag>) -> Self {
        Self { ends, ended: None }
    }

    fn allows(&mut self) -> bool {
        if !self.ends.has_come() {
            return true;
        }
        self.ended.get_or_insert_with(Instant::now).elapsed() < LAST_TRIES
    }
}
