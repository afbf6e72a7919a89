//! `cargo xtask attack`, a second for each of a few attacks.

use crate::support::{program, run};

/// Those that are over in a second, and ask no more of a machine than other tests do.
const ATTACKS: &str = "S1.nested,S5.commands,S7,S9.lines,S12,S13,S15,S16,resets";

#[tokio::test]
async fn no_neighbour_of_an_attacker_fails_and_the_attacker_is_refused() {
    let programs = [program("store-host"), program("store-proxy")];
    let [host, proxy] = programs.map(|path| path.display().to_string());
    let what = ["attack", "--only", ATTACKS, "--through", "proxy"];
    let how = [
        "--quick",
        "--seconds",
        "1",
        "--rate",
        "50",
        "--products",
        "1000",
    ];
    let programs = ["--host", &host, "--proxy", &proxy];
    let (code, said) = run(&[&what[..], &how, &programs].concat()).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("✓ no neighbour failed"), "{said}");
}

#[tokio::test]
async fn an_attack_that_does_not_exist_is_refused() {
    let (code, said) = run(&["attack", "--only", "S99"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("there is no attack `S99`"), "{said}");
}
