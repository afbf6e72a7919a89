//! A roll-out over several hosts: one verdict, one end.

use std::process::{Output, Stdio};
use std::time::Duration;

use reqwest::Client;
use testbed::{DataStore, Host, HostOptions};

use crate::operator::{
    GuestApp, bare_store, command_line, guest, guest_in_mode, token_file, with_token,
};
use crate::operators::{stderr, stdout};
use crate::support::{PATIENCE, eventually, host_binary, options};

/// Two hosts with a memory each, whose admin listeners are where they were after a restart.
pub(crate) struct Fleet {
    pub(crate) store: DataStore,
    pub(crate) options: [HostOptions; 2],
    pub(crate) hosts: [Option<Host>; 2],
    pub(crate) client: Client,
    /// A socket's path has 107 bytes at most, and a folder of tests may be deep.
    _sockets: tempfile::TempDir,
}

impl Fleet {
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let store = bare_store().await;
        let app = GuestApp::new(&store);
        let sockets = tempfile::tempdir().unwrap();
        let options = [1, 2].map(|number| {
            let folder = store.folder();
            let mut options = app
                .options(with_token(options()))
                .arg("--state-folder")
                .arg(folder.join(format!("state-{number}")).display().to_string())
                .args(&["--canary-p99-slack", "10s"])
                .args(flags);
            options.admin_listen = format!(
                "unix:{}",
                sockets.path().join(format!("{number}.sock")).display()
            );
            options
        });
        let mut fleet = Self {
            store,
            options,
            hosts: [None, None],
            client: Client::new(),
            _sockets: sockets,
        };
        for number in [0, 1] {
            fleet.begin(number).await;
        }
        fleet
    }

    pub(crate) async fn begin(&mut self, number: usize) {
        let host = self.store.host(self.options[number].clone()).await.unwrap();
        self.hosts[number] = Some(host);
    }

    pub(crate) async fn end(&mut self, number: usize) {
        let host = self.hosts[number].take().unwrap();
        host.sigterm().unwrap();
        host.wait_exit(PATIENCE).await.unwrap();
    }

    /// The words of a roll-out of `bytes`.
    pub(crate) fn words(
        &self,
        bytes: &[u8],
        steps: &str,
        step_for: &str,
        lease: &str,
    ) -> Vec<String> {
        let path = self.store.folder().join("new.wasm");
        std::fs::write(&path, bytes).unwrap();
        let path = path.display().to_string();
        let token = token_file(&self.store);
        let mut words: Vec<String> = [
            "swap",
            "guest",
            &path,
            "--fleet",
            "--steps",
            steps,
            "--step-for",
            step_for,
            "--lease",
            lease,
            "--admin-token-file",
            &token,
        ]
        .map(str::to_owned)
        .into();
        for options in &self.options {
            words.extend(["--admin".to_owned(), options.admin_listen.clone()]);
        }
        words
    }

    /// Asks all hosts something, all the time.
    pub(crate) async fn load(&self) {
        loop {
            for host in self.hosts.iter().flatten() {
                // One may be going.
                _ = self.client.get(host.url("/x")).send().await;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) async fn led(&self, words: &[String]) -> Output {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        tokio::select! {
            output = command_line(&words) => output,
            () = self.load() => unreachable!(),
        }
    }

    pub(crate) async fn status(&self) -> String {
        let token = token_file(&self.store);
        let mut words = vec!["status", "--admin-token-file", &token];
        for options in &self.options {
            words.extend(["--admin", &options.admin_listen]);
        }
        stdout(&command_line(&words).await)
    }

    pub(crate) async fn answers(&self) -> Vec<String> {
        let mut answers = Vec::new();
        for host in self.hosts.iter().flatten() {
            let answer = self.client.get(host.url("/x")).send().await.unwrap();
            answers.push(answer.text().await.unwrap());
        }
        answers
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_hosts_take_the_steps_together_and_promote() {
    let fleet = Fleet::start(&["--canary-min-requests", "10"]).await;
    let words = fleet.words(&guest("second").into_bytes(), "30%,60%", "2s", "10s");
    let output = fleet.led(&words).await;
    assert!(
        output.status.success(),
        "{}\n{}",
        stdout(&output),
        stderr(&output)
    );
    let said = stdout(&output);
    for part in [
        "step 1 of 2, 30 %: ",
        "step 2 of 2, 60 %: ",
        ": passed",
        "promoted on all 2 hosts",
    ] {
        assert!(said.contains(part), "no `{part}` in:\n{said}");
    }
    assert_eq!(fleet.answers().await, ["second", "second"]);
    let status = fleet.status().await;
    assert_eq!(
        status.matches("last change: generation 2 promoted").count(),
        2,
        "{status}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_version_is_withdrawn_on_all_hosts() {
    let fleet = Fleet::start(&[]).await;
    let words = fleet.words(
        &guest_in_mode("second", "fail-unless-probe"),
        "50%,80%",
        "1h",
        "10s",
    );
    let output = fleet.led(&words).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = stderr(&output);
    assert!(
        said.contains("requests failed") && said.contains("withdrawn on all hosts"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(fleet.answers().await, ["original", "original"]);
    let status = fleet.status().await;
    assert_eq!(
        status
            .matches("last change: generation 2 withdrawn")
            .count(),
        2,
        "{status}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_one_host_refuses_is_tried_on_none() {
    let mut fleet = Fleet::start(&[]).await;
    fleet.end(1).await;
    let words = fleet.words(&guest("second").into_bytes(), "50%", "1h", "10s");
    let output = fleet.led(&words).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("can't connect"), "{output:?}");
    assert_eq!(fleet.answers().await, ["original"]);
    assert!(!fleet.status().await.contains("on trial"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_restarted_goes_on_with_the_others() {
    let mut fleet = Fleet::start(&["--canary-min-requests", "0"]).await;
    let words = fleet.words(&guest("second").into_bytes(), "40%,70%", "4s", "20s");
    let mut command = tokio::process::Command::new(host_binary());
    command
        .args(&words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let led = tokio::spawn(async move { command.output().await.unwrap() });
    eventually("it is tried on both", async || {
        fleet.status().await.matches("on trial").count() == 2
    })
    .await;
    fleet.end(1).await;
    fleet.begin(1).await;
    assert_eq!(fleet.status().await.matches("on trial").count(), 2);
    let output = tokio::select! {
        output = led => output.unwrap(),
        () = fleet.load() => unreachable!(),
    };
    assert!(
        output.status.success(),
        "{}\n{}",
        stdout(&output),
        stderr(&output)
    );
    assert_eq!(fleet.answers().await, ["second", "second"]);
}
