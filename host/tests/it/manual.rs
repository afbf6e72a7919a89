//! The man pages and completions that the host writes.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::host_binary;

fn write_manual(folder: &Path) -> Output {
    let mut command = Command::new(host_binary());
    command.arg("manual").arg(folder).output().unwrap()
}

#[test]
fn every_command_has_a_page_and_every_shell_knows_it() {
    let folder = tempfile::tempdir().unwrap();
    // A folder that is not there yet.
    let folder = folder.path().join("manual");
    let written = write_manual(&folder);
    assert!(written.status.success(), "{written:?}");
    for name in [
        "store-host.1",
        "store-host.bash",
        "_store-host",
        "store-host.fish",
    ] {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        for command in ["healthcheck", "manual", "migrate", "swap"] {
            assert!(text.contains(command), "no {command} in {name}");
            let page = folder.join(format!("store-host-{command}.1"));
            assert!(page.is_file(), "no {}", page.display());
        }
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_one_clear_line() {
    let refused = write_manual(Path::new("/dev/null/manual"));
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    for part in [
        "store-host: can't write /dev/null/manual: ",
        "name a folder",
    ] {
        assert!(said.contains(part), "{said}");
    }
}
