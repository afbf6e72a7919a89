//! A client that reads reports and stock levels.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use tokio::time::sleep;

use super::buyer::StopFlag;
use super::client::{Client, Message};
use super::history::{Errand, History};
use crate::measure::Numbers;

/// How long to wait for an answer before asking the other proxy.
const PATIENCE: Duration = Duration::from_millis(300);

/// The wait between two reads.
const THINKING: Duration = Duration::from_millis(50);

/// The paths of both reports.
pub(super) const REPORTS: [&str; 2] = [
    "/orders/reports/highest-spenders",
    "/orders/reports/best-sellers",
];

/// A client that reads one kind of resource.
pub(super) struct Reader {
    pub(super) client: Client,
    pub(super) errand: Errand,
    /// The number of products.
    pub(super) products: u64,
    pub(super) ends: Arc<StopFlag>,
    pub(super) numbers: Numbers,
}

impl Reader {
    pub(super) async fn read(mut self) -> History {
        while !self.ends.has_come() {
            let path = match self.errand {
                Errand::Report => REPORTS[self.numbers.up_to(2) as usize - 1].to_owned(),
                _ => format!("/stocks/{}", self.numbers.up_to(self.products)),
            };
            let message = Message {
                errand: self.errand,
                method: Method::GET,
                path: &path,
                body: None,
                key: None,
                patience: PATIENCE,
            };
            self.client
                .send(&message, |status, _| status == StatusCode::OK)
                .await;
            sleep(THINKING).await;
        }
        self.client.history
    }
}
