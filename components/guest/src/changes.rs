//! Notes of what a transaction changed, for the refresh: should the cache not be written after the commit, the note
//! says what to mend.

use store_domain::changes::Changed;

use crate::mysql::{Connection, MysqlError, row_placeholders};

/// Most rows in one statement.
const ROWS_AT_ONCE: usize = 500;

/// Notes what `changed`, inside the transaction that changes it.
///
/// # Errors
/// If MySQL fails.
pub async fn note(connection: &Connection, changed: &[Changed]) -> Result<(), MysqlError> {
    for changed in changed.chunks(ROWS_AT_ONCE) {
        let mut parameters = Vec::with_capacity(changed.len() * 2);
        for &(entity, id) in changed {
            parameters.push(entity.name().to_owned().into());
            parameters.push(id.into());
        }
        connection
            .execute(&insert(changed.len()), parameters)
            .await?;
    }
    Ok(())
}

/// Inserts so many notes: entity and id of each.
pub fn insert(notes: usize) -> String {
    format!(
        "INSERT INTO cache_changes (entity, entity_id) VALUES {}",
        row_placeholders("(?, ?)", notes)
    )
}
