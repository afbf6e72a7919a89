//! An image unpacked, as container runtimes want it.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Nobody in particular, as the images say.
pub(super) const NOBODY: u32 = 65_532;

/// An image's files, and what it says about running them.
pub(super) struct Bundle {
    pub(super) root: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) program: &'static str,
    pub(super) command: Vec<String>,
    pub(super) env: Vec<String>,
}

impl Bundle {
    /// An empty one in `folder`, for files that `config` is about.
    ///
    /// # Errors
    /// If the folder can't be made.
    pub(super) fn new(program: &'static str, folder: &Path, config: &Value) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
        }
        let root = folder.join("rootfs");
        // Where runtimes mount what every container has, and the proxy keeps its files.
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

    /// What a runtime knows a container of it by.
    pub(super) fn id(&self, what: &str) -> String {
        format!("{}-{what}-{}", self.program, std::process::id())
    }

    /// <https://github.com/opencontainers/runtime-spec>. The network is this machine's: the database is there.
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
