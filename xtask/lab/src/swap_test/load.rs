//! The load of a swap test: a fixed rate of reads and orders.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use testbed::seed::Size;

use crate::fixed_rate::{Measured, Numbers, Stream};

/// Of ten requests, how many are orders.
const ORDERS_OF_TEN: u32 = 1;

/// Longer than anything here lasts: a load is ended by hand.
const LONGEST: Duration = Duration::from_secs(3 * 60 * 60);

/// URLs and bodies to choose from; oha takes one at random for each request.
const CHOICES: u64 = 2000;

/// Of ten reads: routes, with `{}` for the id. The two reports are the components' own, and come as often as all else.
const READS: [(&str, Ids); 10] = [
    ("/orders/reports/highest-spenders", Ids::None),
    ("/orders/reports/best-sellers", Ids::None),
    ("/orders/reports/highest-spenders", Ids::None),
    ("/orders/reports/best-sellers", Ids::None),
    ("/orders/{}", Ids::Orders),
    ("/orders/{}", Ids::Orders),
    ("/users/{}", Ids::Users),
    ("/products/{}", Ids::Products),
    ("/stocks/{}", Ids::Products),
    ("/health-check", Ids::None),
];

#[derive(Clone, Copy)]
enum Ids {
    None,
    Orders,
    Users,
    Products,
}

/// What is sent: files that oha chooses from.
pub(super) struct Work {
    folder: PathBuf,
    urls: String,
    bodies: PathBuf,
}

impl Work {
    /// Writes the orders' bodies, and makes the reads' paths, for data of this size.
    pub(super) fn write(folder: &Path, size: &Size, seed: u64) -> Result<Self> {
        let mut numbers = Numbers(seed);
        let mut urls = String::new();
        for (path, ids) in READS.iter().cycle().take(CHOICES as usize) {
            let id = match ids {
                Ids::None => 0,
                Ids::Orders => numbers.up_to(size.orders as u64),
                Ids::Users => numbers.up_to(size.users as u64),
                Ids::Products => numbers.up_to(size.products as u64),
            };
            writeln!(urls, "{}", path.replace("{}", &id.to_string()))?;
        }
        let mut text = String::new();
        for _ in 0..CHOICES {
            let user = numbers.up_to(size.users as u64);
            let product = numbers.up_to(size.products as u64);
            writeln!(
                text,
                r#"{{"user_id":{user},"items":[{{"product_id":{product},"quantity":1}}]}}"#
            )?;
        }
        let bodies = folder.join("orders.txt");
        fs::write(&bodies, text).with_context(|| format!("writing {}", bodies.display()))?;
        Ok(Self {
            folder: folder.to_owned(),
            urls,
            bodies,
        })
    }

    fn url_file(&self, base: &str) -> Result<PathBuf> {
        let path = self.folder.join("urls.txt");
        let whole = self.urls.lines().map(|url| format!("{base}{url}\n"));
        fs::write(&path, whole.collect::<String>())
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

/// Two streams of requests, until stopped. They end with this process, however it ends.
pub(super) struct Load {
    streams: Vec<Stream>,
}

impl Load {
    /// Begins `rate` requests a second against the host at `base`.
    pub(super) fn start(oha: &Path, base: &str, work: &Work, rate: u32) -> Result<Self> {
        let orders = rate * ORDERS_OF_TEN / 10;
        let urls = work.url_file(base)?.display().to_string();
        let bodies = work.bodies.display().to_string();
        let order_url = format!("{base}/orders");
        let post = [
            "-m",
            "POST",
            "-T",
            "application/json",
            "-Z",
            &bodies,
            &order_url,
        ];
        let reads = ["--urls-from-file", &urls];
        let streams = vec![
            Stream::start(oha, "reads", rate - orders, LONGEST, &reads)?,
            Stream::start(oha, "orders", orders, LONGEST, &post)?,
        ];
        Ok(Self { streams })
    }

    /// Ends both, and reads what they measured.
    pub(super) async fn stop(self) -> Result<Vec<Measured>> {
        let mut measured = Vec::new();
        for stream in &self.streams {
            stream.interrupt()?;
        }
        for stream in self.streams {
            measured.push(stream.measured().await?);
        }
        Ok(measured)
    }
}
