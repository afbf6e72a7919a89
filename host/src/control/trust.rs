//! Signatures: with a configured key, only components that this key has signed are served.

use minisign_verify::{PublicKey, Signature};

use crate::instance::Source;

/// Accepts bytes that the configured key has signed, or all bytes if no key is configured.
pub(crate) struct Trust(Option<PublicKey>);

impl Trust {
    /// Makes a `Trust` in the key that `setting` is, or whose file it names. Without a setting, all bytes are accepted.
    ///
    /// # Errors
    /// The setting is neither a key nor the path of a key file.
    pub(crate) fn new(setting: Option<&str>) -> Result<Self, String> {
        let Some(setting) = setting else {
            return Ok(Self(None));
        };
        let key = match PublicKey::from_base64(setting.trim()) {
            Ok(key) => key,
            Err(_) => PublicKey::from_file(setting).map_err(|error| {
                format!(
                    "--require-signature {setting}: neither a minisign public key nor the file of one: {error}"
                )
            })?,
        };
        Ok(Self(Some(key)))
    }

    /// Checks the signature of a component's bytes. A signature does not say which component the bytes are for, or
    /// whether they are the latest version.
    ///
    /// # Errors
    /// A signature is required, and it is missing or wrong.
    pub(crate) fn check(&self, source: &Source) -> Result<(), String> {
        let Some(key) = &self.0 else {
            return Ok(());
        };
        let text = source
            .signature
            .as_deref()
            .ok_or("this host accepts signed components only, and this has no signature")?;
        let signature = Signature::decode(text)
            .map_err(|error| format!("the signature is not in minisign's form: {error}"))?;
        // Signatures of the legacy form, over the file itself instead of its hash, are refused: current tools no longer
        // make them.
        key.verify(&source.bytes, &signature, false)
            .map_err(|error| {
                format!("the signature is not by the required key for these bytes: {error}")
            })
    }
}
