//! Parses the `Forwarded` header (RFC 7239, section 4).

/// The `for` of each element of a line; `None` for an element without one. Elements and pairs may be empty, and don't
/// count (RFC 7239, section 4; RFC 9110, section 5.6.1.2). Returns `None` if the line is malformed or has no element.
#[must_use]
pub fn elements(line: &[u8]) -> Option<Vec<Option<String>>> {
    let mut rest = line.trim_ascii();
    let (mut elements, mut client, mut has_pair) = (Vec::new(), None, false);
    loop {
        if !matches!(rest.first(), None | Some(b';' | b',')) {
            let (name, after) = token(rest)?;
            let (value, after) = value(after.strip_prefix(b"=")?)?;
            if name.eq_ignore_ascii_case(b"for") && client.replace(value).is_some() {
                return None;
            }
            has_pair = true;
            rest = after.trim_ascii_start();
        }
        let end = rest.first().copied();
        if !matches!(end, None | Some(b';' | b',')) {
            return None;
        }
        if end != Some(b';') && std::mem::take(&mut has_pair) {
            elements.push(client.take());
        }
        if end.is_none() {
            return (!elements.is_empty()).then_some(elements);
        }
        rest = rest[1..].trim_ascii_start();
    }
}

fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|&byte| !crate::is_token(byte));
    let (token, rest) = text.split_at(end.unwrap_or(text.len()));
    (!token.is_empty()).then_some((token, rest))
}

/// Reads a token or a quoted string (RFC 9110, section 5.6.4). Some proxies write ports and brackets without quotes, so
/// these are accepted.
fn value(text: &[u8]) -> Option<(String, &[u8])> {
    let Some(mut rest) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| b",; \t\"".contains(byte));
        let (value, rest) = text.split_at(end.unwrap_or(text.len()));
        let value = std::str::from_utf8(value).ok()?;
        return (!value.is_empty()).then(|| (value.to_owned(), rest));
    };
    let mut value = Vec::new();
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some((String::from_utf8(value).ok()?, rest)),
            b'\\' => {
                let (&escaped, after) = rest.split_first()?;
                value.push(escaped);
                rest = after;
            }
            _ => value.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(line: &str) -> Option<Vec<Option<String>>> {
        elements(line.as_bytes())
    }

    #[test]
    fn each_element_has_its_client() {
        let some = |text: &str| Some(text.to_owned());
        for line in [
            "for=a",
            "for=a,",
            "for=a;",
            ", ,for=a",
            ";proto=http;; for=a ;",
        ] {
            assert_eq!(clients(line), Some(vec![some("a")]), "{line}");
        }
        assert_eq!(
            clients("proto=http;for=\"[::1]:80\" , by=b,For=\"a\\\"b,c;d\""),
            Some(vec![some("[::1]:80"), None, some("a\"b,c;d")])
        );
    }

    #[test]
    fn what_is_malformed_has_none() {
        for line in [
            "",
            "for",
            "for=",
            ",",
            " ; ",
            "for=a b",
            "for=\"a",
            "for=a;for=b",
            "=a",
            "for=a\"b",
        ] {
            assert_eq!(clients(line), None, "{line}");
        }
    }
}
