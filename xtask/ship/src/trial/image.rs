//! The images: examined by skopeo, then started by crun or runc if the machine allows it, otherwise in a chroot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::DataStore;
use xtask::programs::require_program;

use super::bundle::Bundle;
use super::container::{Container, Runner};
use super::{folder, passed};

/// The largest allowed download size of an image, in bytes.
const LARGEST: u64 = 40 * 1024 * 1024;

/// Ports on this machine that the containers use.
const HOST: &str = "127.0.0.1:15900";
const PROXY: &str = "127.0.0.1:15980";
const PROXY_ADMIN: &str = "127.0.0.1:15981";

/// Examines the two images and starts them, the proxy before the host.
///
/// # Errors
/// The first thing that is not as it should be.
pub(super) async fn try_them(host: &Path, proxy: &Path) -> Result<()> {
    let host = unpacked(host, "store-host")?;
    let proxy = unpacked(proxy, "store-proxy")?;
    let store = DataStore::start(folder().join("servers")).await?;
    let runner = Runner::of_this_machine(&host)?;
    let mut settings = vec![
        format!("STORE_HOST_LISTEN={HOST}"),
        format!("STORE_HOST_MYSQL_URL={}", store.addresses().mysql_url()),
    ];
    for (name, value) in store.addresses().variables() {
        settings.push(format!("SPIN_VARIABLE_{}={value}", name.to_uppercase()));
    }
    let migrated = runner.run_once(&host, &["/usr/bin/store-host", "migrate"], &settings)?;
    ensure!(
        migrated.contains("applied"),
        "the image's `migrate` says: {migrated}"
    );
    let serving = Container::start(runner, &host, &settings)?;
    serving.wait_until_healthy()?;

    let config = format!(
        "[server]\nadmin = \"{PROXY_ADMIN}\"\nadmin_token_file = \"/run/store-proxy/token\"\npid_file = \"/run/store-proxy/pid\"\n\
         upgrade_socket = \"/run/store-proxy/upgrade\"\n[[listen]]\naddress = \"{PROXY}\"\n[[route]]\nupstreams = \"store\"\n\
         [upstreams.store]\nservers = [{{ address = \"{HOST}\" }}]\n[upstreams.store.health]\npath = \"/readyz\"\n"
    );
    fs::write(proxy.root.join("etc/store-proxy/store-proxy.toml"), config)
        .context("writing the proxy's settings")?;
    let before = Container::start(runner, &proxy, &[])?;
    before.wait_until_healthy()?;
    let answer = reqwest::get(format!("http://{PROXY}/health-check")).await?;
    let text = answer.text().await?;
    ensure!(text.contains("ok"), "the proxy's container answers {text}");
    before.stop()?;
    serving.stop()?;
    passed(&format!(
        "the images serve, started by {runner}: as nobody, {}",
        runner.strictness()
    ));
    Ok(())
}

/// Checks the metadata of the image at `path`, and unpacks its files.
fn unpacked(path: &Path, program: &'static str) -> Result<Bundle> {
    let bytes = fs::metadata(path)
        .with_context(|| format!("looking at {}", path.display()))?
        .len();
    ensure!(bytes <= LARGEST, "{} has {bytes} bytes", path.display());
    let archive = format!("oci-archive:{}", path.display());
    let skopeo = require_program("skopeo").context("Debian's package is skopeo")?;
    let inspect = |flags: &[&str]| -> Result<Value> {
        let output = Command::new(&skopeo)
            .arg("inspect")
            .args(flags)
            .arg(&archive)
            .output();
        let output = output.context("running skopeo")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "skopeo: {}", said.trim());
        serde_json::from_slice(&output.stdout).context("what skopeo says")
    };
    let about = inspect(&[])?;
    let layers = about["Layers"].as_array().map(Vec::len);
    ensure!(
        layers == Some(1) && about["Os"] == "linux",
        "skopeo says {about}"
    );
    let config = &inspect(&["--config", "--raw"])?["config"];
    ensure!(
        config["User"] == "65532:65532",
        "it runs as {}",
        config["User"]
    );
    ensure!(
        config["Healthcheck"]["Test"][2] == "healthcheck",
        "no health check: {config}"
    );
    let copy = folder().join("images").join(program);
    let bundle = Bundle::new(program, &copy, config)?;
    layer_of(&skopeo, &archive, &bundle.root)?;
    passed(&format!(
        "{}: {:.1} MiB, one layer, as nobody, with a health check",
        path.file_name().unwrap_or_default().to_string_lossy(),
        bytes as f64 / 1_048_576.0
    ));
    Ok(bundle)
}

/// Unpacks the only layer of the image `archive` into `root`.
fn layer_of(skopeo: &Path, archive: &str, root: &Path) -> Result<()> {
    let blobs = root.with_extension("blobs");
    if blobs.exists() {
        fs::remove_dir_all(&blobs).with_context(|| format!("removing {}", blobs.display()))?;
    }
    let copied = Command::new(skopeo)
        .args(["copy", "--quiet", archive])
        .arg(format!("dir:{}", blobs.display()))
        .status();
    ensure!(
        copied.context("running skopeo")?.success(),
        "skopeo can't copy {archive}"
    );
    let manifest = fs::read(blobs.join("manifest.json")).context("reading a manifest")?;
    let manifest: Value = serde_json::from_slice(&manifest).context("a manifest")?;
    let digest = manifest["layers"][0]["digest"].as_str().unwrap_or_default();
    let layer: PathBuf = blobs.join(digest.trim_start_matches("sha256:"));
    let status = Command::new("tar")
        .arg("-xzf")
        .arg(layer)
        .arg("-C")
        .arg(root)
        .status();
    ensure!(status.context("running tar")?.success(), "tar fails");
    Ok(())
}
