//! The charting library, plotly.js, as the crate `plotly` carries it.
//!
//! Packed, because it is 4.6 MB of text: the page's script unpacks it with the browser's own `DecompressionStream`.

use std::io::Write;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use plotly::Plot;

/// How the library's own text begins.
const BEGINNING: &str = "plotly.js v";

/// gzip, then base64.
pub(super) fn packed() -> Result<String> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(source()?.as_bytes())
        .context("packing the charting library")?;
    let packed = gzip.finish().context("packing the charting library")?;
    Ok(STANDARD.encode(packed))
}

/// The crate gives two scripts in their tags: the library, and another for formulas, of which there are none here.
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
