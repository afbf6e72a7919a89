//! Prints the settings for `--check`, with every default.

use std::fmt::Write;

use super::Config;

impl Config {
    /// The settings with every default filled in, as a file that means the same.
    ///
    /// # Errors
    /// A setting that TOML can't express.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        let mut text = toml::to_string(self)?;
        for server in self.upstreams.values().flat_map(|group| &group.servers) {
            let resolved = server.resolved.to_string();
            if server.address != resolved {
                // Writing to a string never fails.
                _ = writeln!(text, "# {} is {resolved}", server.address);
            }
        }
        Ok(text)
    }
}
