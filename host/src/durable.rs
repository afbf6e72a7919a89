//! Small files that survive a crash: at any moment a file has either its complete old content or its complete new
//! content.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::de::DeserializeOwned;

/// Reads a JSON file; `None` if it does not exist.
///
/// # Errors
/// The file can't be read, or is not valid JSON of this type.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file: first under another name beside it, which then replaces it.
///
/// # Errors
/// The file can't be written. It stays as it was.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = File::create(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    path.parent().map_or(Ok(()), sync)
}

/// Writes the entries of a folder to the disk, so that a rename in it survives a crash.
///
/// # Errors
/// The disk refuses the write.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
