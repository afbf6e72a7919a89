//! A component that would disturb others through MySQL and Redis: the tests' own component, which does what it is told.

use reqwest::Method;

use super::rig::BACKENDS;
use super::scene::Scene;

/// S5: commands that wait, switch the connection, subscribe or listen.
pub(super) async fn commands(scene: &Scene) {
    let script = format!(
        "redis {}\ncommand BLPOP k 99999\ncommand SUBSCRIBE c\ncommand MULTI\ncommand SELECT 1\n\
         command CLIENT REPLY OFF\ncommand MONITOR\ncommand WAIT 1 0",
        scene.redis_url
    );
    ask(scene, script).await;
}

/// S6: a query that returns a gigabyte of rows.
pub(super) async fn rows(scene: &Scene) {
    const FOUR: &str = "(SELECT 0 UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3)";
    let script = format!(
        "mysql {}\nquery SELECT REPEAT('x', 4194304) FROM {FOUR} AS a, {FOUR} AS b, {FOUR} AS c, {FOUR} AS d",
        scene.mysql_url
    );
    ask(scene, script).await;
}

/// A Redis script that does not end: until Redis lets it be killed, Redis answers nobody.
pub(super) async fn script(scene: &Scene) {
    let script = format!(
        "redis {}\ncommand EVAL while\ttrue\tdo\tend 0",
        scene.redis_url
    );
    ask(scene, script).await;
}

async fn ask(scene: &Scene, script: String) {
    let request = scene.request(Method::POST, BACKENDS);
    scene.ask(request.body(script)).await;
}
