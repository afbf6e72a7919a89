//! A file that holds the value of a variable.

use std::path::PathBuf;
use std::str::FromStr;

/// `NAME=FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableFile {
    /// The name of the variable, as `spin.toml` declares it.
    pub name: String,
    /// The path of the file with its value.
    pub file: PathBuf,
}

impl FromStr for VariableFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=');
        match parts.filter(|(name, file)| !name.is_empty() && !file.is_empty()) {
            Some((name, file)) => Ok(Self {
                name: name.to_owned(),
                file: file.into(),
            }),
            None => Err("write it as NAME=FILE".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_file_are_needed() {
        let read: VariableFile = "mysql_password=/run/a=b".parse().expect("both are there");
        assert_eq!(read.name, "mysql_password");
        assert_eq!(read.file, PathBuf::from("/run/a=b"));
        for text in ["name", "=file", "name="] {
            text.parse::<VariableFile>().expect_err(text);
        }
    }
}
