//! The files of a package before it is written: the same files in the same order on every machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

/// The mode of executable files, and of folders.
pub(crate) const PROGRAM: u32 = 0o755;
/// The mode of other files.
pub(crate) const DATA: u32 = 0o644;

/// Files by their path within the package. A path begins without a slash.
#[derive(Clone, Default)]
pub(crate) struct Files(BTreeMap<String, File>);

#[derive(Clone)]
struct File {
    mode: u32,
    bytes: Vec<u8>,
}

impl Files {
    /// Adds a file, or replaces it.
    pub(crate) fn add(&mut self, path: impl Into<String>, mode: u32, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.0.insert(path.into(), File { mode, bytes });
    }

    /// Adds bytes to the end of a file.
    ///
    /// # Errors
    /// If there is no such file.
    pub(crate) fn append(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let file = self.0.get_mut(path);
        let file = file.with_context(|| format!("there is no {path} in the package"))?;
        file.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The size of all files on disk, in KiB.
    pub(crate) fn kibibytes(&self) -> u64 {
        let sizes = self.0.values().map(|file| file.bytes.len() as u64);
        sizes.map(|bytes| bytes.div_ceil(1024)).sum()
    }

    /// Writes the files below `folder`, which is emptied first. The modes do not depend on this process's umask.
    ///
    /// # Errors
    /// If a file can't be written.
    pub(crate) fn unfold(&self, folder: &Path) -> Result<()> {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
        }
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        for (path, file) in &self.0 {
            let path = folder.join(path);
            let parent = path.parent().unwrap_or(folder);
            let write = || {
                fs::create_dir_all(parent)?;
                fs::write(&path, &file.bytes)?;
                fs::set_permissions(&path, fs::Permissions::from_mode(file.mode))
            };
            write().with_context(|| format!("writing {}", path.display()))?;
        }
        open_folders(folder).with_context(|| format!("setting modes in {}", folder.display()))
    }

    /// A tar archive of the files below `prefix`, which is empty or ends with a slash. Root owns every file, and all
    /// have the time `epoch`, in Unix seconds.
    ///
    /// # Errors
    /// If a path is too long for tar.
    pub(crate) fn tar(&self, prefix: &str, epoch: u64) -> Result<Vec<u8>> {
        let mut archive = Builder::new(Vec::new());
        let mut folders = Vec::new();
        for (path, file) in &self.0 {
            let path = format!("{prefix}{path}");
            for (end, _) in path.match_indices('/') {
                let folder = &path[..=end];
                if !folders.iter().any(|known| known == folder) {
                    folders.push(folder.to_owned());
                    let mut header = header(EntryType::Directory, PROGRAM, epoch);
                    archive.append_data(&mut header, folder, io::empty())?;
                }
            }
            let mut header = header(EntryType::Regular, file.mode, epoch);
            header.set_size(file.bytes.len() as u64);
            archive.append_data(&mut header, &path, file.bytes.as_slice())?;
        }
        archive.into_inner().context("ending an archive")
    }
}

/// Gives `folder` and all folders in it the mode that they have in a package. dpkg-deb takes modes from the file
/// system, where a folder has what the umask has left of them.
fn open_folders(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(PROGRAM))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_folders(&entry.path())?;
        }
    }
    Ok(())
}

fn header(kind: EntryType, mode: u32, epoch: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(epoch);
    header.set_size(0);
    header
}

/// Compresses the bytes, without the name and time of a file, so that the result is reproducible.
///
/// # Errors
/// If compressing fails, which in memory is not expected.
pub(crate) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut writer = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    writer.write_all(bytes)?;
    writer.finish().context("compressing")
}

#[cfg(test)]
mod tests {
    use xtask::paths;

    use super::*;

    #[test]
    fn an_archive_holds_each_folder_once_and_says_nothing_of_this_machine() {
        let mut files = Files::default();
        files.add("b/two", PROGRAM, "2");
        files.add("b/one", DATA, "1");
        let archive = files.tar("x/", 7).expect("in memory");
        let mut read = tar::Archive::new(archive.as_slice());
        let found: Vec<_> = read
            .entries()
            .expect("an archive")
            .map(|entry| {
                let entry = entry.expect("an entry");
                let header = entry.header();
                assert_eq!(header.mtime().ok(), Some(7));
                assert_eq!((header.uid().ok(), header.gid().ok()), (Some(0), Some(0)));
                let path = entry.path().expect("a path").display().to_string();
                (path, header.mode().expect("a mode"))
            })
            .collect();
        let expected = [
            ("x/", 0o755),
            ("x/b/", 0o755),
            ("x/b/one", 0o644),
            ("x/b/two", 0o755),
        ];
        assert_eq!(found, expected.map(|(path, mode)| (path.to_owned(), mode)));
        assert_eq!(gzip(&archive).ok(), gzip(&archive).ok());
    }

    fn mode(path: &Path) -> u32 {
        let metadata = fs::metadata(path).expect("it exists");
        metadata.permissions().mode() & 0o7777
    }

    /// The umask belongs to the whole process, so the test gives folders the modes that umasks leave.
    #[test]
    fn folders_have_one_mode_whatever_the_umask() {
        let folder = paths::target().join(format!("tmp/ship-modes-{}", std::process::id()));
        let mut files = Files::default();
        files.add("DEBIAN/control", DATA, "Package: x");
        files.add("usr/bin/x", PROGRAM, "x");
        files.unfold(&folder).expect("it is writable");
        let places = ["", "DEBIAN", "usr", "usr/bin"].map(|place| folder.join(place));
        for umask in [0o002, 0o077] {
            for place in &places {
                let left = fs::Permissions::from_mode(0o777 & !umask);
                fs::set_permissions(place, left).expect("it is ours");
            }
            open_folders(&folder).expect("they are ours");
            for place in &places {
                assert_eq!(mode(place), 0o755, "{} under {umask:o}", place.display());
            }
        }
        assert_eq!(mode(&folder.join("usr/bin/x")), 0o755);
        assert_eq!(mode(&folder.join("DEBIAN/control")), 0o644);
        fs::remove_dir_all(&folder).expect("it is ours");
    }
}
