//! What every package contains.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xtask::build::{HOST_PACKAGE, PROXY_PACKAGE};
use xtask::paths;

use crate::manifest::{SECRETS, without_defaults};
use crate::manual::Manual;
use crate::programs::{COMPONENTS, Programs};
use crate::release::Release;

/// The files that every package contains. They are read once and written to each package.
#[derive(Clone)]
pub(crate) struct Contents {
    pub(crate) host: Vec<u8>,
    pub(crate) proxy: Vec<u8>,
    /// The file name and the bytes of each component.
    pub(crate) components: Vec<(String, Vec<u8>)>,
    /// The app's `spin.toml`, as it is in the repository but for the defaults of secrets.
    pub(crate) manifest: String,
    pub(crate) manuals: [Manual; 2],
    pub(crate) version: String,
}

impl Contents {
    /// Reads the built files and the texts about them.
    ///
    /// # Errors
    /// If a file can't be read, or a program does not write its manual.
    pub(crate) fn gather(release: &Release, programs: &Programs) -> Result<Self> {
        let component = |(name, path): (&str, &PathBuf)| {
            let bytes = read(path)?;
            Ok((format!("{name}.wasm"), bytes))
        };
        let components = COMPONENTS.into_iter().zip(&programs.components);
        Ok(Self {
            host: read(&programs.host)?,
            proxy: read(&programs.proxy)?,
            components: components.map(component).collect::<Result<_>>()?,
            manifest: without_defaults(&text(&paths::app())?, &SECRETS)?,
            manuals: [
                Manual::of(HOST_PACKAGE, &programs.host)?,
                Manual::of(PROXY_PACKAGE, &programs.proxy)?,
            ],
            version: release.version.clone(),
        })
    }

    /// The same contents under another version.
    pub(crate) fn as_version(&self, version: &str) -> Self {
        Self {
            version: version.to_owned(),
            ..self.clone()
        }
    }
}

/// A text file of the repository, by its path there.
///
/// # Errors
/// If the file can't be read.
pub(crate) fn of_repository(path: &str) -> Result<String> {
    text(&paths::root().join(path))
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}
