//! Paths: their parts, and the ids in them.

use store_domain::StoreError;

/// A path's segments: `/orders/7` is `["orders", "7"]`, and so is `/orders/7/`, because hosts route both the same way.
/// Two slashes have an empty segment between them, which no route has.
pub fn segments(path: &str) -> Vec<&str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.strip_suffix('/').unwrap_or(path).split('/').collect()
}

/// Parses the id in a path: a positive 64-bit integer in the form in which the store writes it.
///
/// # Errors
/// [`StoreError::NotFound`] for anything else, since nothing has such an id.
pub fn parse_id(text: &str) -> Result<i64, StoreError> {
    let canonical = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| canonical)
        .ok_or_else(|| StoreError::NotFound("an id is a positive whole number".into()))
}

/// Decodes needless percent-encoding: letters, digits and `-._~` stand for themselves (RFC 3986, section 6.2.2.2), so
/// `/orders/%31` becomes `/orders/1`. All other encoded characters stay encoded, above all `%2F`.
pub(crate) fn decode_unreserved(path: String) -> String {
    if !path.contains('%') {
        return path;
    }
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path.as_str();
    while let Some(percent) = rest.find('%') {
        let (before, encoded) = rest.split_at(percent);
        decoded.push_str(before);
        match unreserved(encoded) {
            Some(plain) => {
                decoded.push(plain);
                rest = &encoded[3..];
            }
            None => {
                decoded.push('%');
                rest = &encoded[1..];
            }
        }
    }
    decoded.push_str(rest);
    decoded
}

/// The unreserved character (RFC 3986, section 2.3) whose encoding is at the start of the text.
fn unreserved(encoded: &str) -> Option<char> {
    let digit = |at: usize| char::from(*encoded.as_bytes().get(at)?).to_digit(16);
    let plain = char::from_u32(digit(1)? * 16 + digit(2)?)?;
    (plain.is_ascii_alphanumeric() || "-._~".contains(plain)).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_its_parts() {
        assert_eq!(segments("/orders/7"), ["orders", "7"]);
        assert_eq!(segments("/orders/"), ["orders"]);
        assert_eq!(segments("/"), [""]);
        assert_eq!(segments("//orders/7"), ["", "orders", "7"]);
        assert_eq!(segments("/orders//7"), ["orders", "", "7"]);
        assert_eq!(segments("/orders/7//"), ["orders", "7", ""]);
    }

    #[test]
    fn an_id_is_a_positive_integer() {
        assert_eq!(parse_id("7"), Ok(7));
        assert_eq!(parse_id("9223372036854775807"), Ok(i64::MAX));
        for text in [
            "",
            "0",
            "-1",
            "+1",
            "07",
            "1.0",
            "x",
            "9223372036854775808",
            "%31",
        ] {
            assert!(parse_id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_what_needs_no_encoding_is_decoded() {
        for (path, decoded) in [
            ("/orders/7", "/orders/7"),
            ("/orders/%31", "/orders/1"),
            ("/%6f%72ders/%31%32", "/orders/12"),
            ("/%6F%72ders", "/orders"),
            ("/a%2Fb", "/a%2Fb"),
            ("/%2E%2E/%7e", "/../~"),
            ("/%25%33%31", "/%2531"),
            ("/%", "/%"),
            ("/%3", "/%3"),
            ("/%3é", "/%3é"),
            ("/%é1", "/%é1"),
            ("/%zz%+1%00%80", "/%zz%+1%00%80"),
        ] {
            assert_eq!(decode_unreserved(path.into()), decoded, "{path}");
        }
    }
}
