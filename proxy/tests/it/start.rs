//! The command line, and what stops a start.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Output};

use testbed::{Proxy, ProxyOptions};

use crate::support::{NameServer, PATIENCE, binary, eventually, folder, group};

/// The exit status of a proxy that finds a port taken.
pub(crate) const PORT_TAKEN: i32 = 4;

/// An address that was free just now. Another test may get it first.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn written(text: &str) -> PathBuf {
    let file = folder().join("store-proxy.toml");
    std::fs::write(&file, text).unwrap();
    file
}

fn check(text: &str) -> Output {
    let mut command = Command::new(binary());
    command.arg("--check").arg("--config").arg(written(text));
    command.output().unwrap()
}

fn good() -> String {
    group("shop", "", ["{ address = \"127.0.0.1:5000\" }".to_owned()])
}

#[test]
fn a_check_prints_what_was_understood_with_defaults() {
    let output = check(&good());
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in [
        "127.0.0.1:5000",
        "127.0.0.1:8080",
        "127.0.0.1:8081",
        "round_robin",
        "header_timeout",
    ] {
        assert!(said.contains(part), "no {part} in {said}");
    }
}

#[test]
fn errors_name_the_line_and_the_key_and_what_was_meant() {
    let cases: [(String, &[&str]); 9] = [
        (
            good().replace("servers", "serverz"),
            &["serverz", "servers", ":3"],
        ),
        (
            format!("[limits]\nheader_size = 1\n{}", good()),
            &["header_size", ":2"],
        ),
        (
            format!("[limits]\nheader_timeout = \"soon\"\n{}", good()),
            &["header_timeout", ":2"],
        ),
        (format!("[limitz]\n{}", good()), &["limitz", "limits", ":1"]),
        (
            group(
                "shop",
                "policy = \"round_robbin\"",
                ["{ address = \"127.0.0.1:5000\" }".into()],
            ),
            &["round_robbin", "round_robin"],
        ),
        (
            group("shop", "", ["{ address = \"127.0.0.1:0\" }".into()]),
            &["port 0", ":3"],
        ),
        (group("shop", "", []), &["shop"]),
        (
            format!(
                "[[route]]\npath_prefix = \"/a\"\nupstreams = \"shoop\"\n{}",
                good()
            ),
            &["shoop", "shop"],
        ),
        ("[server\n".into(), &[":1"]),
    ];
    for (text, parts) in cases {
        let output = check(&text);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}\n{said}");
        for part in parts {
            assert!(said.contains(part), "no {part} in {said} for\n{text}");
        }
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    }
}

#[test]
fn a_missing_file_and_an_unknown_flag_are_2() {
    let missing = folder().join("none.toml");
    let output = Command::new(binary())
        .arg("--config")
        .arg(&missing)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("none.toml"), "{said}");
    let output = Command::new(binary())
        .arg("--no-such-flag")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}

/// The documented example is what an operator begins with.
#[test]
fn the_example_is_accepted() {
    let example = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("store-proxy.example.toml");
    let mut command = Command::new(binary());
    let output = command
        .arg("--check")
        .arg("--config")
        .arg(example)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Nothing else reads them here: the trial of the images puts a file of its own in the place of the first, and there is
/// no cluster for the second.
#[tokio::test(flavor = "multi_thread")]
async fn the_settings_of_image_and_manifests_are_accepted() {
    // Their upstreams are names. It knows none of them, and answers at once, which the machine's name servers may not.
    let dns = NameServer::start().await.unwrap();
    let deploy = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    for (file, upstream) in [
        ("image/store-proxy.toml", "store-host-0:5000"),
        ("kubernetes/base/store-proxy.toml", "store-hosts:5000"),
        ("debian/store-proxy.toml", "127.0.0.1:5000"),
    ] {
        let text = std::fs::read_to_string(deploy.join(file)).unwrap();
        let resolver = format!("\n[resolver]\nservers = [\"{}\"]\n", dns.address());
        let output = check(&(text + &resolver));
        assert!(output.status.success(), "{file}: {output:?}");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        for part in ["/run/store-proxy/upgrade", upstream] {
            assert!(said.contains(part), "{file}: no {part} in {said}");
        }
    }
}

#[tokio::test]
async fn a_taken_port_is_one_clear_line_and_4() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (taken, address)).unwrap();
    for is_admin in [false, true] {
        // Another test may get the free one first.
        eventually("the taken one is named", async || {
            let free = free_address();
            let (listen, admin) = if is_admin {
                (free, taken.1)
            } else {
                (taken.1, free)
            };
            let config = format!(
                "[server]\nadmin = \"{admin}\"\n[[listen]]\naddress = \"{listen}\"\n{}",
                good()
            );
            let options = ProxyOptions::new(binary(), written(&config));
            let (status, said) = Proxy::run_to_end(&options, PATIENCE).await.unwrap();
            assert_eq!(status.code(), Some(PORT_TAKEN), "{said}");
            assert!(!said.contains("panicked"), "{said}");
            said.contains(&taken.1.to_string())
        })
        .await;
    }
}
