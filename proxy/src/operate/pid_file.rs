//! The file that holds the process id.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file with this process's id. Dropping it removes the file, unless another process has written its own id by
/// then.
pub(crate) struct PidFile(PathBuf);

impl PidFile {
    /// Writes this process's id in one step, so that a reader finds either the previous id or this one.
    pub(crate) fn write(path: &Path) -> io::Result<Self> {
        let new = beside(path);
        fs::write(&new, format!("{}\n", std::process::id()))?;
        fs::rename(&new, path)?;
        Ok(Self(path.to_owned()))
    }
}

/// Checks that a file can be made at `path`, without changing an existing file, so that a start that would fail later
/// fails early.
pub(crate) fn check_place(path: &Path) -> io::Result<()> {
    let beside = beside(path);
    fs::write(&beside, "")?;
    fs::remove_file(&beside)
}

/// A path next to `path` that no other process uses.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    name.into()
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if read(&self.0) == Some(std::process::id()) {
            // Nothing depends on the file once the process is gone.
            _ = fs::remove_file(&self.0);
        }
    }
}

/// The id in the file; `None` if there is no file or no id in it.
pub(crate) fn read(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_id_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pid");
        let file = PidFile::write(&path).expect("writes");
        assert_eq!(read(&path), Some(std::process::id()));
        drop(file);
        assert_eq!(read(&path), None);
        let file = PidFile::write(&path).expect("writes");
        fs::write(&path, "1\n").expect("writes");
        drop(file);
        assert_eq!(read(&path), Some(1));
        check_place(&path).expect("can be written");
        assert_eq!(folder.path().read_dir().expect("lists").count(), 1);
    }
}
