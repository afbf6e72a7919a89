//! No files import one another in a circle: neither those of `host/src`, nor those of `server/src`, which the proxy uses
//! too.

use std::path::Path;

use testbed::circles::circles;

#[test]
fn no_files_of_the_host_import_one_another_in_a_circle() {
    let src = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    assert_eq!(circles(src), [""; 0]);
}

#[test]
fn no_files_of_what_both_servers_share_import_one_another_in_a_circle() {
    let src = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../server/src"));
    assert_eq!(circles(src), [""; 0]);
}
