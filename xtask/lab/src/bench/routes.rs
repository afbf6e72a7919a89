//! What is asked of the servers: each route with ids and bodies that vary.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;
use testbed::seed::LAB;

use crate::measure::Target;

/// Different requests of a route; they are sent in turn by wrk, at random by oha.
const CHOICES: usize = 1000;

/// Routes that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Route {
    /// GET /health-check: a handler that does nothing
    Empty,
    /// GET /orders/reports/best-sellers: a finished report, which the host keeps in memory
    Report,
    /// GET /orders/{id}: one Redis HMGET
    Order,
    /// GET /stocks/{id}: one Redis HMGET
    Stock,
    /// POST /orders: a transaction
    Place,
    /// POST /orders of one product by everybody
    FlashSale,
}

impl Route {
    pub(super) const ALL: [Self; 6] = [
        Self::Empty,
        Self::Report,
        Self::Order,
        Self::Stock,
        Self::Place,
        Self::FlashSale,
    ];

    pub(super) fn places_orders(self) -> bool {
        matches!(self, Self::Place | Self::FlashSale)
    }

    /// As people write it.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Empty => "GET /health-check",
            Self::Report => "GET /orders/reports/best-sellers",
            Self::Order => "GET /orders/{id}",
            Self::Stock => "GET /stocks/{id}",
            Self::Place => "POST /orders",
            Self::FlashSale => "POST /orders, one product",
        }
    }

    /// The requests, for a server at `base`; what the load generators read goes to `folder`.
    pub(super) fn target(self, base: &str, folder: &Path) -> Result<Target> {
        let mut random = Random::default();
        match self {
            Self::Empty => Ok(Target::get(&format!("{base}/health-check"))),
            Self::Report => Ok(Target::get(&format!("{base}/orders/reports/best-sellers"))),
            Self::Order => reads(base, folder, "orders", || random.up_to(LAB.orders as u64)),
            Self::Stock => reads(base, folder, "stocks", || random.up_to(LAB.products as u64)),
            Self::Place => orders(base, folder, "place", || body(&mut random)),
            Self::FlashSale => orders(base, folder, "flash-sale", || one_product(&mut random)),
        }
    }
}

fn reads(base: &str, folder: &Path, name: &str, mut id: impl FnMut() -> u64) -> Result<Target> {
    let paths: Vec<String> = (0..CHOICES).map(|_| format!("/{name}/{}", id())).collect();
    let script = folder.join(format!("{name}.lua"));
    let requests = paths
        .iter()
        .map(|path| format!("  wrk.format(\"GET\", \"{path}\"),"));
    write(&script, &lua(requests))?;
    let port = base.rsplit_once(':').map_or("", |(_, port)| port);
    let urls = folder.join(format!("{name}-{port}.txt"));
    let lines: Vec<String> = paths.iter().map(|path| format!("{base}{path}")).collect();
    write(&urls, &lines.join("\n"))?;
    let oha = vec!["--urls-from-file".to_owned(), urls.display().to_string()];
    Ok(Target::scripted(base, script, oha))
}

fn orders(
    base: &str,
    folder: &Path,
    name: &str,
    mut body: impl FnMut() -> String,
) -> Result<Target> {
    let bodies: Vec<String> = (0..CHOICES).map(|_| body()).collect();
    let script = folder.join(format!("{name}.lua"));
    let requests = bodies.iter().map(|body| {
        format!(
            "  wrk.format(\"POST\", \"/orders\", {{[\"content-type\"]=\"application/json\"}}, [[{body}]]),"
        )
    });
    write(&script, &lua(requests))?;
    let list = folder.join(format!("{name}.txt"));
    write(&list, &bodies.join("\n"))?;
    let oha = [
        "-m",
        "POST",
        "-T",
        "application/json",
        "-Z",
        &list.display().to_string(),
        &format!("{base}/orders"),
    ];
    Ok(Target::scripted(
        base,
        script,
        oha.map(str::to_owned).into(),
    ))
}

/// An order of one piece of the one product that everybody wants.
fn one_product(random: &mut Random) -> String {
    let user = random.up_to(LAB.users as u64);
    format!("{{\"user_id\":{user},\"items\":[{{\"product_id\":1,\"quantity\":1}}]}}")
}

/// An order of one to five products, as the lab's data have them.
fn body(random: &mut Random) -> String {
    let items: Vec<String> = (0..random.up_to(5))
        .map(|_| {
            let (product, quantity) = (random.up_to(LAB.products as u64), random.up_to(3));
            format!("{{\"product_id\":{product},\"quantity\":{quantity}}}")
        })
        .collect();
    let user = random.up_to(LAB.users as u64);
    format!("{{\"user_id\":{user},\"items\":[{}]}}", items.join(","))
}

/// A script that sends the requests in turn. They are made once: making one costs more than sending it.
fn lua(requests: impl Iterator<Item = String>) -> String {
    let requests: Vec<String> = requests.collect();
    format!(
        "local requests, last = {{}}, 0\n\
         function init()\n  requests = {{\n{}\n  }}\nend\n\
         function request()\n  last = last % #requests + 1\n  return requests[last]\nend\n",
        requests.join("\n")
    )
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// The same numbers in each run (SplitMix64).
#[derive(Default)]
struct Random(u64);

impl Random {
    fn up_to(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        1 + (mixed ^ (mixed >> 31)) % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_holds_its_requests() {
        let script = lua(["  one,".to_owned(), "  two,".to_owned()].into_iter());
        assert!(
            script.contains("requests = {\n  one,\n  two,\n  }"),
            "{script}"
        );
    }

    #[test]
    fn bodies_are_orders_of_one_to_five_products() {
        let mut random = Random::default();
        for _ in 0..100 {
            let body = body(&mut random);
            let order: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            let items = order["items"].as_array().expect("a list").len();
            assert!((1..=5).contains(&items), "{body}");
        }
    }
}
