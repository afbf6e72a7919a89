//! The tour of the README, on a store that is empty at first: first the requests of clients, then the commands of an
//! operator.

use anyhow::{Result, ensure};

use super::machine::Machine;
use super::passed;

/// Each request, and a text that its answer must contain.
const STEPS: [(&str, &str); 14] = [
    (
        r#"-X POST localhost:8080/users -H 'content-type: application/json' -d '{"name": "Ada", "email": "ada@example.com"}'"#,
        r#"{"user_id":1}"#,
    ),
    (
        r#"localhost:8080/products -H 'content-type: application/json' -d '{"name": "Lamp", "sku": "L-1", "price": 49.99}'"#,
        r#"{"product_id":1}"#,
    ),
    (
        r#"localhost:8080/stocks -H 'content-type: application/json' -d '{"product_id": 1, "quantity": 5}'"#,
        "product 1",
    ),
    (ORDER, r#"{"order_id":1}"#),
    // Sent twice with one idempotency key, so it is one order.
    (ORDER, r#"{"order_id":1}"#),
    ("localhost:5001/orders/1", r#""total_amount":99.98"#),
    ("localhost:8080/stocks/1", r#""quantity":3"#),
    ("localhost:8080/stocks/reports/overview-stocks", "Lamp"),
    (
        r#"localhost:8080/stocks/graphql-query -H 'content-type: application/json' -d '{"query": "{ product(id: \"1\") { name price quantity } }"}'"#,
        r#""price":49.99"#,
    ),
    (
        "-i localhost:8080/orders/reports/best-sellers",
        "cache-status: store-proxy",
    ),
    ("-X DELETE localhost:8080/orders/1", r#"{"deleted":true}"#),
    ("localhost:8080/stocks/1", r#""quantity":5"#),
    ("localhost:5100/metrics", "orders_total"),
    (
        "localhost:8081/metrics",
        "store_proxy_upstream_requests_total",
    ),
];

/// The number of hosts that serve.
const HOSTS: usize = 2;

const ORDER: &str = r#"localhost:8080/orders -H 'content-type: application/json' -H 'idempotency-key: try-1' -d '{"user_id": 1, "items": [{"product_id": 1, "quantity": 2}]}'"#;

/// Gives the operator a token, in a file next to the other secrets.
const LET_IN: &str = r"
head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' | install -o root -g store-manager -m 0640 /dev/stdin /etc/store-manager/secrets/admin_token
sed -i 's/^#STORE_HOST_ADMIN_TOKEN_FILE=/STORE_HOST_ADMIN_TOKEN_FILE=/' /etc/store-manager/host.env
systemctl restart store-host@0 store-host@1
";

/// The operator's commands for both hosts, and a text that each output must contain.
const CHANGES: [(&str, &str); 4] = [
    (
        "swap reports /usr/lib/store-manager/reports.wasm",
        "generation 2 replaces 1",
    ),
    ("status", "last change: generation 2"),
    ("rollback reports", "generation 1 replaces 2"),
    ("refresh", "`reports` has made its reports anew"),
];

/// How many of the steps make the user, the product and the stock that other requests need.
const FILLING: usize = 3;

/// Fills an empty store with one user, one product and its stock.
///
/// # Errors
/// The first answer that differs.
pub(super) fn fill(machine: &Machine) -> Result<()> {
    take(machine, &STEPS[..FILLING])
}

/// Takes the tour.
///
/// # Errors
/// The first answer that differs.
pub(super) fn walk(machine: &Machine) -> Result<()> {
    take(machine, &STEPS)?;
    passed("the README's tour, through the proxy and past it");
    operate(machine)
}

fn take(machine: &Machine, steps: &[(&str, &str)]) -> Result<()> {
    for (request, expected) in steps {
        let answer = machine.sh(&format!("curl -s --max-time 10 {request}"))?;
        let has_it = answer.to_lowercase().contains(&expected.to_lowercase());
        ensure!(
            has_it,
            "`curl {request}` is answered `{answer}`, without `{expected}`"
        );
    }
    Ok(())
}

fn operate(machine: &Machine) -> Result<()> {
    machine.sh(LET_IN)?;
    for (change, expected) in CHANGES {
        let said = machine.sh(&format!(
            "STORE_HOST_ADMIN_TOKEN_FILE=/etc/store-manager/secrets/admin_token \
             STORE_HOST_ADMIN=http://127.0.0.1:5100,http://127.0.0.1:5101 store-host {change}"
        ))?;
        ensure!(
            said.matches(expected).count() == HOSTS,
            "`store-host {change}` says `{said}`, and not `{expected}` for each host"
        );
    }
    passed("an operator swaps a component, looks, goes back, and has the reports made anew");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::contents::of_repository;

    /// The addresses in a text, with `N` for each number after the port.
    fn addresses(text: &str) -> BTreeSet<String> {
        let begin = "localhost:";
        let words = text.split_whitespace();
        let named = words.filter_map(|word| word.strip_prefix(begin));
        named
            .map(|address| {
                let segments = address.split('/').enumerate();
                let segments = segments.map(|(place, segment)| {
                    let is_number = place > 0 && segment.parse::<u64>().is_ok();
                    if is_number { "N" } else { segment }
                });
                segments.collect::<Vec<_>>().join("/")
            })
            .collect()
    }

    #[test]
    fn each_request_of_the_readme_s_tour_is_tried() -> Result<()> {
        let readme = of_repository("README.md")?;
        let (_, tour) = readme.split_once("\n## A tour\n").expect("it has one");
        let tour = tour.split("\n## ").next().unwrap_or(tour);
        let tour: Vec<&str> = tour
            .lines()
            .filter(|line| line.starts_with("$ curl "))
            .collect();
        let asked = addresses(&tour.join("\n"));
        assert!(asked.contains("8080/orders/N"), "{asked:?}");
        let tried = addresses(&STEPS.map(|(request, _)| request).join("\n"));
        let missing: Vec<_> = asked.difference(&tried).collect();
        assert!(missing.is_empty(), "{missing:?} is not among {tried:?}");
        Ok(())
    }
}
