//! The account that a server runs as: our own account, but not root's if that can be avoided.
//!
//! If root starts a server, the server runs as the owner of its folder; a folder that root owns is first given to an
//! account that owns nothing else on the machine. So an attacker who gets into the server can neither read nor write
//! anything but the server's files.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::seat::Seat;
use crate::spawner::owned_command_at;

/// A user and group id that nobody has. To run a process, an account needs no name.
const NOBODY_ELSE: u32 = 61_747;

const ROOT: u32 = 0;

/// The account that one server runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// Our own account, which is not root's.
    Ours,
    /// Another user and its group, which only root can become.
    Other { user: u32, group: u32 },
    /// Root, if no other account can reach the server's folder.
    Root,
}

impl Account {
    /// The account for a server whose files are in `folder`. Makes the folder if it does not exist, and closes it to
    /// others.
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
        // In a container, this account may not exist.
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

    /// Gives `path`, with everything in it, to the account.
    ///
    /// # Errors
    /// When a file in it can't be given away.
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
        // The folder itself comes last: once it is the account's, everything in it is too.
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

/// Makes `folder`, which other users can't look into. If root makes it, the account of root's servers may pass through.
///
/// # Errors
/// When the folder can't be made or closed.
pub fn private_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    if metadata(folder)?.uid() != ROOT {
        return close(folder, 0o700);
    }
    match chown(folder, None, Some(NOBODY_ELSE)) {
        Ok(()) => close(folder, 0o710),
        // A container may lack this group; servers then run as root.
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
