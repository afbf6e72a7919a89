//! Nothing that the testbed starts outlives the process that started it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use testbed::{RedisOptions, RedisServer};

/// Tells [`owner_of_a_server`] where to write its server's process id.
const PID_FILE: &str = "TESTBED_PID_FILE";

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_server_is_gone_after_its_owner_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let mut owner = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "ownership::owner_of_a_server",
            "--ignored",
            "--nocapture",
        ])
        .env(PID_FILE, &pid_file)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid = wait_for(|| {
        fs::read_to_string(&pid_file)
            .ok()
            .filter(|text| text.ends_with('\n'))
    });
    let process = Path::new("/proc").join(pid.trim());
    assert!(process.exists(), "the server runs while its owner does");
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_for(|| (!process.exists()).then_some(()));
}

#[tokio::test]
#[ignore = "plays the owner in the test above, which kills it"]
async fn owner_of_a_server() {
    let pid_file = PathBuf::from(env::var_os(PID_FILE).unwrap());
    let folder = pid_file.parent().unwrap().to_owned();
    let options = RedisOptions::new(&folder, folder.join("redis.log"));
    let redis = RedisServer::start(options).await.unwrap();
    fs::write(&pid_file, format!("{}\n", redis.process().unwrap().id())).unwrap();
    tokio::time::sleep(LIMIT).await;
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {LIMIT:?}");
        thread::sleep(Duration::from_millis(10));
    }
}
