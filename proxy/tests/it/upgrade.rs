//! A new process takes the sockets over, and the old one ends.

use std::fs;
use std::path::PathBuf;

use testbed::Signal;

use crate::support::{Load, PATIENCE, Rig, Upstream, binary, eventually, get, request, shop};

#[tokio::test(flavor = "multi_thread")]
async fn upgrades_under_load_cost_no_request() {
    let upstreams = [Upstream::start().await, Upstream::start().await];
    let mut rig = Rig::with("drain_timeout = \"15s\"", "", &shop("", &upstreams)).await;
    let busy = Load::start(rig.address, 8, |n| {
        let target = format!("/{n}");
        let bytes = match n % 3 {
            0 => request("POST", &target, &[], "body"),
            _ => get(&target),
        };
        (target, bytes)
    });
    // Each request on a connection of its own: a refused one would show here.
    let fresh = Load::start(rig.address, 4, |n| {
        let target = format!("/fresh/{n}");
        let bytes = request("GET", &target, &[("connection", "close")], "");
        (target, bytes)
    });
    for round in 1..=3 {
        busy.answers(100).await;
        let successor = rig.successor(&format!("proxy-{round}")).await;
        let status = rig.proxy.process().wait_exit(PATIENCE * 2).await.unwrap();
        assert_eq!(status.code(), Some(0), "{}", rig.proxy.log());
        rig.proxy = successor;
        busy.answers(100).await;
        fresh.answers(20).await;
    }
    busy.stop().await.assert_only(&[200]);
    fresh.stop().await.assert_only(&[200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_process_finishes_what_it_began() {
    let (upstream, gate) = Upstream::holding("/held").await;
    let rig = Rig::with("drain_timeout = \"60s\"", "", &shop("", [&upstream])).await;
    let mut held = rig.client().await;
    held.send(request("POST", "/held", &[], "body")).await;
    eventually("it has arrived", async || upstream.count() == 1).await;
    let successor = rig.successor("proxy-1").await;
    assert_eq!(rig.get("/").await.status(), 200);
    gate.add_permits(1);
    assert_eq!(held.answer().await.status(), 200);
    assert_eq!(upstream.count_of("/held"), 1);
    let status = rig.proxy.process().wait_exit(PATIENCE * 4).await.unwrap();
    assert_eq!(status.code(), Some(0));
    drop(successor);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_what_is_in_flight_and_ends_with_0() {
    let upstream = Upstream::start().await;
    let gate = upstream.hold();
    let rig = Rig::start(&shop("", [&upstream])).await;
    let mut held = rig.client().await;
    held.send(get("/held")).await;
    eventually("it has arrived", async || upstream.count() == 1).await;
    rig.signal(Signal::SIGTERM);
    eventually("no new connection is served", async || {
        let Ok(mut client) = crate::support::Client::try_connect(rig.address).await else {
            return true;
        };
        client.finish().await;
        let served =
            tokio::time::timeout(std::time::Duration::from_millis(100), client.rest()).await;
        served.is_ok()
    })
    .await;
    gate.add_permits(1);
    assert_eq!(held.answer().await.status(), 200);
    let status = rig.proxy.process().wait_exit(PATIENCE * 4).await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", rig.proxy.log());
}

/// The process that `store-proxy upgrade` starts belongs to nobody: killed by the id in its file.
struct Orphan(PathBuf);

impl Orphan {
    fn id(&self) -> Option<i32> {
        fs::read_to_string(&self.0).ok()?.trim().parse().ok()
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        // By then the id in the file could be another process's.
        let ours = |id: &i32| {
            let command = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let folder = self.0.parent().unwrap().as_os_str().as_encoded_bytes();
            command.windows(folder.len()).any(|part| part == folder)
        };
        if let Some(id) = self.id().filter(ours) {
            let id = nix::unistd::Pid::from_raw(id);
            _ = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGKILL);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upgrade_command_does_it_all() {
    let upstream = Upstream::start().await;
    let rig = Rig::with("drain_timeout = \"5s\"", "", &shop("", [&upstream])).await;
    let orphan = Orphan(rig.folder.join("pid"));
    let old = i32::try_from(rig.proxy.process().id()).unwrap();
    assert_eq!(orphan.id(), Some(old));
    let load = Load::start(rig.address, 8, |n| (format!("/{n}"), get(&format!("/{n}"))));
    load.answers(100).await;
    let mut command = tokio::process::Command::new(binary());
    command.kill_on_drop(true).arg("--config").arg(rig.file());
    command
        .arg("upgrade")
        .args(["--admin", &rig.proxy.admin_url("")]);
    let log = fs::File::create(rig.folder.join("upgrade.log")).unwrap();
    // Not a pipe: the process it leaves behind would keep it open.
    command.stdout(log.try_clone().unwrap()).stderr(log);
    let status = command.status().await.unwrap();
    let said = fs::read_to_string(rig.folder.join("upgrade.log")).unwrap();
    assert!(status.success(), "{said}\n{}", rig.proxy.log());
    let status = rig.proxy.process().wait_exit(PATIENCE * 2).await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", rig.proxy.log());
    load.answers(200).await;
    load.stop().await.assert_only(&[200]);
    eventually("the new process has written its id", async || {
        orphan.id().is_some_and(|id| id != old)
    })
    .await;
}
