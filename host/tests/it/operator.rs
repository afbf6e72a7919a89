//! An operator of a shop: swaps, rollbacks and reloads over the admin interface, and small apps to do them to.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use sha2::{Digest, Sha256};
use testbed::{DataStore, Guest, HostOptions};

use crate::support::{Answer, Shop, empty_store, eventually, host_binary, options, send};

/// The admin token of every host here.
pub(crate) const TOKEN: &str = "a-token-that-only-these-tests-know";

/// A host that takes swaps, and keeps what it accepts in its store's folder.
pub(crate) fn operated(store: &DataStore) -> HostOptions {
    let state = store.folder().join("state");
    with_token(options())
        .arg("--state-folder")
        .arg(state.display().to_string())
}

/// The same without a memory of what it accepted.
pub(crate) fn with_token(options: HostOptions) -> HostOptions {
    options.env("STORE_HOST_ADMIN_TOKEN", TOKEN)
}

/// An app of two test components: `guest` serves everything but what is under `/other`.
pub(crate) struct GuestApp {
    pub(crate) manifest: PathBuf,
    pub(crate) guest: PathBuf,
}

impl GuestApp {
    /// Writes the app into the folder of `store`.
    pub(crate) fn new(store: &DataStore) -> Self {
        Self::with_limits(store, "")
    }

    /// `options` for a host that serves this app.
    pub(crate) fn options(&self, options: HostOptions) -> HostOptions {
        HostOptions {
            app: self.manifest.clone(),
            ..options
        }
    }

    /// Writes the app with limits of the component `guest`, as in `request_timeout = "1s"`.
    pub(crate) fn with_limits(store: &DataStore, limits: &str) -> Self {
        let folder = store.folder();
        let app = Self {
            manifest: folder.join("guests.toml"),
            guest: folder.join("guest.wasm"),
        };
        let other = folder.join("other.wasm");
        guest("original").write(&app.guest).unwrap();
        guest("other").write(&other).unwrap();
        let text = format!(
            r#"spin_manifest_version = 2

[application]
name = "guests"

[variables]
greeting = {{ default = "hello" }}

[[trigger.http]]
route = "/other/..."
component = "other"

[[trigger.http]]
route = "/..."
component = "guest"

[component.guest]
source = "{}"

[component.guest.variables]
greeting = "{{{{ greeting }}}}"

[component.guest.tool.store-host]
probe = {{ path = "/probe", status = 200 }}
limits = {{ {limits} }}

[component.other]
source = "{}"
"#,
            app.guest.display(),
            other.display()
        );
        std::fs::write(&app.manifest, text).unwrap();
        app
    }

    /// Changes the manifest.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.manifest).unwrap();
        assert!(text.contains(from), "no `{from}` in {text}");
        std::fs::write(&self.manifest, text.replace(from, to)).unwrap();
    }
}

/// The test component that answers `version`.
pub(crate) fn guest(version: &str) -> Guest {
    Guest::test().unwrap().version(version).unwrap()
}

/// The test component that answers `version` and behaves as `mode` says.
pub(crate) fn guest_in_mode(version: &str, mode: &str) -> Vec<u8> {
    guest(version).mode(mode).unwrap().into_bytes()
}

/// A component that asks for what no host here offers.
pub(crate) fn missing_import() -> Vec<u8> {
    guest("bad").missing_import().into_bytes()
}

/// SHA-256 in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// A store without tables, which the test components don't use.
pub(crate) async fn bare_store() -> DataStore {
    DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap()
}

/// A shop of test components. Each flag is one word.
pub(crate) async fn guest_shop(flags: &[&str]) -> (Shop, GuestApp) {
    let store = bare_store().await;
    let app = GuestApp::new(&store);
    let options = app.options(operated(&store)).args(flags);
    (Shop::on(store, options).await, app)
}

