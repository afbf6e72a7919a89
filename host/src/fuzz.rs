//! A fuzz target for the manifest.

use std::{env, fs, process};

use crate::app::Manifest;

/// Each error is one line that begins with the path of the manifest.
#[test]
fn manifest() {
    store_fuzz::target("spin-toml", |input| {
        let name = format!("store-fuzz-{}.toml", process::id());
        let path = env::temp_dir().join(name);
        fs::write(&path, input).expect("there is room for it");
        let read = Manifest::load(&path);
        fs::remove_file(&path).expect("it was written");
        if let Err(error) = read {
            let said = error.to_string();
            assert!(said.starts_with(&*path.to_string_lossy()), "{said}");
            assert!(!said.contains('\n'), "{said:?}");
        }
    });
}
