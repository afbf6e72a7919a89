//! Runs the load and the faults, and judges the result.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::buyer::{Buyer, Catalogue, StopFlag};
use super::check::{self, Before};
use super::client::Client;
use super::history::{Cancellation, Errand, History, Outcome, Tally};
use super::members::Cluster;
use super::plan::{Fault, plan};
use super::reader::Reader;
use super::report::{FaultRecord, report};
use crate::measure::Numbers;

/// The time of load without faults, before the first fault and after each.
const CALM: Duration = Duration::from_secs(2);

/// The time between two lines of progress.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The parameters of one run.
pub(super) struct Chaos {
    pub(super) duration: Duration,
    pub(super) seed: u64,
    /// The faults to inflict; empty for the plan of the seed.
    pub(super) only: Vec<Fault>,
    pub(super) buyers: u64,
    pub(super) products: u64,
}

impl Chaos {
    pub(super) async fn run(&self, cluster: &mut Cluster) -> Result<ExitCode> {
        cluster.healed().await?;
        let before = Before::read(cluster).await?;
        let tally = Tally::new();
        let ends = Arc::new(StopFlag::default());
        let mut clients = self.start(cluster, &tally, &ends)?;
        let line = tokio::spawn(say_how_it_goes(tally.clone()));
        let mut failures = Vec::new();
        let suffered = self.faults(cluster, &tally, &mut failures).await;
        ends.come();
        let mut history = History::default();
        while let Some(client) = clients.join_next().await {
            history.add(client.context("a client failed")?);
        }
        line.abort();
        let suffered = suffered?;
        let end = tally.began.elapsed();
        ensure!(!history.orders.is_empty(), "not one order was placed");
        println!("\n{}", report(&history, &suffered, end));
        let two_died = suffered.iter().any(|one| one.fault == Fault::TWO);
        if two_died && let Some(steps) = cluster.databases.replication().operator_steps() {
            println!("{steps}\n");
        }
        println!("{}", counts(&history));
        // If a member is not well, the comparison would only wait for it.
        if failures.is_empty() {
            failures.extend(check::failures(cluster, &before, &history).await?);
        }
        for failure in &failures {
            println!("✗ {failure}");
        }
        if failures.is_empty() {
            println!(
                "✓ nothing was lost, nothing was done twice, and nothing was done that had been refused"
            );
            return Ok(ExitCode::SUCCESS);
        }
        Ok(ExitCode::FAILURE)
    }

    fn start(
        &self,
        cluster: &Cluster,
        tally: &Arc<Tally>,
        ends: &Arc<StopFlag>,
    ) -> Result<JoinSet<History>> {
        let urls = cluster.urls();
        let mut clients = JoinSet::new();
        let client = |number: u64| Client::new(number as u32, &urls, tally.clone());
        for user in 1..=self.buyers {
            let buyer = Buyer {
                client: client(user)?,
                user,
                is_keyed: user % 3 != 0,
                catalogue: Catalogue {
                    first: self.buyers + 1,
                    last: self.products,
                },
                ends: ends.clone(),
                numbers: Numbers(self.seed.wrapping_add(user)),
            };
            clients.spawn(buyer.buy());
        }
        for number in 0..self.buyers / 2 {
            let reader = Reader {
                client: client(self.buyers + 1 + number)?,
                errand: if number % 2 == 0 {
                    Errand::Report
                } else {
                    Errand::Stock
                },
                products: self.products,
                ends: ends.clone(),
                numbers: Numbers(self.seed.wrapping_sub(number)),
            };
            clients.spawn(reader.read());
        }
        Ok(clients)
    }

    /// Inflicts the faults of the plan until the time is over or the fleet does not heal.
    async fn faults(
        &self,
        cluster: &mut Cluster,
        tally: &Tally,
        failures: &mut Vec<String>,
    ) -> Result<Vec<FaultRecord>> {
        let mut numbers = Numbers(self.seed);
        let faults: Box<dyn Iterator<Item = Fault> + Send> = match self.only.is_empty() {
            true => Box::new(plan(self.seed, cluster.network.can_cut_off())),
            false => Box::new(self.only.clone().into_iter()),
        };
        let mut suffered = Vec::new();
        sleep(CALM).await;
        for fault in faults {
            if tally.began.elapsed() >= self.duration {
                break;
            }
            let members = cluster.cast(fault.role, &mut numbers).await?;
            let names: Vec<String> = members.iter().map(|member| member.name()).collect();
            let names = names.join(", ");
            let began = tally.began.elapsed();
            eprintln!("  {:>4} s  {fault} ({names})", began.as_secs());
            cluster.suffer(fault, &members).await?;
            let over = tally.began.elapsed();
            let healed = cluster.healed().await;
            let well = tally.began.elapsed();
            suffered.push(FaultRecord {
                fault,
                members: names,
                began,
                over,
                well,
            });
            if let Err(error) = healed {
                failures.push(format!("after {fault}: {error:#}"));
                break;
            }
            sleep(CALM).await;
        }
        Ok(suffered)
    }
}

/// Prints a line every few seconds, until it is aborted.
async fn say_how_it_goes(tally: Arc<Tally>) {
    loop {
        sleep(LINE_EVERY).await;
        let seconds = tally.began.elapsed().as_secs();
        let (good, failed) = tally.counts();
        eprintln!("  {seconds:>4} s  {good} requests went well, {failed} did not");
    }
}

/// What happened to the orders, in a line.
fn counts(history: &History) -> String {
    let orders = &history.orders;
    let count =
        |is: &dyn Fn(Outcome) -> bool| orders.iter().filter(|order| is(order.outcome)).count();
    let placed = count(&|outcome| matches!(outcome, Outcome::Placed(_)));
    let refused = count(&|outcome| matches!(outcome, Outcome::Refused(_)));
    let unknown = count(&|outcome| outcome == Outcome::Unknown);
    let cancelled = orders
        .iter()
        .filter(|order| order.cancelled == Cancellation::Yes)
        .count();
    let old = &history.old_reads;
    let longest = old.iter().map(|old| old.lasted).max().unwrap_or_default();
    format!(
        "{placed} orders confirmed, {cancelled} of them cancelled; {refused} refused; {unknown} of unknown outcome\n\
         {} reads of one's own orders were old, for {:.2} s at most ({:.0} s are allowed)",
        old.len(),
        longest.as_secs_f64(),
        check::BOUND.as_secs_f64()
    )
}
