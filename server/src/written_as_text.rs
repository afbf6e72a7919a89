//! A macro for types that are one text in files and answers.

/// Converts a type to a text by its `Display`, and a text to the type by its `FromStr`, whose error is a `String`: for
/// serde's `into` and `try_from`.
#[macro_export]
macro_rules! written_as_text {
    ($kind:ty) => {
        impl TryFrom<String> for $kind {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$kind> for String {
            fn from(kind: $kind) -> Self {
                kind.to_string()
            }
        }
    };
}