/// A file with the admin token, for the command line.
pub(crate) fn token_file(store: &DataStore) -> String {
    let path = store.folder().join("token");
    std::fs::write(&path, format!("{TOKEN}\n")).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

/// Runs `store-host` as an operator does.
pub(crate) async fn command_line(args: &[&str]) -> Output {
    tokio::process::Command::new(host_binary())
        .args(args)
        .env_remove("STORE_HOST_ADMIN_TOKEN")
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}

/// RFC 9530.
pub(crate) fn content_digest(bytes: &[u8]) -> String {
    format!(
        "sha-256=:{}:",
        BASE64_STANDARD.encode(Sha256::digest(bytes))
    )
}

impl Shop {
    /// A shop whose host takes swaps.
    pub(crate) async fn operated() -> Self {
        let store = empty_store().await;
        let options = operated(&store);
        Self::on(store, options).await
    }

    /// Runs `store-host` as an operator of this shop's host does.
    pub(crate) async fn typed(&self, args: &[&str]) -> Output {
        let (admin, token) = (self.host.admin_url(""), token_file(&self.store));
        let whom = ["--admin", &admin, "--admin-token-file", &token];
        command_line(&[args, &whom[..]].concat()).await
    }

    /// A request to the admin interface, with the token.
    pub(crate) fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, self.host.admin_url(path));
        request.bearer_auth(TOKEN)
    }

    /// Posts to the admin interface.
    pub(crate) async fn operate(&self, path: &str) -> Answer {
        send(self.admin(Method::POST, path)).await
    }

    /// Uploads a new version of a component.
    pub(crate) async fn swap(&self, component: &str, bytes: Vec<u8>) -> Answer {
        self.swap_so(component, "", bytes).await
    }

    /// Swaps the test component `guest` for the one that answers `version`, which must be accepted with 200.
    pub(crate) async fn swap_in(&self, version: &str) -> Value {
        let answer = self.swap("guest", guest(version).into_bytes()).await;
        answer.expect(200)
    }

    /// Uploads a new version, with a query.
    pub(crate) async fn swap_so(&self, component: &str, query: &str, bytes: Vec<u8>) -> Answer {
        let path = format!("/components/{component}/swap{query}");
        send(self.admin(Method::POST, &path).body(bytes)).await
    }

    /// Has `guest` tried out against the test component that answers `version`, on the terms in `query`. The trial must
    /// be accepted.
    pub(crate) async fn try_out(&self, version: &str, query: &str) -> Value {
        let bytes = guest(version).into_bytes();
        self.swap_so("guest", query, bytes).await.expect(200)
    }

    /// The same with a version `second` that behaves as `mode` says.
    pub(crate) async fn try_mode(&self, mode: &str, query: &str) {
        let bytes = guest_in_mode("second", mode);
        self.swap_so("guest", query, bytes).await.expect(200);
    }

    /// What is known of a component.
    pub(crate) async fn component(&self, id: &str) -> Value {
        let request = self.client.get(self.host.admin_url("/status"));
        let status = send(request).await.expect(200);
        let components = status["components"].as_array().unwrap();
        let found = components.iter().find(|entry| entry["component"] == id);
        found
            .unwrap_or_else(|| panic!("no `{id}` in {status}"))
            .clone()
    }

    /// The generations of a component in a state, by number.
    pub(crate) async fn generations(&self, id: &str, state: &str) -> Vec<u64> {
        let component = self.component(id).await;
        let generations = component["generations"].as_array().unwrap();
        generations
            .iter()
            .filter(|generation| generation["state"] == state)
            .map(|generation| generation["generation"].as_u64().unwrap())
            .collect()
    }

    /// What the test component answers, which is its version.
    pub(crate) async fn answer(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text
    }

    /// Waits until the test component answers so.
    pub(crate) async fn wait_for_answer(&self, path: &str, expected: &str) {
        eventually(expected, async || self.answer(path).await == expected).await;
    }

    /// How many generations of a component are gone: instances, requests and all.
    pub(crate) async fn freed(&self, component: &str) -> f64 {
        let series = "store_component_generations_freed_total";
        self.metric(&format!("{series}{{component=\"{component}\"}}"))
            .await
    }

    /// Waits until `count` generations are gone.
    pub(crate) async fn wait_freed(&self, component: &str, count: u32) {
        eventually("a generation is freed", async || {
            self.freed(component).await == f64::from(count)
        })
        .await;
    }

    /// How often a change of a component ended so.
    pub(crate) async fn attempts(&self, component: &str, result: &str) -> f64 {
        let labels = format!("{{component=\"{component}\",result=\"{result}\"}}");
        self.metric(&format!("store_component_swaps_total{labels}"))
            .await
    }
}

/// Checks that an answer is a refusal in the form of the contract, at `step`, and gives its reason.
#[track_caller]
pub(crate) fn refusal(answer: &Answer, status: u16, step: Option<&str>) -> String {
    assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    let body = answer.json();
    assert_eq!(body["status"], status);
    assert_eq!(body["error"], body["detail"]);
    assert_eq!(body.get("step").and_then(Value::as_str), step, "{body}");
    body["detail"].as_str().unwrap().to_owned()
}

/// What the test component answers after a while, longer than a test needs to change something meanwhile. A body that is
/// on its way would not do: no component has it before it is there.
pub(crate) const HELD: &str = "/sleep?8000";
