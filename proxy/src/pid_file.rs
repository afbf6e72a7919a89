//! The file that holds the process id.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file that is written, but not in its place yet.
pub(crate) struct Prepared {
    new: PathBuf,
    path: PathBuf,
}

/// Removed on drop, unless another process has taken its place by then.
pub(crate) struct PidFile(PathBuf);

impl PidFile {
    /// Writes it beside its place: what can fail fails before anything is begun.
    pub(crate) fn prepare(path: &Path) -> io::Result<Prepared> {
        let mut new = path.as_os_str().to_owned();
        new.push(format!(".{}", std::process::id()));
        fs::write(&new, format!("{}\n", std::process::id()))?;
        Ok(Prepared {
            new: new.into(),
            path: path.to_owned(),
        })
    }
}

impl Prepared {
    /// Replaces whatever is there in one step: a reader finds one id or the other.
    pub(crate) fn publish(self) -> io::Result<PidFile> {
        fs::rename(&self.new, &self.path)?;
        Ok(PidFile(self.path.clone()))
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // It is not there any more once it is in its place.
        _ = fs::remove_file(&self.new);
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if read(&self.0) == Some(std::process::id()) {
            // Nothing depends on it once the process is gone.
            _ = fs::remove_file(&self.0);
        }
    }
}

/// The id in the file; none if there is none.
pub(crate) fn read(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(path: &Path) -> PidFile {
        let prepared = PidFile::prepare(path).expect("writes");
        prepared.publish().expect("renames")
    }

    #[test]
    fn only_our_own_id_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pid");
        let file = publish(&path);
        assert_eq!(read(&path), Some(std::process::id()));
        drop(file);
        assert_eq!(read(&path), None);
        let file = publish(&path);
        fs::write(&path, "1\n").expect("writes");
        drop(file);
        assert_eq!(read(&path), Some(1));
        drop(PidFile::prepare(&path));
        assert_eq!(folder.path().read_dir().expect("lists").count(), 1);
    }
}
