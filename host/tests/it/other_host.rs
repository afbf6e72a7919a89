//! A second host of a shop's store, which a test stops (SIGSTOP) in the middle of its work and lets go on later.

use std::process::Command;

use reqwest::RequestBuilder;
use testbed::metrics::series;
use testbed::{Host, HostOptions};

use crate::members::metrics;
use crate::mysql_relay::mysql_address;
use crate::operator::with_token;
use crate::relay::Relay;
use crate::support::{Shop, eventually, options, try_send};

/// Where the host is stopped: on its way to one of the two servers, with a command that has this text in it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Redis(&'static str),
    Mysql(&'static str),
}

/// The host, and the way to its servers.
pub(crate) struct OtherHost {
    pub(crate) host: Host,
    redis: Relay,
    mysql: Relay,
}

/// Options of a host that refreshes when it is told to.
pub(crate) fn without_refresh() -> HostOptions {
    with_token(options()).variable("report_refresh_seconds", "3600")
}

/// Waits until the refresh is over that a host begins at its start. It makes the reports if one is missing then.
pub(crate) async fn first_refresh(host: &Host) {
    eventually("the first refresh is over", async || {
        let text = metrics(host).await;
        series(&text, "store_refreshes_total")
            .any(|(labels, count)| count > 0.0 && !labels.contains("failed"))
    })
    .await;
}

impl OtherHost {
    pub(crate) async fn of(shop: &Shop) -> Self {
        let redis = Relay::to(&format!("127.0.0.1:{}", shop.store.redis_server.port())).await;
        let mysql = Relay::to(&mysql_address(&shop.store)).await;
        let options = without_refresh()
            .variable("redis_address", redis.address())
            .variable("mysql_address", mysql.address());
        let host = shop.store.host(options).await.unwrap();
        first_refresh(&host).await;
        Self { host, redis, mysql }
    }

    /// Sends `request`, stops the host at `step`, does `meanwhile`, and lets the host go on to the end of the request.
    pub(crate) async fn stops_at<T>(
        &self,
        step: Step,
        request: RequestBuilder,
        meanwhile: impl Future<Output = T>,
    ) -> T {
        let (relay, text) = match step {
            Step::Redis(text) => (&self.redis, text),
            Step::Mysql(text) => (&self.mysql, text),
        };
        relay.hold(text);
        let mut request = tokio::spawn(try_send(request));
        let is_held = eventually("the host comes to the step", async || relay.holds());
        tokio::select! {
            biased;
            () = is_held => {}
            answer = &mut request => panic!("answered without coming to {step:?}: {answer:?}"),
        }
        self.signal("-STOP");
        let done = meanwhile.await;
        self.signal("-CONT");
        relay.release();
        // It may have run out of time.
        _ = request.await.unwrap();
        done
    }

    /// For a step on the way to MySQL, ends the host's connections there: on new ones it sends the text of a statement
    /// even if it has sent that statement before.
    pub(crate) async fn forgets_statements_before(&self, step: Step) {
        if let Step::Mysql(_) = step {
            self.mysql.cut().await;
        }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([name, &self.host.process().id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }
}
