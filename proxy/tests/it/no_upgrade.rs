//! Upgrades that do not happen: the running process serves on.

use testbed::{Proxy, ProxyOptions, Signal};

use crate::support::{PATIENCE, Rig, Upstream, binary, eventually, shop};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_that_fails_leaves_the_old_one_serving() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let file = rig.file();
    let file = file.to_str().unwrap();
    for (binary, why) in [
        ("/bin/false", "ended"),
        ("/nonexistent", "can't be started"),
    ] {
        let arguments = ["upgrade", "--config", file, "--binary", binary];
        let output = rig.control(&arguments).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(why), "{said}");
    }
    rig.write("[upstream.shop]\n");
    let output = rig.control(&["upgrade", "--config", file]).await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(rig.get("/").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_hand_over_to_nobody_it_serves_on() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    rig.signal(Signal::SIGQUIT);
    eventually("it says so", async || {
        rig.proxy.log().contains("serving on")
    })
    .await;
    assert_eq!(rig.get("/").await.status(), 200);
    // And is able to end, and to be told, as before.
    rig.signal(Signal::SIGTERM);
    let status = rig.proxy.process().wait_exit(PATIENCE).await.unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_to_which_nobody_hands_over_says_so_and_leaves_nothing_behind() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let options = ProxyOptions {
        name: "proxy-1".to_owned(),
        args: vec!["--upgrade".to_owned()],
        ..ProxyOptions::new(binary(), rig.file())
    };
    let (status, said) = Proxy::run_to_end(&options, PATIENCE).await.unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("No process handed over its sockets"),
        "{said}"
    );
    assert_eq!(rig.get("/").await.status(), 200);
    let left = rig.folder.read_dir().unwrap().filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        (name.starts_with("pid.") || name.starts_with("upgrade")).then_some(name)
    });
    assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new());
}
