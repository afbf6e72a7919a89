//! What traces cost a server: its processor time for each request when none, 1 % and all of them are sent.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Loaders, Target, TextTable, commit, median, processor, write_json};

/// The most processor time with 1 % of the traces, as a multiple of the time without traces.
const GOAL: f64 = 1.03;

/// The share of requests whose traces are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TraceShare {
    /// None, and none are recorded.
    Off,
    OnePercent,
    Whole,
}

impl TraceShare {
    pub(crate) const ALL: [Self; 3] = [Self::Off, Self::OnePercent, Self::Whole];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::OnePercent => "1 %",
            Self::Whole => "100 %",
        }
    }

    /// The environment variables that make a server send this share to `receiver`, whatever the caller's say.
    pub(crate) fn environment(self, receiver: &TraceReceiver) -> Vec<(&'static str, String)> {
        let share = match self {
            // The caller's own environment may name a receiver.
            Self::Off => return vec![("OTEL_SDK_DISABLED", "true".to_owned())],
            Self::OnePercent => "0.01",
            Self::Whole => "1",
        };
        vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint.clone()),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio".to_owned()),
            ("OTEL_TRACES_SAMPLER_ARG", share.to_owned()),
        ]
    }
}

/// A receiver that accepts all traces, until it is dropped.
pub(crate) struct TraceReceiver {
    endpoint: String,
    _connections: JoinSet<()>,
}

impl TraceReceiver {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let mut connections = JoinSet::new();
        connections.spawn(receive(listener));
        Ok(Self {
            endpoint,
            _connections: connections,
        })
    }
}

async fn receive(listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(async move {
            // The connection ends with its server.
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
            ensure!(!line.is_empty(), "it has ended");
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

/// Floods a server, and returns the microseconds of its processor time for each request. `cpu_seconds` returns its
/// processor time so far.
pub(crate) async fn cpu_per_request(
    loaders: &Loaders,
    target: &Target,
    connections: u32,
    seconds: u32,
    cpu_seconds: impl Fn() -> Result<f64>,
) -> Result<f64> {
    let before = cpu_seconds()?;
    let flood = loaders.flood(target, connections, seconds).await?;
    let used = cpu_seconds()? - before;
    Ok(used * 1e6 / flood.requests)
}

/// The samples of a run. Those of one kind of request are added together.
#[derive(Default)]
pub(crate) struct TraceCosts {
    samples: Vec<CostSample>,
}

#[derive(Serialize)]
struct CostSample {
    row: String,
    traces: &'static str,
    cpu_us: f64,
}

impl TraceCosts {
    /// Adds the microseconds of processor time for each request of this kind.
    pub(crate) fn add(&mut self, row: &str, share: TraceShare, cpu_us: f64) {
        self.samples.push(CostSample {
            row: row.to_owned(),
            traces: share.name(),
            cpu_us,
        });
    }

    /// Prints the medians, and writes all samples to `output`.
    pub(crate) async fn report(&self, output: &Path) -> Result<()> {
        println!(
            "{}, commit {}; the goal at 1 % is at most {GOAL}\n\n{}",
            processor(),
            commit().await,
            self.table().of_figures().markdown()
        );
        write_json(output, &json!(self.samples))
    }

    fn table(&self) -> TextTable {
        let mut table = TextTable::new([
            "CPU µs a request",
            "off",
            "1 %",
            "100 %",
            "1 % / off",
            "100 % / off",
            "goal",
        ]);
        let mut rows: Vec<&str> = Vec::new();
        for sample in &self.samples {
            if !rows.contains(&&*sample.row) {
                rows.push(&sample.row);
            }
        }
        for row in rows {
            let [off, some, all] = TraceShare::ALL.map(|share| self.median(row, share));
            let ratio = some / off;
            // Compared at the precision at which it is printed.
            let is_met = (ratio * 1000.0).round() / 1000.0 <= GOAL;
            table.row([
                row.to_owned(),
                format!("{off:.1}"),
                format!("{some:.1}"),
                format!("{all:.1}"),
                format!("{ratio:.3}"),
                format!("{:.3}", all / off),
                if is_met { "met" } else { "missed" }.to_owned(),
            ]);
        }
        table
    }

    /// The median of a row; `NaN` if there are no samples.
    fn median(&self, row: &str, share: TraceShare) -> f64 {
        let samples = self.samples.iter();
        let samples = samples.filter(|sample| sample.row == row && sample.traces == share.name());
        median(samples.map(|sample| sample.cpu_us)).unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_compares_medians_with_those_without_traces() {
        let mut costs = TraceCosts::default();
        for (row, samples) in [
            // The ratio is 1.0304.
            ("plain", [[9.0, 11.0, 10.0], [10.304, 9.0, 12.0], [20.0; 3]]),
            ("post", [[20.0; 3], [21.0; 3], [30.0; 3]]),
            // A later round.
            ("plain", [[10.0; 3], [10.304; 3], [20.0; 3]]),
        ] {
            for (share, samples) in TraceShare::ALL.into_iter().zip(samples) {
                for sample in samples {
                    costs.add(row, share, sample);
                }
            }
        }
        let text = costs.table().markdown();
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| plain | 10.0 | 10.3 | 20.0 | 1.030 | 2.000 | met |",
                "| post | 20.0 | 21.0 | 30.0 | 1.050 | 1.500 | missed |",
            ]
        );
    }

    #[tokio::test]
    async fn only_a_server_that_traces_is_told_of_the_receiver() {
        let receiver = TraceReceiver::start().await.expect("a receiver");
        let off = TraceShare::Off.environment(&receiver);
        assert_eq!(off, [("OTEL_SDK_DISABLED", "true".to_owned())]);
        let variables = TraceShare::OnePercent.environment(&receiver);
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*receiver.endpoint),
            ("OTEL_TRACES_SAMPLER_ARG", "0.01"),
        ] {
            assert!(variables.contains(&(name, value.to_owned())), "{name}");
        }
    }

    #[tokio::test]
    async fn the_receiver_accepts_one_batch_after_the_other() {
        let receiver = TraceReceiver::start().await.expect("a receiver");
        let address = receiver.endpoint.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        for body in ["spans", "more spans"] {
            let length = body.len();
            let head = format!("POST /v1/traces HTTP/1.1\r\ncontent-length: {length}\r\n\r\n");
            let sent = stream.write_all((head + body).as_bytes()).await;
            sent.expect("it is read");
            let mut answer = [0; 38];
            stream.read_exact(&mut answer).await.expect("an answer");
            assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
        }
    }
}
