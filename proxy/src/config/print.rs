//! Prints the settings for `--check`, with every default.

use super::Config;

impl Config {
    /// The settings as the text of a file, with all defaults filled in.
    ///
    /// # Errors
    /// A setting that TOML can't express.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}
