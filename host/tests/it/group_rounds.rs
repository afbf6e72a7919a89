//! Random groups against a model that places orders one by one: the same answers up to who came first, the same tables.

use std::collections::HashMap;

use mysql_async::prelude::Queryable;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::mysql_relay::{Fault, MysqlRelay};
use crate::support::{Answer, Shop, empty_store, options, send};

/// The seed of the first run. Each further run has one more.
const FIRST_SEED: u64 = 19;

/// Rounds of one run.
const ROUNDS: u64 = 5;
const USERS: u64 = 4;

/// Products of which there are few pieces, of which there is no stock row, and of which there are always enough.
const SHORT: usize = 2;
const BARE: usize = 2;
const PLENTY: usize = 4;

const UNKNOWN: i64 = 999_999;

/// The same numbers each time that a test runs (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// An order of a round.
#[derive(Clone, Debug)]
struct OrderRequest {
    user: i64,
    items: Vec<(i64, i64)>,
    key: Option<String>,
}

impl OrderRequest {
    fn body(&self) -> Value {
        let item = |&(product, quantity)| json!({"product_id": product, "quantity": quantity});
        let items: Vec<_> = self.items.iter().map(item).collect();
        json!({"user_id": self.user, "items": items})
    }

    fn request(&self, shop: &Shop) -> RequestBuilder {
        let request = shop.request(Method::POST, "/orders").json(&self.body());
        match &self.key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        }
    }
}

/// Orders one after the other. Stock is `None` where there is no row.
#[derive(Default)]
struct Model {
    /// Whether an order of more than there is, is refused. Otherwise stock goes below zero.
    rejects: bool,
    users: Vec<i64>,
    stock: HashMap<i64, Option<i64>>,
    spent: HashMap<i64, i64>,
    keys: HashMap<String, (Value, u64)>,
    orders: u64,
    /// Those with a key, placed or refused.
    keyed: Vec<OrderRequest>,
}

impl Model {
    /// The status, and which of the model's orders it was if there is one.
    fn place(&mut self, wish: &OrderRequest) -> (u16, Option<u64>) {
        if wish.key.is_some() {
            self.keyed.push(wish.clone());
        }
        if let Some((body, order)) = wish.key.as_ref().and_then(|key| self.keys.get(key)) {
            return match *body == wish.body() {
                true => (201, Some(*order)),
                false => (422, None),
            };
        }
        let mut products = wish.items.iter().map(|(product, _)| product);
        if !self.users.contains(&wish.user) || products.any(|it| !self.stock.contains_key(it)) {
            return (422, None);
        }
        let has = |&(product, quantity)| self.stock[&product].unwrap_or(0) >= quantity;
        if self.rejects && !wish.items.iter().all(has) {
            return (409, None);
        }
        for &(product, quantity) in &wish.items {
            let stock = self.stock.get_mut(&product).unwrap();
            *stock.get_or_insert(0) -= quantity;
            *self.spent.entry(wish.user).or_default() += quantity;
        }
        self.orders += 1;
        if let Some(key) = &wish.key {
            self.keys.insert(key.clone(), (wish.body(), self.orders));
        }
        (201, Some(self.orders))
    }
}

/// Orders of which it does not matter who comes first: of each product that is short, everybody wants one piece and
/// nothing else.
fn round(number: u64, model: &Model, products: &[i64], random: &mut Random) -> Vec<OrderRequest> {
    let (short, others) = products.split_at(SHORT);
    let (bare, plenty) = others.split_at(BARE);
    let mut wishes: Vec<OrderRequest> = Vec::new();
    for at in 0..8 + random.below(24) {
        let user = match random.below(10) {
            0 => UNKNOWN,
            other => model.users[(other % USERS) as usize],
        };
        let mut any = |most: usize| random.below(most as u64) as usize;
        let items = match any(9) {
            0..=2 => vec![(short[any(SHORT)], 1)],
            3 => vec![(UNKNOWN, 1), (plenty[0], 1)],
            4 => vec![(bare[any(BARE)], 2), (plenty[0], 1)],
            _ => {
                let first = any(PLENTY - 1);
                let all = plenty[first..].iter();
                all.map(|&product| (product, 1 + any(3) as i64)).collect()
            }
        };
        let is_short = short.contains(&items[0].0);
        let user = if is_short { model.users[0] } else { user };
        let key = match random.below(4) {
            // Who gets the last piece under a key is not known before.
            0 if !is_short => Some(format!("{number}-{at}")),
            _ => None,
        };
        wishes.push(OrderRequest { user, items, key });
        // The same once more, beside the first.
        if random.below(6) == 0 {
            wishes.extend(wishes.last().cloned().filter(|wish| wish.key.is_some()));
        }
    }
    // One of an earlier round, once more, and another under the key of one.
    if !model.keyed.is_empty() {
        let mut earlier = || model.keyed[random.below(model.keyed.len() as u64) as usize].clone();
        let (again, mut other) = (earlier(), earlier());
        if again.key != other.key {
            other.items[0].1 += 1;
            wishes.push(other);
        }
        wishes.push(again);
    }
    wishes
}

/// What is done to the transactions of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RoundFault {
    Nothing,
    /// A connection is cut before any statement.
    Connection,
    /// A commit, or its answer, is lost.
    Commit,
}

