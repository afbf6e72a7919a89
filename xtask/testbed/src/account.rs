//! Whom a server runs as: ourselves, but never root where that can be avoided.
//!
//! Started by root, a server runs as the owner of its folder, and a folder of root's is given to an account that owns
//! nothing else on the machine. So whoever gets into the server can neither read nor write what is not the server's.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::seat::Seat;
use crate::spawner::owned_command_at;

/// A user and a group that no one has: an account needs no name to run a process.
const NOBODY_ELSE: u32 = 61_747;

const ROOT: u32 = 0;

/// Whom one server runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// The ordinary user who runs us.
    Ours,
    /// Another user and its group, which only root can become.
    Other { user: u32, group: u32 },
    /// Root, where no other account gets to the server's folder.
    Root,
}

impl Account {
    /// The account for a server whose files are in `folder`, which is made if there is none and closed to others.
    ///
    /// # Errors
    /// When the folder can't be made or given away.
    pub(crate) fn of_server(name: &str, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        if !is_root()? {
            close(folder, 0o700)?;
            return Ok(Self::Ours);
        }
        let account = Self::owner_of(folder)?;
        // In a container, the account may not exist.
        let account = if account.take(folder).is_ok() && account.reaches(folder)? {
            account
        } else {
            let folder = folder.display();
            eprintln!("{name} runs as root: no other account gets to {folder}");
            Self::Root
        };
        close(folder, 0o700)?;
        Ok(account)
    }

    fn owner_of(folder: &Path) -> Result<Self> {
        let found = metadata(folder)?;
        Ok(match found.uid() {
            ROOT => Self::Other {
                user: NOBODY_ELSE,
                group: NOBODY_ELSE,
            },
            user => Self::Other {
                user,
                group: found.gid(),
            },
        })
    }

    /// Makes `path` the account's, with all that is in it.
    ///
    /// # Errors
    /// When something in it can't be given away.
    pub(crate) fn take(self, path: &Path) -> Result<()> {
        let Self::Other { user, group } = self else {
            return Ok(());
        };
        let found = metadata(path)?;
        if found.uid() == user {
            return Ok(());
        }
        if found.is_dir() {
            let entries =
                fs::read_dir(path).with_context(|| format!("reading {}", path.display()))?;
            for entry in entries {
                let entry = entry.with_context(|| format!("reading {}", path.display()))?;
                self.take(&entry.path())?;
            }
        }
        // Last, so that a folder which is the account's holds nothing that was forgotten.
        lchown(path, Some(user), Some(group))
            .with_context(|| format!("giving {} to another account", path.display()))
    }

    fn reaches(self, folder: &Path) -> Result<bool> {
        let mut test = self.command(&Seat::LOOPBACK, "test");
        test.arg("-w").arg(folder).stderr(Stdio::null());
        let status = test.status();
        Ok(status
            .context("running setpriv, of Debian's util-linux")?
            .success())
    }

    /// A command for `program` that runs at this seat, as this account, and dies with us.
    pub(crate) fn command(self, seat: &Seat, program: impl AsRef<OsStr>) -> Command {
        match self {
            Self::Ours | Self::Root => owned_command_at(seat, &[], program),
            Self::Other { user, group } => {
                let flags = [
                    format!("--reuid={user}"),
                    format!("--regid={group}"),
                    "--clear-groups".to_owned(),
                ];
                owned_command_at(seat, &flags, program)
            }
        }
    }
}

/// Makes `folder`, which others can't look into. Root lets the account of its servers pass through it.
///
/// # Errors
/// When it can't be made or closed.
pub fn private_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    if metadata(folder)?.uid() != ROOT {
        return close(folder, 0o700);
    }
    match chown(folder, None, Some(NOBODY_ELSE)) {
        Ok(()) => close(folder, 0o710),
        // In a container without such a group; servers will run as root.
        Err(_) => close(folder, 0o700),
    }
}

fn close(folder: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(mode))
        .with_context(|| format!("closing {} to others", folder.display()))
}

fn metadata(path: &Path) -> Result<fs::Metadata> {
    fs::symlink_metadata(path).with_context(|| format!("looking at {}", path.display()))
}

fn is_root() -> Result<bool> {
    let process = fs::metadata("/proc/self").context("looking up our own user")?;
    Ok(process.uid() == ROOT)
}
