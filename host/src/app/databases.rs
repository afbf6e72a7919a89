//! Finds the databases that `store-host migrate` migrates, without loading the app.

use std::collections::BTreeSet;
use std::path::Path;

use super::manifest::Manifest;
use super::plan::AppError;
use super::values::Values;
use crate::config::VariableFile;
use crate::outbound::{Backend, Kind};

/// The addresses of the databases that need the store's tables. They are the MySQL addresses among the variables of
/// components with `needs_migrations`, in the manifest at `app`, with the same settings that a serving host reads.
///
/// # Errors
/// The manifest or a variable is wrong, or no component with `needs_migrations` names a database.
pub fn databases(app: &Path, files: &[VariableFile]) -> Result<Vec<String>, AppError> {
    let manifest = Manifest::load(app)?;
    let wrong = |reason| AppError::Value {
        path: manifest.path.clone(),
        reason,
    };
    let values = Values::read(&manifest, files).map_err(wrong)?;
    let mut found = BTreeSet::new();
    let components = manifest.components.iter();
    for (id, entry) in components.filter(|(_, entry)| entry.needs_migrations) {
        let own = values.of_component(id, entry).map_err(wrong)?;
        let named = own.into_iter();
        for (name, address) in named.filter(|(_, value)| Kind::of(value) == Some(Kind::Mysql)) {
            Backend::parse(&address, Kind::Mysql)
                .map_err(|reason| wrong(format!("`component.{id}.variables.{name}`: {reason}")))?;
            found.insert(address);
        }
    }
    if found.is_empty() {
        return Err(wrong(
            "no component with `needs_migrations` names a database: give one with --mysql-url"
                .into(),
        ));
    }
    Ok(found.into_iter().collect())
}
