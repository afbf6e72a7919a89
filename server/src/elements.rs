//! Parses the `Forwarded` header (RFC 7239, section 4).

/// The `for` of each element of a line; `None` for an element without one. Returns `None` if the line is malformed.
#[must_use]
pub fn elements(line: &[u8]) -> Option<Vec<Option<String>>> {
    let mut rest = line.trim_ascii();
    let (mut elements, mut client) = (Vec::new(), None);
    loop {
        let name;
        (name, rest) = token(rest)?;
        let value;
        (value, rest) = self::value(rest.strip_prefix(b"=")?)?;
        if name.eq_ignore_ascii_case(b"for") && client.replace(value).is_some() {
            return None;
        }
        rest = rest.trim_ascii_start();
        match rest.split_first() {
            None => {
                elements.push(client);
                return Some(elements);
            }
            Some((b';', _)) => {}
            Some((b',', _)) => elements.push(client.take()),
            Some(_) => return None,
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
        assert_eq!(clients("for=a"), Some(vec![some("a")]));
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
            "for=a,",
            "for=a;",
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
