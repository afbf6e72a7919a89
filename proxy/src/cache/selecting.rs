//! Brings the headers that select one of several answers into a form in which headers of equal meaning are equal (RFC
//! 9111, section 4.1).

use http::header::{ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE};
use http::{HeaderMap, HeaderName};

/// Headers whose lists have no order and no case: their weights express preference.
const UNORDERED: [HeaderName; 3] = [ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE];

/// The values of a header as one list, without blanks around its commas.
pub(super) fn normal(name: &HeaderName, headers: &HeaderMap) -> Vec<u8> {
    let lines = headers.get_all(name).iter().map(|line| line.as_bytes());
    let mut items: Vec<&[u8]> = lines.flat_map(items).collect();
    if !UNORDERED.contains(name) {
        return items.join(b",".as_slice());
    }
    items.retain(|item| !item.is_empty());
    let mut items: Vec<Vec<u8>> = items.into_iter().map(without_blanks).collect();
    items.sort_unstable();
    items.dedup();
    items.join(b",".as_slice())
}

/// The parts of a line between its commas. A comma within a quoted string does not count (RFC 9110, section 5.6.4).
fn items(line: &[u8]) -> Vec<&[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = line.split(|&byte| {
        if escaped {
            escaped = false;
        } else if quoted && byte == b'\\' {
            escaped = true;
        } else if byte == b'"' {
            quoted = !quoted;
        }
        byte == b',' && !quoted
    });
    parts.map(<[u8]>::trim_ascii).collect()
}

fn without_blanks(item: &[u8]) -> Vec<u8> {
    let bytes = item.iter().filter(|byte| !byte.is_ascii_whitespace());
    bytes.map(u8::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &'static str, lines: &[&'static str]) -> String {
        let name = HeaderName::from_static(name);
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&name, line.parse().expect("a value"));
        }
        String::from_utf8(normal(&name, &headers)).expect("text")
    }

    #[test]
    fn what_means_the_same_looks_the_same() {
        for lines in [["1, 2"].as_slice(), &["1,2"], &[" 1 ,\t2 "], &["1", "2"]] {
            assert_eq!(of("foo", lines), "1,2", "{lines:?}");
        }
        for lines in [
            ["en, de;q=0.5"].as_slice(),
            &["DE; q=0.5 ,en"],
            &["de;q=0.5", "en,en"],
        ] {
            assert_eq!(of("accept-language", lines), "de;q=0.5,en", "{lines:?}");
        }
    }

    #[test]
    fn what_may_mean_something_else_stays_apart() {
        assert_ne!(of("foo", &["1, 2"]), of("foo", &["2, 1"]));
        assert_ne!(of("foo", &["a"]), of("foo", &["A"]));
        assert_ne!(of("foo", &["a b"]), of("foo", &["ab"]));
        assert_ne!(of("foo", &["\"a, b\""]), of("foo", &["\"a,b\""]));
        assert_ne!(of("foo", &["\"\\\", b\""]), of("foo", &["\"\\\",b\""]));
        assert_ne!(of("accept-language", &["en"]), of("accept-language", &[]));
    }
}
