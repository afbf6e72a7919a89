//! An unpacked image, in the form that container runtimes need.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The user id in the images, which belongs to nobody.
pub(super) const NOBODY: u32 = 65_532;

/// An image's files, and how to run them according to the image.
pub(super) struct Bundle {
    pub(super) root: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) program: &'static str,
    pub(super) command: Vec<String>,
    pub(super) env: Vec<String>,
}

impl Bundle {
    /// A bundle in `folder` without files yet; `config` is the image's configuration.
    ///
    /// # Errors
    /// If the folder can't be made.
    pub(super) fn new(program: &'static str, folder: &Path, config: &Value) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
        }
        let root = folder.join("rootfs");
        // The places where runtimes mount what every container has, and the folder of the proxy's files.
        for place in ["proc", "dev", "tmp", "run/store-proxy"] {
            fs::create_dir_all(root.join(place)).context("making a container's root")?;
        }
        chown(root.join("run/store-proxy"), Some(NOBODY), Some(NOBODY))
            .context("giving a folder away")?;
        let texts = |value: &Value| -> Vec<String> {
            let list = value.as_array().into_iter().flatten();
            list.filter_map(|text| Some(text.as_str()?.to_owned()))
                .collect()
        };
        Ok(Self {
            root,
            folder: folder.to_owned(),
            program,
            command: texts(&config["Entrypoint"]),
            env: texts(&config["Env"]),
        })
    }

    /// The name under which a runtime knows a container of the bundle.
    pub(super) fn id(&self, what: &str) -> String {
        format!("{}-{what}-{}", self.program, std::process::id())
    }

    /// The runtime specification (<https://github.com/opencontainers/runtime-spec>). The container uses this machine's
    /// network, because the database is there.
    pub(super) fn spec(&self, command: &[&str], settings: &[String]) -> Value {
        let env: Vec<&String> = self.env.iter().chain(settings).collect();
        let tmpfs = |place: &str| {
            json!({"destination": place, "type": "tmpfs", "source": "tmpfs",
                   "options": ["nosuid", "nodev", "noexec", format!("uid={NOBODY}"), "mode=0700"]})
        };
        json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": NOBODY, "gid": NOBODY},
                "args": command,
                "env": env,
                "cwd": "/",
                "noNewPrivileges": true,
                "capabilities": {"bounding": [], "effective": [], "permitted": []},
            },
            "root": {"path": "rootfs", "readonly": true},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                tmpfs("/run/store-proxy"),
            ],
            "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}]},
        })
    }
}
