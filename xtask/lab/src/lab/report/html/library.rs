//! The charting library, plotly.js, from the crate `plotly`.
//!
//! It is compressed, because it is 4.6 MB of text; the page's script decompresses it with the browser's own
//! `DecompressionStream`.

use std::io::Write;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use plotly::Plot;

/// The start of the library's text.
const BEGINNING: &str = "plotly.js v";

/// The library, compressed with gzip and encoded as base64.
pub(super) fn packed() -> Result<String> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(source()?.as_bytes())
        .context("packing the charting library")?;
    let packed = gzip.finish().context("packing the charting library")?;
    Ok(STANDARD.encode(packed))
}

/// The library's text. The crate returns two scripts in their tags: the library, and one for formulas, which the report
/// doesn't use.
fn source() -> Result<String> {
    let scripts = Plot::offline_js_sources();
    let script = scripts.split("</script>").find_map(|script| {
        let (_, text) = script.split_once('>')?;
        let head: String = text.chars().take(200).collect();
        head.contains(BEGINNING).then(|| text.to_owned())
    });
    script.context("the crate plotly carries no plotly.js")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_whole_and_alone() {
        let source = source().expect("there");
        assert!(source.len() > 3_000_000, "{}", source.len());
        assert!(!source.contains("MathJax = {"));
    }
}
