//! GraphQL queries and variables that are small but expensive.

use std::sync::LazyLock;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;

use super::scene::Scene;

const PATH: &str = "/stocks/graphql-query";

/// S1: an introspection whose nested lists multiply.
pub(super) async fn nested(scene: &Scene) {
    static BODY: LazyLock<String> = LazyLock::new(|| {
        let aliases: String = (0..900).map(|n| format!("a{n}:description ")).collect();
        let nested = "fields{type{ofType{ofType{".repeat(7) + &aliases + &"}".repeat(28);
        query(&format!("{{__schema{{types{{{nested}}}}}}}"))
    });
    ask(scene, &BODY).await;
}

/// The most expensive query that is accepted.
pub(super) async fn dearest(scene: &Scene) {
    static BODY: LazyLock<String> = LazyLock::new(|| {
        let alias = |n| format!("{}{n}", "a".repeat(124 - format!("{n}").len()));
        let names: String = (0..400).map(|n| format!("{}:kind ", alias(n))).collect();
        query(&format!("{{__schema{{types{{{names}}}}}}}"))
    });
    ask(scene, &BODY).await;
}

/// Many products in one query: the most expensive query for MySQL.
pub(super) async fn products(scene: &Scene) {
    static BODY: LazyLock<String> = LazyLock::new(|| {
        // Three selections each, of a thousand that are allowed.
        let products: String = (1..=330)
            .map(|n| format!("a{n}:product(id:\"{n}\"){{name quantity}} "))
            .collect();
        query(&format!("{{{products}}}"))
    });
    ask(scene, &BODY).await;
}

/// Ten thousand nesting levels.
pub(super) async fn deep(scene: &Scene) {
    static BODY: LazyLock<String> = LazyLock::new(|| query(&"{ a ".repeat(10_000)));
    ask(scene, &BODY).await;
}

/// S7: a megabyte of empty lists in the variables.
pub(super) async fn variables(scene: &Scene) {
    static BODY: LazyLock<String> = LazyLock::new(|| {
        let lists = vec!["[]"; 330_000].join(",");
        format!(r#"{{"query":"{{__typename}}","variables":{{"a":[{lists}]}}}}"#)
    });
    ask(scene, &BODY).await;
}

fn query(query: &str) -> String {
    json!({"query": query}).to_string()
}

async fn ask(scene: &Scene, body: &'static str) {
    let request = scene.request(Method::POST, PATH);
    let request = request.header(CONTENT_TYPE, "application/json").body(body);
    scene.ask(request).await;
}
