//! E-mail addresses, in the form of a mailbox of RFC 5321, section 4.1.2, with all scripts as RFC 6531 allows.
//!
//! Only sending a message can prove that an address exists. Two forms are refused: local parts in quotes and numeric
//! addresses in brackets. Real users don't have them, and they would let white space, brackets and quotes in.

use crate::text::is_visible;

/// The longest local part (before the `@`) and the longest domain (RFC 5321, section 4.5.3.1). Counted in characters,
/// as the column `users.email` counts; that column has room for both and the `@`.
const MAX_LOCAL_CHARS: usize = 64;
const MAX_DOMAIN_CHARS: usize = 255;

/// The longest label of a domain name (RFC 1035, section 2.3.4).
const MAX_LABEL_CHARS: usize = 63;

/// The characters that an atom may have besides letters and digits (RFC 5322, section 3.2.3).
const ATOM_MARKS: &str = "!#$%&'*+-/=?^_`{|}~";

/// Whether the text has the form of an address.
pub(crate) fn is_email(text: &str) -> bool {
    text.split_once('@')
        .is_some_and(|(local, domain)| is_local(local) && is_domain(domain))
}

fn is_local(text: &str) -> bool {
    let is_atom = |atom: &str| {
        !atom.is_empty() && atom.chars().all(|c| is_letter(c) || ATOM_MARKS.contains(c))
    };
    text.chars().count() <= MAX_LOCAL_CHARS && text.split('.').all(is_atom)
}

fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=MAX_LABEL_CHARS).contains(&label.chars().count())
            && label.chars().all(|c| is_letter(c) || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.chars().count() <= MAX_DOMAIN_CHARS && text.split('.').all(is_label)
}

/// An ASCII letter or digit, or any visible character outside ASCII.
fn is_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || (!c.is_ascii() && is_visible(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_accepted() {
        let longest = format!("{}@{}.b", "x".repeat(64), "y".repeat(63));
        for email in [
            "a@b",
            "ada@example.com",
            "first.last+tag@sub.example.co",
            "o'neill_{x}@example.com",
            "straße@exämple.de",
            "🍺@x.y",
            "a@1-2.3",
            &longest,
        ] {
            assert!(is_email(email), "{email}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long_local = format!("{}@b", "x".repeat(65));
        let long_label = format!("a@{}", "x".repeat(64));
        let long_domain = format!("a@{}b", "x.".repeat(128));
        for email in [
            "",
            "ada",
            "@",
            "@b",
            "a@",
            "a@b@c",
            "a b@c",
            "a\n@b",
            "a@b\0",
            "<x>@b",
            "Ada <a@b>",
            "\"a\"@b",
            "a,b@c",
            "a@b..c",
            "a@.b",
            "a@b.",
            ".a@b",
            "a.@b",
            "a..b@c",
            "a@-b",
            "a@b-",
            "a@b_c",
            "a@[127.0.0.1]",
            "a\u{200b}@b",
            "a@b\u{202e}",
            &long_local,
            &long_label,
            &long_domain,
        ] {
            assert!(!is_email(email), "{email:?}");
        }
    }
}
