//! No files of `proxy/src` import one another in a circle.

use std::path::Path;

use testbed::circles::circles;

#[test]
fn no_files_of_the_proxy_import_one_another_in_a_circle() {
    let src = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    assert_eq!(circles(src), [""; 0]);
}
