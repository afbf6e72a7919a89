//! Shows a run's current figures: a table that updates itself in a terminal, a line every few seconds elsewhere.

use std::fmt::{self, Display};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::table::{NAME, milliseconds};
use crate::locust::{CurrentFigures, CurrentRoute, Run};
use crate::measure::{Column, TextTable};

/// The time between two lines.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// The most routes in the table; more would push the first ones off a small terminal.
const MOST_ROWS: usize = 16;

const COLUMNS: [Column; 5] = [
    NAME,
    Column::Right(9),
    Column::Right(9),
    Column::Right(8),
    Column::Right(8),
];

pub(super) struct Screen {
    /// The time of Locust's first figures.
    started: Option<Instant>,
    time: Duration,
    users: u32,
    terminal: bool,
    /// The number of lines of the last table in the terminal.
    drawn: usize,
    last_line: Option<Instant>,
}

impl Screen {
    pub(super) fn new(run: &Run<'_>) -> Self {
        Self {
            started: None,
            time: run.time,
            users: run.users,
            terminal: io::stderr().is_terminal(),
            drawn: 0,
            last_line: None,
        }
    }

    /// Shows the figures of one second. If the terminal has gone away, the run continues.
    pub(super) fn show(&mut self, figures: &CurrentFigures) {
        if self.terminal {
            let head = self.head(figures);
            let table = table(figures, &head);
            let _ = write!(io::stderr(), "{}{table}", erase(self.drawn));
            self.drawn = table.lines().count();
        } else if self
            .last_line
            .is_none_or(|last| last.elapsed() >= LINE_INTERVAL)
        {
            self.last_line = Some(Instant::now());
            let head = self.head(figures);
            let _ = writeln!(io::stderr(), "{head}, {}", totals(&figures.total));
        }
    }

    fn head(&mut self, figures: &CurrentFigures) -> String {
        let started = self.started.get_or_insert_with(Instant::now);
        let elapsed = started.elapsed().min(self.time).as_secs();
        format!(
            "{elapsed:>4} s of {} s, {} of {} users",
            self.time.as_secs(),
            figures.users,
            self.users
        )
    }
}

impl Drop for Screen {
    /// Erases the table, because the final table replaces it.
    fn drop(&mut self) {
        let _ = write!(io::stderr(), "{}", erase(self.drawn));
    }
}

impl Display for Run<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} users, {} more each second, for {} s against {} ({:?}, seed {})",
            self.users,
            self.spawn_rate,
            self.time.as_secs(),
            self.url,
            self.profile,
            self.seed
        )
    }
}

fn erase(lines: usize) -> String {
    match lines {
        0 => String::new(),
        lines => format!("\x1b[{lines}A\x1b[J"),
    }
}

fn table(figures: &CurrentFigures, head: &str) -> String {
    let mut routes = TextTable::new(["", "requests", "failures", "req/s", "p95"]);
    for route in figures.routes.iter().take(MOST_ROWS) {
        routes.row(row(&route.name, route));
    }
    let mut text = format!("{head}\n{}", routes.in_columns(&COLUMNS));
    if figures.routes.len() > MOST_ROWS {
        text += &format!("… and {} more\n", figures.routes.len() - MOST_ROWS);
    }
    let all = TextTable::new(row("all", &figures.total));
    text + &all.in_columns(&COLUMNS)
}

fn row(name: &str, route: &CurrentRoute) -> [String; 5] {
    [
        name.to_owned(),
        route.requests.to_string(),
        route.failures.to_string(),
        format!("{:.1}", route.requests_per_second),
        p95(route),
    ]
}

fn totals(total: &CurrentRoute) -> String {
    format!(
        "{} requests, {} failed, {:.1} a second, p95 {}",
        total.requests,
        total.failures,
        total.requests_per_second,
        p95(total)
    )
}

fn p95(route: &CurrentRoute) -> String {
    route.p95_ms.map_or_else(|| "-".to_owned(), milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(routes: usize) -> CurrentFigures {
        let route = |number| CurrentRoute {
            name: format!("GET /stocks/reports/overview-{number}"),
            requests: 12_345,
            failures: 3,
            requests_per_second: 71.25,
            p95_ms: Some(12.0),
        };
        CurrentFigures {
            users: 150,
            routes: (0..routes).map(route).collect(),
            total: route(0),
        }
    }

    #[test]
    fn a_table_fits_a_small_terminal() {
        let text = table(&figures(30), "head");
        assert!(text.lines().count() <= 24, "{text}");
        assert!(text.lines().all(|line| line.chars().count() < 80), "{text}");
        assert!(text.contains("71.2") && text.contains("12 ms"), "{text}");
    }

    #[test]
    fn a_line_says_it_all() {
        let line = totals(&figures(0).total);
        assert_eq!(line, "12345 requests, 3 failed, 71.2 a second, p95 12 ms");
    }
}
