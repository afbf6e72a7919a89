//! The contract as others read it: `docs/openapi.yaml` and the Postman collection are held against a running host, by
//! the tools that their readers use, and against each other.

mod documents;

use std::path::{Path, PathBuf};
use std::time::Duration;

use testbed::start_program;

use crate::support::Shop;
use documents::{Operation, collection, described, description, requested, routes};

/// Longest time for one of the tools.
const TOOL_LIMIT: Duration = Duration::from_secs(600);

/// A file of the repository.
fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A file that set-up makes.
fn tool(path: &str) -> PathBuf {
    let tool = Path::new(env!("CARGO_TARGET_TMPDIR")).join("..").join(path);
    assert!(
        tool.exists(),
        "{} is missing: run `cargo xtask setup`, or all tests by `cargo xtask test`",
        tool.display()
    );
    tool
}

/// Runs a tool in the shop's folder until it ends, which must be well.
async fn run(shop: &Shop, name: &str, program: &Path, args: &[&str]) {
    let folder = shop.store.folder();
    let log = folder.join(format!("{name}.log"));
    let mut command = vec![
        format!("--chdir={}", folder.display()),
        program.display().to_string(),
    ];
    command.extend(args.iter().map(|&arg| arg.to_owned()));
    let process = start_program(name, "env", &command, &log).unwrap();
    let status = process.wait_exit(TOOL_LIMIT).await.unwrap();
    assert!(status.success(), "{name}: {status}\n{}", process.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_openapi() {
    let python = tool("python/contract/bin/python");
    let check = std::process::Command::new(python)
        .args(["-m", "openapi_spec_validator"])
        .arg(file("docs/openapi.yaml"))
        .output()
        .unwrap();
    assert!(check.status.success(), "{check:?}");
}

/// The users, products and orders that the description's examples and `schemathesis.toml` speak of.
async fn shop_of_the_examples() -> Shop {
    let shop = Shop::open().await;
    for number in 1..=8 {
        let user = shop.user(number).await;
        let product = shop.product(49.99, 1000).await;
        assert_eq!((user, product), (i64::from(number), i64::from(number)));
        shop.order(user, product, 1).await.expect(201);
    }
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_keeps_to_its_description() {
    let schemathesis = tool("python/contract/bin/schemathesis");
    let shop = shop_of_the_examples().await;
    let args = [
        "--config-file",
        &file("docs/contract/schemathesis.toml")
            .display()
            .to_string(),
        "run",
        &file("docs/openapi.yaml").display().to_string(),
        "--url",
        &shop.host.url(""),
    ];
    run(&shop, "schemathesis", &schemathesis, &args).await;
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_collection_can_be_walked_through_twice() {
    let newman = tool("tools/newman/node_modules/newman/bin/newman.js");
    let shop = Shop::open().await;
    let base_url = format!("baseUrl={}", shop.host.url(""));
    let collection = file("docs/store-manager.postman_collection.json");
    let args = [
        &newman.display().to_string(),
        "run",
        &collection.display().to_string(),
        "--env-var",
        &base_url,
        "--color=off",
        "--timeout-request=30000",
    ];
    for _ in 0..2 {
        run(&shop, "newman", Path::new("node"), &args).await;
    }
    shop.assert_consistent().await;
}

#[test]
fn every_route_is_described() {
    let described = described(&description(&tool("python/contract/bin/python")));
    let paths: Vec<&str> = described.iter().map(|operation| &*operation.path).collect();
    let routes = routes();
    for route in &routes {
        assert!(paths.contains(&&**route), "{route} is not described");
    }
    for path in paths {
        assert!(routes.iter().any(|route| route == path), "no route {path}");
    }
}

#[test]
fn the_collection_has_every_operation() {
    let described = described(&description(&tool("python/contract/bin/python")));
    let requested = requested(&collection(), &described);
    for operation in &described {
        assert!(requested.contains(operation), "{operation:?} is missing");
    }
    let unknown: Vec<&Operation> = requested
        .iter()
        .filter(|request| described.iter().all(|known| known.path != request.path))
        .collect();
    assert_eq!(unknown.len(), 1, "only one asks for nothing: {unknown:?}");
}
