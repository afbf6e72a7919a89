//! A component that would disturb others through MySQL and Redis: the tests' own component, which does what it is told.

use std::sync::Arc;

use reqwest::Method;

use super::rig::BACKENDS;
use super::scene::Scene;

/// S5: commands that wait, switch the connection, subscribe or listen.
pub(super) async fn commands(scene: Arc<Scene>) {
    let script = format!(
        "redis {}\ncommand BLPOP k 99999\ncommand SUBSCRIBE c\ncommand MULTI\ncommand SELECT 1\n\
         command CLIENT REPLY OFF\ncommand MONITOR\ncommand WAIT 1 0",
        scene.redis_url
    );
    tell(scene, 8, script).await;
}

/// S6: a query that returns a gigabyte of rows.
pub(super) async fn rows(scene: Arc<Scene>) {
    const FOUR: &str = "(SELECT 0 UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3)";
    let script = format!(
        "mysql {}\nquery SELECT REPEAT('x', 4194304) FROM {FOUR} AS a, {FOUR} AS b, {FOUR} AS c, {FOUR} AS d",
        scene.mysql_url
    );
    tell(scene, 2, script).await;
}

/// A Redis script that does not end: until Redis lets it be killed, Redis answers nobody.
pub(super) async fn script(scene: Arc<Scene>) {
    let script = format!(
        "redis {}\ncommand EVAL while\ttrue\tdo\tend 0",
        scene.redis_url
    );
    tell(scene, 1, script).await;
}

async fn tell(scene: Arc<Scene>, attackers: usize, script: String) {
    // Leaked once per attack, so that all attackers can share it.
    let script: &'static str = script.leak();
    scene
        .crowd(attackers, move |scene| ask(scene, script))
        .await;
}

async fn ask(scene: Arc<Scene>, script: &'static str) {
    let request = scene.request(Method::POST, BACKENDS);
    scene.ask(request.body(script)).await;
}
