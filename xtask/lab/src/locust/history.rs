//! The current figures of a run, from the history that Locust writes each second.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Seek, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The name of the row that ends the rows of each second.
const TOTAL: &str = "Aggregated";

/// A run's figures at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CurrentFigures {
    pub(crate) users: u64,
    pub(crate) routes: Vec<CurrentRoute>,
    /// The sum of all routes.
    pub(crate) total: CurrentRoute,
}

/// A route's figures at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CurrentRoute {
    pub(crate) name: String,
    /// The requests since the start.
    pub(crate) requests: u64,
    /// The failures since the start.
    pub(crate) failures: u64,
    /// The mean of the last ten seconds.
    pub(crate) requests_per_second: f64,
    /// The p95 of the last ten seconds; `None` if there was no request.
    pub(crate) p95_ms: Option<f64>,
}

/// Reads Locust's history while it grows.
#[derive(Debug)]
pub(super) struct History {
    path: PathBuf,
    /// The position of the next unread line.
    position: u64,
    columns: Vec<String>,
    unfinished: Vec<CurrentRoute>,
}

impl History {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            position: 0,
            columns: Vec::new(),
            unfinished: Vec::new(),
        }
    }

    /// The figures of the next second, if Locust has written them.
    ///
    /// # Errors
    /// When the file can't be read.
    pub(super) fn next(&mut self) -> Result<Option<CurrentFigures>> {
        let path = self.path.clone();
        let context = || format!("reading {}", path.display());
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.with_context(context)?,
        };
        file.seek(SeekFrom::Start(self.position))
            .with_context(context)?;
        let mut reader = BufReader::new(file);
        let mut line = String::new();
        loop {
            line.clear();
            let read = reader.read_line(&mut line).with_context(context)?;
            if !line.ends_with('\n') {
                return Ok(None);
            }
            self.position += read as u64;
            if let Some(figures) = self.take_line(line.trim_end()) {
                return Ok(Some(figures));
            }
        }
    }

    fn take_line(&mut self, line: &str) -> Option<CurrentFigures> {
        // Neither our route names nor any other value contains a comma.
        let cells: Vec<&str> = line.split(',').collect();
        if self.columns.is_empty() {
            self.columns = cells.iter().map(|cell| (*cell).to_owned()).collect();
            return None;
        }
        let cell = |name: &str| {
            let place = self.columns.iter().position(|column| column == name);
            place.and_then(|place| cells.get(place)).copied()
        };
        let count = |name| cell(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        let requests_per_second = cell("Requests/s")
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0.0);
        let p95_ms = cell("95%").and_then(|text| text.parse().ok());
        let route = CurrentRoute {
            name: cell("Name").unwrap_or_default().to_owned(),
            requests: count("Total Request Count"),
            failures: count("Total Failure Count"),
            requests_per_second,
            // Locust writes 0 for a window without requests.
            p95_ms: p95_ms.filter(|p95| *p95 > 0.0 || requests_per_second > 0.0),
        };
        if route.name != TOTAL {
            self.unfinished.push(route);
            return None;
        }
        Some(CurrentFigures {
            users: count("User Count"),
            routes: std::mem::take(&mut self.unfinished),
            total: route,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Timestamp,User Count,Type,Name,Requests/s,Failures/s,50%,95%,Total Request Count,Total Failure Count\r\n";

    fn history(text: &str) -> (tempfile::TempDir, History) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("history.csv");
        std::fs::write(&path, text).expect("written");
        (folder, History::new(path))
    }

    #[test]
    fn a_second_is_complete_with_its_total() {
        let rows = "1,3,POST,POST /orders,1.500000,0.000000,4,9,12,1\r\n1,3,,Aggregated,2.000000,0.000000,4,8,20,1\r\n2,4,POST,POST /or";
        let (_folder, mut history) = history(&format!("{HEAD}{rows}"));
        let figures = history.next().expect("readable").expect("one second");
        assert_eq!((figures.users, figures.total.requests), (3, 20));
        let orders = &figures.routes[0];
        assert_eq!(
            (orders.name.as_str(), orders.requests, orders.failures),
            ("POST /orders", 12, 1)
        );
        assert_eq!(
            (orders.requests_per_second, orders.p95_ms),
            (1.5, Some(9.0))
        );
        assert_eq!(history.next().expect("readable"), None);
    }

    #[test]
    fn before_the_first_request_there_are_no_percentiles() {
        let (_folder, mut history) = history(&format!(
            "{HEAD}1,0,,Aggregated,0.000000,0.000000,N/A,N/A,0,0\r\n"
        ));
        let figures = history.next().expect("readable").expect("one second");
        assert_eq!(figures.total.p95_ms, None);
        assert!(figures.routes.is_empty());
    }

    #[test]
    fn a_history_that_is_not_there_yet_has_nothing_new() {
        let mut history = History::new(PathBuf::from("/nowhere/history.csv"));
        assert_eq!(history.next().expect("no error"), None);
    }
}
