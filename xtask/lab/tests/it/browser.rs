//! A page as Chromium shows it, without a window.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;
use xtask::programs::find_program;

use crate::support::{PATIENCE, folder};

/// How it is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Viewport {
    /// Of the window, in CSS pixels.
    pub(crate) width: u32,
    /// What the person prefers.
    pub(crate) dark: bool,
}

/// Opened in a frame, because a window can't be as narrow as a phone. Says what became of the page, and nothing else.
const FRAME: &str = r#"<!DOCTYPE html><html><body style="margin:0">
<iframe id="page" src="report.html" style="border:0;height:900px;width:WIDTHpx"></iframe>
<script>
const frame = document.getElementById("page");
function seen() {
  const root = frame.contentDocument.documentElement;
  if (root.dataset.chartsDrawn === undefined) { setTimeout(seen, 50); return; }
  const figures = [...root.querySelectorAll("figure.chart")];
  const shapes = figure => figure.querySelectorAll(".plot svg .trace path, .plot svg .trace .point").length;
  const result = {
    error: root.dataset.scriptError ?? null,
    failed: root.dataset.chartsFailed,
    figures: figures.length,
    empty: figures.filter(figure => shapes(figure) === 0).map(figure => figure.id),
    wider_than_screen: root.scrollWidth > frame.contentWindow.innerWidth,
    requests: frame.contentWindow.performance.getEntriesByType("resource").length,
    dark: frame.contentWindow.matchMedia("(prefers-color-scheme: dark)").matches,
  };
  document.body.replaceChildren(`SEEN${JSON.stringify(result)}SEEN`);
}
frame.addEventListener("load", seen);
</script></body></html>"#;

/// Opens a page, and says what is to be seen: see [`FRAME`].
pub(crate) async fn look(page: &Path, how: Viewport) -> Value {
    let folder = folder();
    fs::copy(page, folder.join("report.html")).unwrap();
    let frame = folder.join("frame.html");
    fs::write(&frame, FRAME.replace("WIDTH", &how.width.to_string())).unwrap();
    let chromium = find_program("chromium").expect("install it: cargo xtask setup");
    let mut command = Command::new(chromium);
    command
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
        ])
        .args(["--no-first-run", "--disable-background-networking"])
        .args([
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
        ])
        // The frame may look into the page: both are files.
        .args([
            "--allow-file-access-from-files",
            "--dump-dom",
            "--virtual-time-budget=60000",
        ])
        .arg(format!(
            "--user-data-dir={}",
            folder.join("profile").display()
        ))
        .arg(format!("--window-size={},900", how.width))
        // 0 is dark, 1 is light.
        .arg(format!(
            "--blink-settings=preferredColorScheme={}",
            u8::from(!how.dark)
        ))
        .arg(format!("file://{}", frame.display()))
        .kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let seen = text.split("SEEN").nth(1);
    let seen = seen.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    serde_json::from_str(seen).unwrap()
}
