//! The same `.wasm` runs under stock Spin: it imports nothing that only our host has.

use std::fs;
use std::path::Path;

use wasmparser::{Parser, Payload};

/// What Spin 4.1 offers, and we too.
const OFFERED: [&str; 4] = [
    "wasi:",
    "spin:mysql/mysql@3.0.0",
    "spin:redis/redis@3.0.0",
    "spin:variables/variables@3.0.0",
];

const LARGEST_BYTES: usize = 2 * 1024 * 1024;

fn component(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/wasm32-wasip2/release");
    fs::read(folder.join(name)).expect("the components are built by `cargo xtask build`")
}

/// Imports of the outermost component only: those inside are satisfied inside.
fn imports(bytes: &[u8]) -> Vec<String> {
    let mut depth = 0;
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.unwrap() {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                names.extend(
                    section
                        .into_iter()
                        .map(|import| import.unwrap().name.name.to_owned()),
                );
            }
            _ => {}
        }
    }
    names
}

#[test]
fn components_import_only_what_spin_offers() {
    for name in ["orders.wasm", "stocks.wasm", "reports.wasm"] {
        let imports = imports(&component(name));
        assert!(
            imports
                .iter()
                .any(|import| import.starts_with("spin:mysql/")),
            "{name}: {imports:?}"
        );
        for import in imports {
            assert!(
                OFFERED.iter().any(|offered| import.starts_with(offered)),
                "{name} imports {import}"
            );
        }
    }
}

#[test]
fn components_are_small() {
    for name in ["orders.wasm", "stocks.wasm", "reports.wasm"] {
        let bytes = component(name).len();
        assert!(bytes < LARGEST_BYTES, "{name} has {bytes} bytes");
    }
}
