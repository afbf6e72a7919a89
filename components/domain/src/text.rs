//! Checks of texts for people: names and codes.

use crate::StoreError;

/// Checks that a text has a visible character, has no control characters (so it is one line), and is not longer than
/// its column.
///
/// # Errors
/// [`StoreError::Unacceptable`], naming the rule that the text breaks.
pub(crate) fn check(field: &str, text: &str, max_chars: usize) -> Result<(), StoreError> {
    if !text.chars().any(is_visible) {
        return Err(StoreError::Unacceptable(format!(
            "{field} must not be empty: it needs a visible character"
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(StoreError::Unacceptable(format!(
            "{field} must not have control characters"
        )));
    }
    if text.chars().count() > max_chars {
        return Err(StoreError::Unacceptable(format!(
            "{field} must have at most {max_chars} characters"
        )));
    }
    Ok(())
}

/// Whether the character is visible on its own.
pub(crate) fn is_visible(c: char) -> bool {
    !(c.is_whitespace() || c.is_control() || is_ignorable(c) || is_blank(c))
}

/// Unicode's `Default_Ignorable_Code_Point`, and the interlinear annotation marks: characters that only change how
/// other characters look. The standard library has no test for them.
fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Characters of Braille, Khitan, Egyptian and musical notation that are drawn blank, although no Unicode property says
/// so.
fn is_blank(c: char) -> bool {
    matches!(
        c,
        '\u{2800}' | '\u{16fe4}' | '\u{13441}'..='\u{13442}' | '\u{1d159}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_shows_something() {
        for text in ["A", "  A", "é", "名", "🍺", "A\u{200b}", "A\u{2800}B", "⠓"] {
            assert_eq!(check("name", text, 8), Ok(()), "{text:?}");
        }
        for text in [
            "",
            " \t\n\u{a0}\u{3000}",
            "\0",
            "\u{1}\u{7f}\u{85}",
            "\u{200b}",
            "\u{200b} \u{feff}\u{ad}",
            "\u{202e}\u{2066}",
            "\u{e0041}",
            "\u{2800}",
            "\u{2800}\u{3164} \u{1d159}\u{16fe4}\u{13441}",
            "A\0",
            "\u{7}A",
            "A\nB",
            "A\tB",
            "A\u{1b}[0m",
            "A\u{9f}",
        ] {
            assert!(check("name", text, 8).is_err(), "{text:?}");
        }
    }

    #[test]
    fn its_length_is_counted_in_characters() {
        assert_eq!(check("name", "ééé", 3), Ok(()));
        assert!(check("name", "éééé", 3).is_err());
    }
}
