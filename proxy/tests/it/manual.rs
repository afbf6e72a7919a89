//! The man pages and completions that the proxy writes.

use std::fs;
use std::process::Command;

use crate::support::binary;

#[test]
fn every_command_has_a_page_and_every_shell_knows_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    let written = command.arg("manual").arg(folder.path()).output().unwrap();
    assert!(written.status.success(), "{written:?}");
    let files = [
        "store-proxy.1",
        "store-proxy.bash",
        "_store-proxy",
        "store-proxy.fish",
    ];
    for name in files {
        let text = fs::read_to_string(folder.path().join(name)).unwrap();
        for command in ["drain", "healthcheck", "manual", "upgrade"] {
            assert!(text.contains(command), "no {command} in {name}");
            let page = folder.path().join(format!("store-proxy-{command}.1"));
            assert!(page.is_file(), "no {}", page.display());
        }
    }
}
