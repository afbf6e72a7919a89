//! Conditional requests (RFC 9110, section 13): who has the answer already need not get it again.

use std::cell::RefCell;

use store_domain::freshness::fingerprint;

/// The tag of a body. Weak, as a proxy that compresses the body keeps the tag.
pub(crate) fn entity_tag(body: &[u8]) -> String {
    thread_local! {
        /// Most answers with a tag are the same report as the last one.
        static LAST: RefCell<Option<(u64, String)>> = const { RefCell::new(None) };
    }
    let fingerprint = fingerprint(body);
    LAST.with_borrow_mut(|last| match last {
        Some((tagged, tag)) if *tagged == fingerprint => tag.clone(),
        _ => {
            let tag = format!("W/\"{fingerprint:016x}\"");
            *last = Some((fingerprint, tag.clone()));
            tag
        }
    })
}

/// Whether the lines of `If-None-Match` name the tag, by the weak comparison that it asks for (RFC 9110, section
/// 13.1.2).
pub(crate) fn is_known(lines: &[Vec<u8>], tag: &[u8]) -> bool {
    let Some(tag) = opaque(tag) else {
        return false;
    };
    lines
        .iter()
        .any(|list| list.trim_ascii() == b"*" || tags(list).any(|known| known == tag))
}

/// The quoted parts of a list of tags. A comma may stand within one; what is malformed ends the list.
fn tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let start = rest
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        let tag = opaque(&rest[start..])?;
        let weak = if rest[start] == b'W' { 2 } else { 0 };
        rest = &rest[start + weak + tag.len()..];
        Some(tag)
    })
}

/// The tag that the bytes begin with, with its quotes and without `W/`.
fn opaque(bytes: &[u8]) -> Option<&[u8]> {
    let quoted = bytes.strip_prefix(b"W/").unwrap_or(bytes);
    let inner = quoted.strip_prefix(b"\"")?;
    let length = inner.iter().position(|byte| *byte == b'"')?;
    Some(&quoted[..length + 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(list: &str) -> bool {
        is_known(&[list.into()], b"W/\"a,b\"")
    }

    #[test]
    fn tags_are_compared_weakly_in_lists_of_any_form() {
        for list in [
            "\"a,b\"",
            "W/\"a,b\"",
            "*",
            " * ",
            "\"x\", W/\"a,b\"",
            "\"x\",,\t\"a,b\" , \"y\"",
        ] {
            assert!(known(list), "{list}");
        }
    }

    #[test]
    fn other_tags_and_nonsense_are_not_known() {
        for list in [
            "",
            "\"a\"",
            "\"b\"",
            "a,b",
            "w/\"a,b\"",
            "\"a,b",
            "\"x\" y, \"a,b\"",
            "\"*\"",
            "*, \"x\"",
        ] {
            assert!(!known(list), "{list}");
        }
    }

    #[test]
    fn every_line_counts() {
        assert!(!is_known(&[], b"\"a\""));
        assert!(is_known(&[b"\"x\"".into(), b"\"a\"".into()], b"\"a\""));
    }

    #[test]
    fn a_tag_tells_bodies_apart() {
        assert_eq!(entity_tag(b""), "W/\"ef46db3751d8e999\"");
        assert_eq!(entity_tag(b"[]"), entity_tag(b"[]"));
        assert_ne!(entity_tag(b"[1]"), entity_tag(b"[2]"));
    }
}
