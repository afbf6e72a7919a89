//! Images for container engines, made of our own files only: an OCI layout in a tarball
//! (<https://specs.opencontainers.org/image-spec/>), for `skopeo copy` and `ctr image import --base-name`. The layout
//! holds only a tag. `podman load` would take that for the name.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use oci_spec::image::{
    Arch, ConfigBuilder, Descriptor, HistoryBuilder, ImageConfigurationBuilder, ImageIndexBuilder,
    ImageManifestBuilder, MediaType, OciLayoutBuilder, Os, RootFsBuilder, Sha256Digest,
};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::contents::{Contents, of_repository};
use crate::files::{DATA, Files, PROGRAM, gzip};
use crate::manifest::with_components_in;
use crate::release::Release;

/// The user and group that the programs run as. No other file belongs to them.
const USER: &str = "65532:65532";

/// The `/etc/passwd` for programs that look up their user's name.
const PASSWD: &str = "nobody:x:65532:65532:nobody:/:/sbin/nologin\n";

/// The parts of one image.
pub(crate) struct Image {
    pub(crate) name: &'static str,
    files: Files,
    /// Environment variables, as `NAME=value`.
    env: Vec<&'static str>,
    command: Vec<&'static str>,
    ports: Vec<&'static str>,
}

/// Writes both images to the folder `out`, and returns their paths.
///
/// # Errors
/// If an image can't be written.
pub(crate) fn write(contents: &Contents, release: &Release, out: &Path) -> Result<Vec<PathBuf>> {
    [host(contents), proxy(contents)?]
        .into_iter()
        .map(|image| {
            let path = out.join(format!("{}-{}.oci.tar", image.name, contents.version));
            let layout = layout(&image, contents, release)?;
            // The archive itself is not compressed, because its contents are.
            let archive = layout.tar("", release.epoch)?;
            fs::write(&path, archive).with_context(|| format!("writing {}", path.display()))?;
            Ok(path)
        })
        .collect()
}

fn host(contents: &Contents) -> Image {
    let mut files = Files::default();
    files.add("usr/bin/store-host", PROGRAM, contents.host.as_slice());
    for (name, bytes) in &contents.components {
        files.add(format!("app/{name}"), DATA, bytes.as_slice());
    }
    files.add(
        "app/spin.toml",
        DATA,
        with_components_in(&contents.manifest, ""),
    );
    files.add("etc/passwd", DATA, PASSWD);
    Image {
        name: "store-host",
        files,
        env: vec![
            "STORE_HOST_APP=/app/spin.toml",
            "STORE_HOST_LISTEN=0.0.0.0:5000",
            "STORE_HOST_LOG_FORMAT=json",
            "STORE_HOST_STATE_FOLDER=none",
        ],
        command: vec!["/usr/bin/store-host"],
        ports: vec!["5000/tcp"],
    }
}

fn proxy(contents: &Contents) -> Result<Image> {
    let mut files = Files::default();
    files.add("usr/bin/store-proxy", PROGRAM, contents.proxy.as_slice());
    let settings = of_repository("deploy/image/store-proxy.toml")?;
    files.add("etc/store-proxy/store-proxy.toml", DATA, settings);
    files.add("etc/passwd", DATA, PASSWD);
    Ok(Image {
        name: "store-proxy",
        files,
        env: vec![
            "STORE_PROXY_CONFIG=/etc/store-proxy/store-proxy.toml",
            "STORE_PROXY_LOG_FORMAT=json",
        ],
        command: vec!["/usr/bin/store-proxy"],
        ports: vec!["8080/tcp"],
    })
}

/// The files of the layout: blobs by their digest, and the index that leads to them.
fn layout(image: &Image, contents: &Contents, release: &Release) -> Result<Files> {
    let mut blobs = Blobs::default();
    let plain = image.files.tar("", release.epoch)?;
    let layer = blobs.add(MediaType::ImageLayerGzip, gzip(&plain)?)?;
    let config = config(image, contents, release, &sha256(&plain))?;
    let config = blobs.add_json(MediaType::ImageConfig, &config)?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageManifest)
        .config(config)
        .layers(vec![layer])
        .build()?;
    let mut manifest = blobs.add_json(MediaType::ImageManifest, &manifest)?;
    let name = ("org.opencontainers.image.ref.name", &contents.version);
    manifest.set_annotations(Some(HashMap::from([(name.0.to_owned(), name.1.clone())])));
    let index = ImageIndexBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageIndex)
        .manifests(vec![manifest])
        .build()?;
    let mark = OciLayoutBuilder::default()
        .image_layout_version("1.0.0")
        .build()?;
    let mut files = blobs.0;
    files.add("index.json", DATA, serde_json::to_vec(&index)?);
    files.add("oci-layout", DATA, serde_json::to_vec(&mark)?);
    Ok(files)
}

fn config(image: &Image, contents: &Contents, release: &Release, layer: &str) -> Result<Value> {
    let owned = |texts: &[&str]| {
        texts
            .iter()
            .map(|&text| text.to_owned())
            .collect::<Vec<_>>()
    };
    let created = release.time();
    let labels = [
        ("org.opencontainers.image.title", image.name),
        ("org.opencontainers.image.version", &contents.version),
        ("org.opencontainers.image.licenses", "Apache-2.0 OR MIT"),
    ];
    let run = ConfigBuilder::default()
        .user(USER)
        .env(owned(&image.env))
        .entrypoint(owned(&image.command))
        .exposed_ports(owned(&image.ports))
        .working_dir("/")
        .labels(
            labels
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into_iter()
                .collect::<HashMap<_, _>>(),
        )
        .stop_signal("SIGTERM")
        .build()?;
    let history = HistoryBuilder::default()
        .created(created.clone())
        .created_by("cargo xtask package")
        .build()?;
    let layers = RootFsBuilder::default()
        .typ("layers")
        .diff_ids(vec![format!("sha256:{layer}")])
        .build()?;
    let whole = ImageConfigurationBuilder::default()
        .created(created)
        .architecture(Arch::Amd64)
        .os(Os::Linux)
        .config(run)
        .rootfs(layers)
        .history(vec![history])
        .build()?;
    let mut whole = serde_json::to_value(whole)?;
    // The health check is an extension of Docker and podman, which the specification allows. Times are in nanoseconds.
    whole["config"]["Healthcheck"] = json!({
        "Test": ["CMD", image.command[0], "healthcheck"],
        "Interval": 10_000_000_000_u64,
        "Timeout": 5_000_000_000_u64,
        "StartPeriod": 60_000_000_000_u64,
        "Retries": 3,
    });
    Ok(whole)
}

/// Blobs, addressed by the digest of their bytes.
#[derive(Default)]
struct Blobs(Files);

impl Blobs {
    fn add(&mut self, media_type: MediaType, bytes: Vec<u8>) -> Result<Descriptor> {
        let digest = sha256(&bytes);
        let descriptor = Descriptor::new(
            media_type,
            bytes.len() as u64,
            digest.parse::<Sha256Digest>()?,
        );
        self.0.add(format!("blobs/sha256/{digest}"), DATA, bytes);
        Ok(descriptor)
    }

    fn add_json(&mut self, media_type: MediaType, value: &impl Serialize) -> Result<Descriptor> {
        // Converted to a value first, because that sorts the keys: labels would otherwise come in random order.
        let value = serde_json::to_value(value)?;
        self.add(media_type, serde_json::to_vec(&value)?)
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
