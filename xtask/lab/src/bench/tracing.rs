//! `cargo xtask bench --tracing`: the cost of traces for the host when none, 1 % and all of them are sent.

use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::json;
use testbed::seed::{Dataset, LAB};
use testbed::{Host, HostOptions};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::routes::Route;
use super::sides::{host_options, start_store};
use super::{Cpus, Options};
use crate::measure::{
    Loaders, Target, TextTable, commit, cpu_seconds, median, processor, write_json,
};

/// The seed of the random data.
const RNG_SEED: u64 = 42;

/// The share of requests whose traces are sent; `None` switches traces off.
const SHARES: [(&str, Option<&str>); 3] =
    [("off", None), ("1 %", Some("0.01")), ("100 %", Some("1"))];

/// The most processor time with 1 % of the traces, as a multiple of the time without traces.
const GOAL: f64 = 1.03;

/// A host with its share of traces, and its samples: microseconds of processor time per request.
struct Side {
    name: &'static str,
    host: Host,
    samples: Vec<f64>,
}

pub(super) async fn run(options: &Options) -> Result<ExitCode> {
    let common = &options.common;
    let binary = common.host().await?;
    let cpus = Cpus::split()?;
    let loaders = Loaders::on(&cpus.load);
    let store = start_store(&binary, &cpus, &Dataset::random(LAB, RNG_SEED)).await?;
    let sink = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", sink.local_addr()?);
    let mut receiver = JoinSet::new();
    receiver.spawn(receive(sink));
    let mut sides = Vec::new();
    for (name, share) in SHARES {
        let options = traced(host_options(&binary, &cpus), share, &endpoint);
        sides.push(Side {
            name,
            host: store.host(options).await?,
            samples: Vec::new(),
        });
    }
    let routes = match options.only.as_slice() {
        [] => &[Route::Empty, Route::Report, Route::Order, Route::Place],
        only => only,
    };
    let mut table = TextTable::new([
        "CPU µs a request",
        "off",
        "1 %",
        "100 %",
        "1 % / off",
        "100 % / off",
    ]);
    let mut all = Vec::new();
    for &route in routes {
        for side in &mut sides {
            side.samples.clear();
            let target = route.target(&side.host.url(""));
            loaders.flood(&target, 32, 1).await?;
        }
        for round in 0..common.rounds {
            let mut order: Vec<&mut Side> = sides.iter_mut().collect();
            // The order changes, so that other load on the machine affects all alike.
            order.rotate_left(round as usize % SHARES.len());
            for side in order {
                eprintln!(
                    "▸ {}, round {}, traces {}",
                    route.label(),
                    round + 1,
                    side.name
                );
                let target = route.target(&side.host.url(""));
                let sample = cpu_per_request(&loaders, &side.host, &target, common.seconds);
                side.samples.push(sample.await?);
            }
        }
        let medians = sides
            .iter()
            .map(|side| median(side.samples.iter().copied()));
        let medians: Vec<f64> = medians.map(Option::unwrap_or_default).collect();
        let figure = |value: f64| format!("{value:.1}");
        let ratio = |of: f64| format!("{:.3}", of / medians[0]);
        table.row([
            route.label().to_owned(),
            figure(medians[0]),
            figure(medians[1]),
            figure(medians[2]),
            ratio(medians[1]),
            ratio(medians[2]),
        ]);
        all.push(json!({
            "route": route.label(),
            "samples": sides.iter().map(|side| json!({ "traces": side.name, "cpu_us": side.samples })).collect::<Vec<_>>(),
        }));
    }
    println!(
        "{}, commit {}; at most {GOAL} at 1 %\n\n{}",
        processor(),
        commit().await,
        table.of_figures().markdown()
    );
    write_json(&common.output("bench-tracing"), &json!(all))?;
    Ok(ExitCode::SUCCESS)
}

fn traced(options: HostOptions, share: Option<&str>, endpoint: &str) -> HostOptions {
    let Some(share) = share else { return options };
    options
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        .env("OTEL_TRACES_SAMPLER_ARG", share)
}

async fn cpu_per_request(
    loaders: &Loaders,
    host: &Host,
    target: &Target,
    seconds: u32,
) -> Result<f64> {
    let process = host.process().id();
    let before = cpu_seconds(process)?;
    let flood = loaders.flood(target, 32, seconds).await?;
    let used = cpu_seconds(process)? - before;
    Ok(used * 1e6 / flood.requests as f64)
}

/// Accepts all traces that are sent.
async fn receive(listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(async move {
            // The connection ends with its host.
            _ = take_all(stream).await;
        });
    }
}

async fn take_all(stream: TcpStream) -> Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0_u64);
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).await?;
            anyhow::ensure!(!line.is_empty(), "it has ended");
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().context("a length")?;
            }
        }
        tokio::io::copy(&mut (&mut stream).take(length), &mut tokio::io::sink()).await?;
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        stream.get_mut().write_all(answer).await?;
    }
}
