//! The files of the console's page, from `page/`. They are built into the program, and the page loads nothing from
//! elsewhere.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use sha2::{Digest, Sha256};

use super::reply::Reply;

/// Allows scripts and styles from our own files only, and data from this listener only. With trusted types, no text can
/// become markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// A file of the page.
#[derive(Debug)]
pub struct File {
    path: &'static str,
    media_type: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file of `page/` with the path at which it is served.
macro_rules! file {
    ($path:literal, $name:literal, $media_type:expr) => {
        File {
            path: $path,
            media_type: $media_type,
            text: include_str!(concat!("page/", $name)),
        }
    };
}

static FILES: &[File] = &[
    file!("/console", "index.html", HTML),
    file!("/console/tokens.css", "tokens.css", CSS),
    file!("/console/base.css", "base.css", CSS),
    file!("/console/style.css", "style.css", CSS),
    file!("/console/icon.svg", "icon.svg", SVG),
    file!("/console/app.js", "app.js", SCRIPT),
    file!("/console/admin.js", "admin.js", SCRIPT),
    file!("/console/build.js", "build.js", SCRIPT),
    file!("/console/canary.js", "canary.js", SCRIPT),
    file!("/console/chart.js", "chart.js", SCRIPT),
    file!("/console/compared.js", "compared.js", SCRIPT),
    file!("/console/components.js", "components.js", SCRIPT),
    file!("/console/fate.js", "fate.js", SCRIPT),
    file!("/console/fleet.js", "fleet.js", SCRIPT),
    file!("/console/format.js", "format.js", SCRIPT),
    file!("/console/log.js", "log.js", SCRIPT),
    file!("/console/overview.js", "overview.js", SCRIPT),
    file!("/console/requests.js", "requests.js", SCRIPT),
    file!("/console/support.js", "support.js", SCRIPT),
    file!("/console/swap.js", "swap.js", SCRIPT),
    file!("/console/token.js", "token.js", SCRIPT),
    file!("/console/upstreams.js", "upstreams.js", SCRIPT),
];

impl File {
    pub(super) fn at(path: &str) -> Option<&'static Self> {
        FILES.iter().find(|file| file.path == path)
    }

    /// The file, or 304 if the browser already has it. Browsers keep the file but ask each time, as a new program has a
    /// new page.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Reply {
        let tag = self.tag();
        let mut known = headers.get_all(IF_NONE_MATCH).iter();
        let is_known = known.any(|known| known.to_str().is_ok_and(|known| known.contains(&tag)));
        let mut answer = Response::new(match is_known {
            true => Bytes::new(),
            false => Bytes::from_static(self.text.as_bytes()),
        });
        if is_known {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
        }
        for (name, value) in [
            (CONTENT_TYPE, self.media_type),
            (CACHE_CONTROL, "no-cache"),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (
                HeaderName::from_static("cross-origin-opener-policy"),
                "same-origin",
            ),
            (
                HeaderName::from_static("cross-origin-resource-policy"),
                "same-origin",
            ),
        ] {
            let value = HeaderValue::from_static(value);
            answer.headers_mut().insert(name, value);
        }
        if let Ok(tag) = HeaderValue::try_from(tag) {
            answer.headers_mut().insert(ETAG, tag);
        }
        answer
    }

    fn tag(&self) -> String {
        let digest = Sha256::digest(self.text.as_bytes());
        let digits: String = digest[..12]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("\"{digits}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Most bytes of the whole page.
    const MOST: usize = 200 * 1024;

    #[test]
    fn the_page_is_small() {
        let bytes: usize = FILES.iter().map(|file| file.text.len()).sum();
        assert!(bytes <= MOST, "{bytes} bytes");
    }

    #[test]
    fn the_page_runs_and_loads_only_what_is_served_beside_it() {
        assert!(!POLICY.contains("unsafe") && !POLICY.contains("http"));
        for file in FILES {
            for elsewhere in [
                "<style",
                " style=",
                " onclick",
                "javascript:",
                "innerHTML",
                "eval(",
            ] {
                assert!(
                    !file.text.contains(elsewhere),
                    "{elsewhere} in {}",
                    file.path
                );
            }
            let quoted = file.text.split(['"', '\'']);
            for quoted in quoted.filter(|text| text.starts_with("./") && text.ends_with(".js")) {
                let path = quoted.replacen('.', "/console", 1);
                assert!(File::at(&path).is_some(), "{path}, of {}", file.path);
            }
            let quoted = file.text.split(['"', '\'']);
            for path in quoted.filter(|text| text.starts_with("/console/")) {
                assert!(File::at(path).is_some(), "{path}, of {}", file.path);
            }
        }
    }

    /// The lab's page has the first two as well.
    #[test]
    fn the_page_has_its_three_sheets_in_order_and_none_repeats_another() {
        let page = File::at("/console").expect("the page");
        let sheets = ["tokens.css", "base.css", "style.css"];
        let places = sheets.map(|sheet| page.text.find(&format!("href=\"/console/{sheet}\"")));
        // A later rule goes before an earlier one.
        assert!(places[0].is_some() && places.is_sorted(), "{places:?}");
        let rules = |sheet: &str| {
            let file = File::at(&format!("/console/{sheet}")).expect("a sheet");
            let rules = file.text.lines().map(str::trim);
            rules.filter(|line| line.contains('{') && !line.starts_with('@'))
        };
        for shared in rules("base.css") {
            assert!(rules("style.css").all(|own| own != shared), "{shared}");
        }
    }

    /// Whoever has a browser that is too old is told so before anything else runs.
    #[test]
    fn the_first_module_is_the_one_that_looks_at_the_browser() {
        let app = File::at("/console/app.js").expect("the first script").text;
        let mut imports = app.lines().filter(|line| line.starts_with("import "));
        assert_eq!(imports.next(), Some("import \"./support.js\";"));
        let support = File::at("/console/support.js").expect("a script").text;
        assert!(!support.contains("\nimport "), "it needs no other");
    }

    #[test]
    fn a_browser_that_has_it_gets_it_once() {
        let file = File::at("/console").expect("the page");
        let first = file.answer(&HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[CONTENT_SECURITY_POLICY], POLICY);
        let again = HeaderMap::from_iter([(IF_NONE_MATCH, first.headers()[ETAG].clone())]);
        let second = file.answer(&again);
        assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
        assert!(second.body().is_empty());
    }
}
