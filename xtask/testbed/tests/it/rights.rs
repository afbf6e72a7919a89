//! What those who get into the servers of `cargo xtask up` may do, and whom these run as.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use mysql_async::prelude::{FromValue, Queryable};
use mysql_async::{Conn, Opts, OptsBuilder};
use tempfile::TempDir;
use testbed::{
    MariaDb, MariaDbOptions, Process, Purpose, RedisOptions, RedisServer, private_folder,
};

/// As `.store/`.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    private_folder(folder.path()).unwrap();
    folder
}

async fn mariadb(folder: &Path, purpose: Purpose) -> MariaDb {
    let options = MariaDbOptions::new(folder.join("mariadb"), folder.join("mariadb.log"), purpose);
    MariaDb::start(options).await.unwrap()
}

async fn connect(url: &str) -> mysql_async::Result<Conn> {
    let opts = OptsBuilder::from_opts(Opts::from_url(url).unwrap()).prefer_socket(false);
    Conn::new(opts).await
}

async fn one<T: FromValue + Send + 'static>(
    conn: &mut Conn,
    query: &str,
) -> mysql_async::Result<T> {
    Ok(conn.query_first(query).await?.unwrap())
}

fn code(error: &mysql_async::Error) -> u16 {
    match error {
        mysql_async::Error::Server(error) => error.code,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn who_is_let_in_has_the_store_s_database_and_nothing_else() {
    let folder = folder();
    let mariadb = mariadb(folder.path(), Purpose::Keeping).await;
    let guessed = format!("mysql://store:store@127.0.0.1:{}/store", mariadb.port());
    let refused = connect(&guessed).await.unwrap_err();
    assert_eq!(code(&refused), 1045);

    let mut conn = connect(&mariadb.store_url()).await.unwrap();
    conn.query_drop("CREATE TABLE kept (id INT)").await.unwrap();
    let read: Option<String> = one(&mut conn, "SELECT LOAD_FILE('/etc/passwd')")
        .await
        .unwrap();
    assert_eq!(read, None);
    for (statement, refusal) in [
        ("SELECT 1 INTO OUTFILE '/tmp/store-outfile'", 1227),
        ("LOAD DATA INFILE '/etc/passwd' INTO TABLE kept", 1045),
        ("LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE kept", 4166),
        ("CREATE DATABASE other", 1044),
        ("SELECT * FROM mysql.user", 1142),
        ("SET GLOBAL max_connections = 1", 1227),
        ("CREATE USER mallory", 1227),
        ("GRANT SELECT ON store.* TO 'root'@'localhost'", 1044),
    ] {
        let refused = conn.query_drop(statement).await.expect_err(statement);
        assert_eq!(code(&refused), refusal, "{statement}: {refused}");
    }
    let files: String = one(&mut conn, "SELECT @@secure_file_priv").await.unwrap();
    assert_eq!(files, "/dev/null/");
}

#[tokio::test]
async fn a_store_of_before_keeps_its_data_and_loses_its_open_door() {
    let folder = folder();
    let mut server = mariadb(folder.path(), Purpose::Testing).await;
    let mut conn = connect(&server.url("store")).await.unwrap();
    for statement in [
        "CREATE TABLE kept (id INT)",
        "INSERT INTO kept VALUES (7)",
        "CREATE OR REPLACE USER 'store'@'%' IDENTIFIED BY 'store'",
        "GRANT ALL PRIVILEGES ON *.* TO 'store'@'%' WITH GRANT OPTION",
    ] {
        conn.query_drop(statement).await.unwrap();
    }
    server.stop().await.unwrap();
    drop(server);
    fs::remove_file(folder.path().join("mariadb/password")).unwrap();
    if is_root() {
        let mut chown = Command::new("chown");
        chown.args(["-R", "0:0"]).arg(folder.path());
        assert!(chown.status().unwrap().success());
        private_folder(folder.path()).unwrap();
    }

    let server = mariadb(folder.path(), Purpose::Keeping).await;
    let mut conn = connect(&server.store_url()).await.unwrap();
    let kept: i64 = one(&mut conn, "SELECT id FROM kept").await.unwrap();
    assert_eq!(kept, 7);
    let rights: Vec<String> = conn.query("SHOW GRANTS").await.unwrap();
    assert!(rights[0].starts_with("GRANT USAGE ON *.*"), "{rights:?}");
    let all = "GRANT ALL PRIVILEGES ON `store`.* TO `store`@`%`";
    assert_eq!(rights[1..], [all]);
    let guessed = format!("mysql://store:store@127.0.0.1:{}/store", server.port());
    assert_eq!(code(&connect(&guessed).await.unwrap_err()), 1045);
}

#[tokio::test]
async fn passwords_and_data_are_closed_to_others() {
    let folder = folder();
    let mariadb = mariadb(folder.path(), Purpose::Keeping).await;
    let mode = |path: &str| {
        let found = fs::metadata(folder.path().join(path)).unwrap();
        found.permissions().mode() & 0o777
    };
    assert_eq!(mode("mariadb"), 0o700);
    assert_eq!(mode("mariadb/password"), 0o600);
    // Root lets the account that its servers run as pass through to their folders.
    assert_eq!(mode(""), if is_root() { 0o710 } else { 0o700 });
    // It had the password for the server to read.
    assert!(!folder.path().join("mariadb/init.sql").exists());
    let pid = mariadb.process().unwrap().id();
    let flags = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    let url = mariadb.store_url();
    let password = url.split([':', '@']).nth(2).unwrap();
    assert!(!flags.contains(password));
}

#[tokio::test]
async fn redis_lets_in_who_knows_its_password() {
    let folder = folder();
    let options = RedisOptions {
        without: &["CONFIG"],
        ..RedisOptions::new(folder.path().join("redis"), folder.path().join("redis.log"))
    };
    let redis = RedisServer::start_with_password(options).await.unwrap();
    let ping = async |url: String| {
        let mut connection = redis::Client::open(url)?
            .get_multiplexed_async_connection()
            .await?;
        redis::cmd("PING")
            .query_async::<String>(&mut connection)
            .await
    };
    assert_eq!(ping(redis.url()).await.unwrap(), "PONG");
    assert_user_may_not_govern(&redis).await;
    let without = format!("redis://127.0.0.1:{}", redis.port());
    let refused = ping(without).await.unwrap_err().to_string();
    assert!(
        refused.contains("NOAUTH") || refused.contains("Authentication"),
        "{refused}"
    );
    assert!(!folder.path().join("redis/password.conf").exists());
}

/// The user of a server with a password reads and writes, also by scripts, and ends scripts; and no more.
async fn assert_user_may_not_govern(redis: &RedisServer) {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut eval = async |call: &str| {
        let script = format!("return redis.call({call})");
        let mut eval = redis::cmd("EVAL");
        eval.arg(script).arg(0).exec_async(&mut connection).await
    };
    for call in [
        "'FLUSHALL'",
        "'FLUSHDB'",
        "'SWAPDB', 0, 1",
        "'KEYS', '*'",
        "'SORT', 'a'",
        "'COPY', 'a', 'b'",
        "'MOVE', 'a', 1",
        "'SELECT', 1",
        "'RESTORE', 'a', 0, 'x'",
    ] {
        let refused = eval(call).await.expect_err(call).to_string();
        assert!(refused.contains("can't run this command"), "{refused}");
    }
    for call in ["'SET', 'a', 'b'", "'INFO', 'server'", "'PUBLISH', 'a', 'b'"] {
        eval(call).await.expect(call);
    }
    let mut kill = redis::cmd("SCRIPT");
    let told = kill.arg("KILL").exec_async(&mut connection).await;
    let told = told.expect_err("no script runs");
    assert_eq!(told.code(), Some("NOTBUSY"), "{told}");
}

#[tokio::test]
async fn what_redis_does_not_know_a_script_can_t_call_either() {
    let folder = folder();
    let options = RedisOptions {
        without: &["FLUSHALL", "FLUSHDB", "KEYS", "SWAPDB"],
        ..RedisOptions::new(folder.path().join("redis"), folder.path().join("redis.log"))
    };
    let redis = RedisServer::start(options).await.unwrap();
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("SET")
        .arg("a")
        .arg("b")
        .exec_async(&mut connection)
        .await
        .unwrap();
    for call in ["'FLUSHALL'", "'FLUSHDB'", "'SWAPDB', 0, 1", "'KEYS', '*'"] {
        let script = format!("return redis.call({call})");
        let mut eval = redis::cmd("EVAL");
        let outcome = eval.arg(script).arg(0).exec_async(&mut connection).await;
        outcome.expect_err(call);
    }
    let kept: u64 = redis::cmd("DBSIZE")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn a_full_redis_refuses_writes_and_drops_nothing() {
    let folder = folder();
    let options = RedisOptions {
        max_memory_mib: Some(8),
        ..RedisOptions::new(folder.path().join("redis"), folder.path().join("redis.log"))
    };
    let redis = RedisServer::start(options).await.unwrap();
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let value = "x".repeat(1024 * 1024);
    let mut written = 0_u64;
    let refused = loop {
        let mut set = redis::cmd("SET");
        set.arg(written).arg(&value);
        match set.exec_async(&mut connection).await {
            Ok(()) => written += 1,
            Err(error) => break error.to_string(),
        }
        assert!(written < 16, "it takes more than it may");
    };
    assert!(refused.contains("OOM"), "{refused}");
    assert!(written > 0);
    let kept: u64 = redis::cmd("DBSIZE")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(kept, written);
}

#[tokio::test]
async fn no_server_runs_as_root() {
    let folder = folder();
    let mariadb = mariadb(folder.path(), Purpose::Keeping).await;
    let redis = RedisServer::start(RedisOptions::new(
        folder.path().join("redis"),
        folder.path().join("redis.log"),
    ))
    .await
    .unwrap();
    for process in [mariadb.process(), redis.process()] {
        let process = process.unwrap();
        assert_ne!(user_of(process), 0, "{}", process.name());
    }
}

fn user_of(process: &Process) -> u32 {
    let found = fs::metadata(format!("/proc/{}", process.id()));
    found.unwrap().uid()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}
