//! Signatures: only components that the configured key has signed are served.

use minisign_verify::{PublicKey, Signature};

use crate::instance::Source;

/// Accepts bytes that the configured key has signed, or all if no key is configured.
pub(crate) struct Trust(Option<PublicKey>);

impl Trust {
    /// Trusts the key in `setting`: the key itself, or the path of its file.
    ///
    /// # Errors
    /// The setting is neither a key nor the path of a key's file.
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

    /// Checks the signature of a component's bytes. It says nothing of which component they are meant for, or whether
    /// they are the latest.
    ///
    /// # Errors
    /// A signature is required, and there is none or a wrong one.
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
        // The form that old versions made signs the file itself, not its hash; nobody needs to make it any more.
        key.verify(&source.bytes, &signature, false)
            .map_err(|error| {
                format!("the signature is not by the required key for these bytes: {error}")
            })
    }
}
