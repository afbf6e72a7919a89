//! The TLS settings in an address, as Spin and its drivers spell them.

use url::Url;

use crate::config::TlsMode;

/// The parameters that a mysql:// address may have, which all concern TLS. Components may not set the server's address,
/// files, buffers or time limits in parameters; `socket`, for example, would bypass `allowed_outbound_hosts`.
const MYSQL_PARAMETERS: [&str; 5] = [
    "ssl-mode",
    "require_ssl",
    "verify_ca",
    "verify_identity",
    "built_in_roots",
];

/// The values of `ssl-mode`. Spin reads each one but the first as "check the certificate and its name", and so does
/// this host.
const SSL_MODES: [&str; 5] = [
    "DISABLED",
    "PREFERRED",
    "REQUIRED",
    "VERIFY_CA",
    "VERIFY_IDENTITY",
];

/// The fragment that a rediss:// address may have: the server's certificate is not checked.
const INSECURE: &str = "insecure";

/// The TLS settings of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AddressTls {
    pub(super) mode: TlsMode,
    /// Whether the authorities that browsers trust are trusted, if the settings name no others.
    pub(super) built_in_roots: bool,
}

impl AddressTls {
    /// Reads the TLS settings of a mysql:// address.
    ///
    /// # Errors
    /// Names the wrong parameter, and says what is allowed.
    pub(super) fn of_mysql(url: &Url) -> Result<Self, String> {
        if url.fragment().is_some() {
            return Err("the mysql:// address has a `#`; write it as %23".into());
        }
        let mut mode = TlsMode::Off;
        let [
            mut require_ssl,
            mut verify_ca,
            mut verify_identity,
            mut built_in_roots,
        ] = [false, true, true, true];
        for (name, value) in url.query_pairs() {
            match name.as_ref() {
                "require_ssl" => require_ssl = flag(&name, &value)?,
                "verify_ca" => verify_ca = flag(&name, &value)?,
                "verify_identity" => verify_identity = flag(&name, &value)?,
                "built_in_roots" => built_in_roots = flag(&name, &value)?,
                // Spin accepts both spellings, in upper or lower case.
                other if ["ssl-mode", "sslmode"].contains(&&*other.to_ascii_lowercase()) => {
                    mode = ssl_mode(&value)?;
                }
                _ => return Err(not_allowed(&name, "mysql", &MYSQL_PARAMETERS.join(", "))),
            }
        }
        let driver = match (require_ssl, verify_ca, verify_identity) {
            (false, ..) => TlsMode::Off,
            (true, false, _) => TlsMode::Require,
            (true, true, false) => TlsMode::VerifyCa,
            (true, true, true) => TlsMode::VerifyFull,
        };
        Ok(Self {
            mode: mode.max(driver),
            built_in_roots,
        })
    }

    /// Reads the TLS settings of a redis:// or rediss:// address.
    ///
    /// # Errors
    /// The address has a parameter, or an unknown fragment.
    pub(super) fn of_redis(url: &Url) -> Result<Self, String> {
        let scheme = url.scheme();
        if let Some((name, _)) = url.query_pairs().next() {
            return Err(not_allowed(&name, scheme, "none"));
        }
        let mode = match (scheme, url.fragment()) {
            ("rediss", None) => TlsMode::VerifyFull,
            ("rediss", Some(INSECURE)) => TlsMode::Require,
            (_, None) => TlsMode::Off,
            _ => {
                return Err(format!(
                    "the {scheme}:// address has a `#`; write it as %23"
                ));
            }
        };
        Ok(Self {
            mode,
            built_in_roots: true,
        })
    }
}

fn flag(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("the parameter `{name}` must be true or false")),
    }
}

fn ssl_mode(value: &str) -> Result<TlsMode, String> {
    let value = value.to_ascii_uppercase();
    match SSL_MODES.iter().position(|mode| *mode == value) {
        Some(0) => Ok(TlsMode::Off),
        Some(_) => Ok(TlsMode::VerifyFull),
        None => Err(format!(
            "the parameter `ssl-mode` must be one of {}",
            SSL_MODES.join(", ")
        )),
    }
}

fn not_allowed(name: &str, scheme: &str, allowed: &str) -> String {
    format!("the parameter `{name}` of the {scheme}:// address is not allowed; allowed: {allowed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(address: &str) -> Result<TlsMode, String> {
        let url = Url::parse(address).expect("a URL");
        AddressTls::of_mysql(&url).map(|asked| asked.mode)
    }

    #[test]
    fn mysql_is_asked_as_spin_and_the_driver_spell_it() {
        for (parameters, expected) in [
            ("", TlsMode::Off),
            ("?ssl-mode=DISABLED", TlsMode::Off),
            ("?sslMode=verify_ca", TlsMode::VerifyFull),
            ("?SSL-MODE=Required", TlsMode::VerifyFull),
            ("?require_ssl=true", TlsMode::VerifyFull),
            ("?require_ssl=true&verify_identity=false", TlsMode::VerifyCa),
            ("?require_ssl=true&verify_ca=false", TlsMode::Require),
            ("?verify_ca=true", TlsMode::Off),
        ] {
            let address = format!("mysql://db/store{parameters}");
            assert_eq!(mode(&address), Ok(expected), "{address}");
        }
        for parameters in ["?ssl-mode=maybe", "?require_ssl=1", "?socket=x", "#x"] {
            let address = format!("mysql://db/store{parameters}");
            mode(&address).expect_err(&address);
        }
    }
}
