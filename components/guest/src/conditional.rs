//! Conditional requests (RFC 9110, section 13): a client that already has the answer does not get it again.

use std::cell::RefCell;

use store_domain::freshness::fingerprint;

/// The entity tag of a body. The tag is weak, because a proxy that compresses the body keeps the tag.
pub(crate) fn entity_tag(body: &[u8]) -> String {
    thread_local! {
        /// The last tag with its fingerprint. Most answers with a tag are the same report as the one before.
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

/// Whether the lines of `If-None-Match` contain the tag, by weak comparison, as this header requires (RFC 9110, section
/// 13.1.2).
pub(crate) fn is_known(lines: &[Vec<u8>], tag: &[u8]) -> bool {
    let Some(tag) = opaque(tag) else {
        return false;
    };
    lines
        .iter()
        .any(|list| list.trim_ascii() == b"*" || tags(list).any(|known| known == tag))
}

/// The quoted parts of a list of tags. A quoted part may contain a comma. The list ends at the first malformed tag.
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

/// The tag at the start of the bytes, with its quotes and without `W/`.
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
