//! Completions and man pages, read by those whom they are for.

use anyhow::{Result, ensure};
use xtask::build::{HOST_PACKAGE, PROXY_PACKAGE};

use super::machine::Machine;
use super::passed;

/// The shells, what has one read a file without running it, and where a program's completions for it are.
const SHELLS: [(&str, &str, &str); 3] = [
    (
        "bash",
        "bash -n",
        "/usr/share/bash-completion/completions/@",
    ),
    ("zsh", "zsh -n", "/usr/share/zsh/vendor-completions/_@"),
    (
        "fish",
        "fish --no-execute",
        "/usr/share/fish/vendor_completions.d/@.fish",
    ),
];

/// Completes `store-host sw` as bash does when somebody presses the tab key.
const COMPLETE: &str = r#"bash -c '
. /usr/share/bash-completion/completions/store-host
answer=$(complete -p store-host | sed "s/.* -F \([^ ]*\) .*/\1/")
COMP_WORDS=(store-host sw) COMP_CWORD=1
"$answer" store-host sw store-host
echo "${COMPREPLY[*]}"'"#;

/// Renders a page and prints what is wrong with it. That a line is too long for a narrow terminal is not.
const RENDER: &str = "MANWIDTH=80 MANROFFSEQ='' man --warnings --encoding=UTF-8 --local-file -Tutf8 -Z $page 2>&1 >/dev/null | grep -v -e 'adjust line' -e 'break line'";

/// Has shells read the completions, and `man` the pages.
///
/// # Errors
/// The first thing that is not as it should be.
pub(super) fn try_them(machine: &Machine) -> Result<()> {
    let mut read_by = Vec::new();
    for (shell, read, place) in SHELLS {
        if machine.try_sh(&format!("command -v {shell}"))?.code != Some(0) {
            continue;
        }
        for program in [HOST_PACKAGE, PROXY_PACKAGE] {
            let file = place.replace('@', program);
            let said = machine.sh(&format!("{read} {file}"))?;
            ensure!(said.is_empty(), "`{read} {file}` says: {said}");
        }
        read_by.push(shell);
    }
    let completed = machine.sh(COMPLETE)?;
    ensure!(
        completed == "swap",
        "`store-host sw` is completed as `{completed}`"
    );
    if machine.try_sh("command -v man")?.code == Some(0) {
        let pages = machine.sh(&format!(
            "for page in /usr/share/man/man1/store-*.1.gz; do {RENDER} | sed \"s#^#$page: #\"; done"
        ))?;
        ensure!(pages.is_empty(), "man complains: {pages}");
        machine.sh("man --where store-host store-host-swap store-proxy >/dev/null")?;
        read_by.push("man");
    }
    passed(&format!(
        "completions and man pages are read by {}",
        read_by.join(", ")
    ));
    Ok(())
}
