//! Prints the settings for `--check`, with every default.

use super::Config;

impl Config {
    /// The settings with every default filled in, as a file that means the same.
    ///
    /// # Errors
    /// A setting that TOML can't express.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}
