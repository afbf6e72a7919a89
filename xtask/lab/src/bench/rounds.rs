//! Runs all rounds of one route.

use anyhow::{Context, Result};
use testbed::Process;

use super::Options;
use super::report::{LatencySample, Report, Sample};
use super::routes::Route;
use super::sides::{Bench, HOST, HOST_SINGLE, NATIVE, Side};
use crate::measure::{Counters, Flood, Loaders, Target, cpu_seconds, forget_peak, peak_kib};

/// A side, with the requests that are sent to it.
type SideTarget<'a> = (&'a Side, Target);

pub(super) async fn measure(
    options: &Options,
    loaders: &Loaders,
    bench: &Bench,
    route: Route,
    report: &mut Report,
) -> Result<()> {
    let sides = bench.sides.iter().filter(|side| side.serves(route));
    let asked: Vec<SideTarget<'_>> = sides.map(|side| (side, route.target(&side.url))).collect();
    // Before the measurement, pools are filled, caches warmed and pages touched.
    for (_, target) in &asked {
        loaders.flood(target, 32, 1).await?;
    }
    let common = &options.common;
    for &connections in &options.connections {
        for round in 0..common.rounds {
            for (side, target) in in_turn(&asked, round) {
                let step = format!(
                    "{}, {connections} connections, round {}, {}",
                    route.label(),
                    round + 1,
                    side.name
                );
                eprintln!("▸ {step}");
                let sample = sample(loaders, bench, side, target, connections, common.seconds)
                    .await
                    .context(step)?;
                report.add(route, connections, round, &side.name, sample);
            }
        }
    }
    for round in 0..common.rounds {
        for (side, target) in in_turn(&asked, round) {
            let Some(rate) = rate(options, report, route, &side.name) else {
                return Ok(());
            };
            let step = format!(
                "{}, {rate} requests/s, round {}, {}",
                route.label(),
                round + 1,
                side.name
            );
            eprintln!("▸ {step}");
            let latency = loaders
                .pace(target, options.latency_connections, common.seconds, rate)
                .await
                .context(step)?;
            report.add_latency(LatencySample {
                route,
                rate,
                round: round + 1,
                side: side.name.clone(),
                latency,
            });
        }
    }
    Ok(())
}

/// The order of the sides in this round. It changes from round to round, so that other load on the machine affects all
/// alike.
fn in_turn<'a, 'b>(asked: &'b [SideTarget<'a>], round: u32) -> Vec<&'b SideTarget<'a>> {
    let mut order: Vec<_> = asked.iter().collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// The rate at which a side's latency is measured: the same for sides that are compared, and no more than any other
/// side can serve.
fn rate(options: &Options, report: &Report, route: Route, side: &str) -> Option<u32> {
    let slowest_of = match route.places_orders() {
        // The host's orders are compared with orders that commit alone, and the host's own saturation is far above
        // theirs.
        true if side == HOST => vec![HOST_SINGLE],
        true => vec![HOST_SINGLE, side],
        false => vec![HOST, NATIVE, side],
    };
    options
        .rate
        .or_else(|| report.rate_of_saturation(route, &slowest_of))
}

async fn sample(
    loaders: &Loaders,
    bench: &Bench,
    side: &Side,
    target: &Target,
    connections: u32,
    seconds: u32,
) -> Result<Sample> {
    let look = {
        let first = Counters::look_at(&bench.store).await?;
        let second = Counters::look_at(&bench.store).await?;
        second.since(&first, &Counters::NONE)
    };
    let before = Counters::look_at(&bench.store).await?;
    let stores_before = stores_cpu_seconds(bench)?;
    let (flood, cpu_seconds, peak_kib) = flood(loaders, side, target, connections, seconds).await?;
    let stores_after = stores_cpu_seconds(bench)?;
    let after = Counters::look_at(&bench.store).await?;
    let asked = after.since(&before, &look);
    let used = |at: usize| Some(stores_after[at]? - stores_before[at]?);
    Ok(Sample {
        requests: flood.requests,
        requests_per_second: flood.requests_per_second,
        p50_ms: flood.p50_ms,
        cpu_seconds,
        mariadb_cpu_seconds: used(0),
        redis_cpu_seconds: used(1),
        cpu_busy: cpu_seconds.map(|used| used / f64::from(seconds)),
        peak_kib,
        asked,
    })
}

/// The processor time of MariaDB and Redis so far, for each that we started.
fn stores_cpu_seconds(bench: &Bench) -> Result<[Option<f64>; 2]> {
    let mariadb = bench.store.mariadb.as_ref();
    let mariadb = mariadb.and_then(|server| server.process());
    let used = |process: Option<&Process>| process.map(|one| cpu_seconds(one.id())).transpose();
    Ok([used(mariadb)?, used(bench.store.redis_server.process())?])
}

/// Sends a flood, and measures the processor time and memory of the side's process.
pub(super) async fn flood(
    loaders: &Loaders,
    side: &Side,
    target: &Target,
    connections: u32,
    seconds: u32,
) -> Result<(Flood, Option<f64>, Option<u64>)> {
    let Some(process) = side.process() else {
        let flood = loaders.flood(target, connections, seconds).await?;
        return Ok((flood, None, None));
    };
    forget_peak(process)?;
    let before = cpu_seconds(process)?;
    let flood = loaders.flood(target, connections, seconds).await?;
    let used = cpu_seconds(process)? - before;
    Ok((flood, Some(used), Some(peak_kib(process)?)))
}