impl RoundFault {
    fn prepare(self, relay: &MysqlRelay, random: &mut Random) {
        match self {
            Self::Nothing => {}
            Self::Connection => relay.cut_after(30 + random.below(30) as u32),
            Self::Commit => {
                let fault = [Fault::AnswerLost, Fault::CommitLost][random.below(2) as usize];
                // Those of the gate are the first three.
                relay.break_commit_after(2 + random.below(3) as u32, fault);
            }
        }
    }
}

/// Whether who sent this request is to try again: the connection broke while its key was looked up, or another request with
/// the key is under way.
fn is_to_be_repeated(wish: &OrderRequest, answer: &Answer) -> bool {
    let is_passing = match answer.status.as_u16() {
        503 => true,
        409 => answer.text.contains("under way"),
        _ => false,
    };
    wish.key.is_some() && is_passing
}

#[tokio::test(flavor = "multi_thread")]
async fn random_groups_end_as_orders_that_are_placed_one_by_one() {
    let breaks = [
        RoundFault::Nothing,
        RoundFault::Connection,
        RoundFault::Commit,
    ];
    let runs = breaks.map(|breaks| [(breaks, "reject"), (breaks, "backorder")]);
    for (seed, (breaks, stock_policy)) in (FIRST_SEED..).zip(runs.into_iter().flatten()) {
        let run = format!("seed {seed}, {breaks:?}, {stock_policy}");
        // Shown when anything fails.
        eprintln!("{run}");
        let store = empty_store().await;
        let relay = MysqlRelay::to(&store).await;
        let options = options()
            .args(&["--instance-concurrency", "64"])
            .variable("stock_policy", stock_policy)
            .variable("mysql_address", relay.address());
        let shop = Shop::on(store, options).await;
        let mut random = Random(seed);
        let (mut model, products) = filled(&shop, stock_policy == "reject").await;
        let mut ids: HashMap<u64, String> = HashMap::new();
        for number in 0..ROUNDS {
            let wishes = round(number, &model, &products, &mut random);
            breaks.prepare(&relay, &mut random);
            let requests = wishes.iter().map(|wish| wish.request(&shop));
            let mut answers = shop.gathered(requests.collect()).await;
            for (wish, answer) in wishes.iter().zip(&mut answers) {
                while is_to_be_repeated(wish, answer) {
                    *answer = send(wish.request(&shop)).await;
                }
            }
            relay.cut_no_more();
            let mut expected: HashMap<(String, u16), i32> = HashMap::new();
            for (wish, answer) in wishes.iter().zip(answers) {
                let kind = format!("{:?}", wish.items);
                let (status, order) = model.place(wish);
                *expected.entry((kind.clone(), status)).or_default() += 1;
                *expected.entry((kind, answer.status.as_u16())).or_default() -= 1;
                if let (Some(order), Some(_)) = (order, &wish.key) {
                    // One key, one order.
                    let known = ids.entry(order).or_insert_with(|| answer.text.clone());
                    assert_eq!(*known, answer.text, "{run}: {wish:?}");
                }
            }
            expected.retain(|_, count| *count != 0);
            assert!(expected.is_empty(), "{run}, round {number}: {expected:?}");
        }
        assert_equal(&shop, &model, &run).await;
    }
}

/// A shop with users and products, and what a model knows of them.
async fn filled(shop: &Shop, rejects: bool) -> (Model, Vec<i64>) {
    let mut model = Model {
        rejects,
        ..Model::default()
    };
    for number in 0..USERS {
        model.users.push(shop.user(number as u32).await);
    }
    let mut products = Vec::new();
    for at in 0..SHORT + BARE + PLENTY {
        let stock = match at {
            at if at < SHORT => Some(8),
            at if at < SHORT + BARE => None,
            _ => Some(1_000_000),
        };
        let product = match stock {
            Some(stock) => shop.product(1.0, stock).await,
            None => {
                let body = json!({"name": "Bare", "sku": "B-1", "price": 1});
                let product = shop.post("/products", &body).await.expect(201);
                product["product_id"].as_i64().unwrap()
            }
        };
        model.stock.insert(product, stock);
        products.push(product);
    }
    (model, products)
}

/// Compares the tables with the model.
async fn assert_equal(shop: &Shop, model: &Model, run: &str) {
    let mut mysql = shop.store.mysql().await.unwrap();
    for (&product, &stock) in &model.stock {
        let statement = "SELECT quantity FROM stocks WHERE product_id = ?";
        let found: Option<i64> = mysql.exec_first(statement, (product,)).await.unwrap();
        assert_eq!(found, stock, "{run}: product {product}");
    }
    for (&user, &spent) in &model.spent {
        let statement = "SELECT CAST(total_expense AS SIGNED) FROM user_totals WHERE user_id = ?";
        let found: Option<i64> = mysql.exec_first(statement, (user,)).await.unwrap();
        assert_eq!(found, Some(spent), "{run}: user {user}");
    }
    let orders = "SELECT COUNT(*) FROM orders";
    let orders: Option<u64> = mysql.query_first(orders).await.unwrap();
    // Each round had one more, that the others waited for.
    assert_eq!(orders, Some(model.orders + ROUNDS), "{run}");
    shop.assert_consistent().await;
}
