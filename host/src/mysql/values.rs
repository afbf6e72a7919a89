//! Converts between MySQL's types and those of `spin:mysql`, with the same mapping as Spin's own host.

use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_async::{IoError, Params, Row, Value};

use crate::instance::NoRoom;
use crate::instance::bindings::spin::mysql::mysql::{
    Column, DbDataType, DbValue, Error, ParameterValue,
};

/// The number of the character set that marks bytes instead of text.
const BINARY_CHARACTER_SET: u16 = 63;

/// The memory, in bytes, that a value takes beside its content.
const VALUE_BYTES: usize = size_of::<DbValue>();

/// The parameters of a statement.
pub(super) fn params(values: Vec<ParameterValue>) -> Params {
    if values.is_empty() {
        return Params::Empty;
    }
    Params::Positional(values.into_iter().map(parameter).collect())
}

/// Approximately how many bytes of memory the parameters of a statement take.
pub(super) fn parameters_weight(values: &[ParameterValue]) -> usize {
    let content = |value: &ParameterValue| match value {
        ParameterValue::Str(text) => text.len(),
        ParameterValue::Binary(bytes) => bytes.len(),
        _ => 0,
    };
    values
        .iter()
        .map(|value| VALUE_BYTES + content(value))
        .sum()
}

/// Approximately how many bytes of memory a row takes.
pub(super) fn row_weight(row: &Row) -> usize {
    let content = |column| match row.as_ref(column) {
        Some(Value::Bytes(bytes)) => bytes.len(),
        _ => 0,
    };
    (0..row.len())
        .map(|column| VALUE_BYTES + content(column))
        .sum()
}

fn parameter(value: ParameterValue) -> Value {
    match value {
        ParameterValue::Boolean(v) => v.into(),
        ParameterValue::Int8(v) => v.into(),
        ParameterValue::Int16(v) => v.into(),
        ParameterValue::Int32(v) => v.into(),
        ParameterValue::Int64(v) => v.into(),
        ParameterValue::Uint8(v) => v.into(),
        ParameterValue::Uint16(v) => v.into(),
        ParameterValue::Uint32(v) => v.into(),
        ParameterValue::Uint64(v) => v.into(),
        ParameterValue::Floating32(v) => v.into(),
        ParameterValue::Floating64(v) => v.into(),
        ParameterValue::Str(v) => v.into(),
        ParameterValue::Binary(v) => v.into(),
        ParameterValue::DbNull => Value::NULL,
    }
}

/// The columns of a result.
pub(super) fn columns(columns: &[mysql_async::Column]) -> Vec<Column> {
    columns
        .iter()
        .map(|column| Column {
            name: column.name_str().into_owned(),
            data_type: data_type(column),
        })
        .collect()
}

fn data_type(column: &mysql_async::Column) -> DbDataType {
    use ColumnType::*;
    let unsigned = column.flags().contains(ColumnFlags::UNSIGNED_FLAG);
    let sized = |signed, other| if unsigned { other } else { signed };
    let bytes = column.character_set() == BINARY_CHARACTER_SET;
    match column.column_type() {
        MYSQL_TYPE_TINY => sized(DbDataType::Int8, DbDataType::Uint8),
        MYSQL_TYPE_SHORT => sized(DbDataType::Int16, DbDataType::Uint16),
        MYSQL_TYPE_LONG | MYSQL_TYPE_INT24 => sized(DbDataType::Int32, DbDataType::Uint32),
        MYSQL_TYPE_LONGLONG => sized(DbDataType::Int64, DbDataType::Uint64),
        MYSQL_TYPE_FLOAT => DbDataType::Floating32,
        MYSQL_TYPE_DOUBLE => DbDataType::Floating64,
        MYSQL_TYPE_BLOB
        | MYSQL_TYPE_MEDIUM_BLOB
        | MYSQL_TYPE_LONG_BLOB
        | MYSQL_TYPE_TINY_BLOB
        | MYSQL_TYPE_STRING
        | MYSQL_TYPE_VAR_STRING
        | MYSQL_TYPE_VARCHAR => {
            if bytes {
                DbDataType::Binary
            } else {
                DbDataType::Str
            }
        }
        _ => DbDataType::Other,
    }
}

/// The values of one row.
///
/// # Errors
/// A column has a type that `spin:mysql` can't carry, such as DECIMAL; the error names the column.
pub(super) fn row(row: Row, columns: &[Column]) -> Result<Vec<DbValue>, Error> {
    row.unwrap()
        .into_iter()
        .zip(columns)
        .map(|(value, column)| {
            convert(value, column.data_type).ok_or_else(|| {
                Error::ValueConversionFailed(format!(
                    "column `{}` has a type that can't be passed on; cast it in SQL",
                    column.name
                ))
            })
        })
        .collect()
}

pub(super) fn convert(value: Value, data_type: DbDataType) -> Option<DbValue> {
    Some(match (value, data_type) {
        (Value::NULL, _) => DbValue::DbNull,
        (Value::Int(v), DbDataType::Int8) => DbValue::Int8(v.try_into().ok()?),
        (Value::Int(v), DbDataType::Int16) => DbValue::Int16(v.try_into().ok()?),
        (Value::Int(v), DbDataType::Int32) => DbValue::Int32(v.try_into().ok()?),
        (Value::Int(v), DbDataType::Int64) => DbValue::Int64(v),
        (Value::Int(v), DbDataType::Uint8) => DbValue::Uint8(v.try_into().ok()?),
        (Value::Int(v), DbDataType::Uint16) => DbValue::Uint16(v.try_into().ok()?),
        (Value::Int(v), DbDataType::Uint32) => DbValue::Uint32(v.try_into().ok()?),
        (Value::Int(v), DbDataType::Uint64) => DbValue::Uint64(v.try_into().ok()?),
        (Value::UInt(v), DbDataType::Int64) => DbValue::Int64(v.try_into().ok()?),
        (Value::UInt(v), DbDataType::Uint64) => DbValue::Uint64(v),
        (Value::Float(v), DbDataType::Floating32) => DbValue::Floating32(v),
        (Value::Double(v), DbDataType::Floating64) => DbValue::Floating64(v),
        (Value::Bytes(v), DbDataType::Str) => DbValue::Str(String::from_utf8(v).ok()?),
        (Value::Bytes(v), DbDataType::Binary) => DbValue::Binary(v),
        _ => return None,
    })
}

/// Whether an error says that a row was too large to be read. The driver shows this only in the text of its error.
pub(super) fn is_too_large(error: &mysql_async::Error) -> bool {
    match error {
        mysql_async::Error::Io(IoError::Io(error)) => {
            error.to_string().contains("larger than max_allowed_packet")
        }
        _ => false,
    }
}

/// The error for a row or a statement for which the host has no room.
pub(super) fn no_room(error: NoRoom) -> Error {
    Error::Other(error.to_string())
}

/// A driver's error in the form in which Spin passes it on: the debug form, which holds a server error's code as
/// `code: 1213`.
pub(super) fn query_error(error: &mysql_async::Error) -> Error {
    Error::QueryFailed(format!("{error:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_keep_their_width_and_sign() {
        assert!(matches!(
            convert(Value::Int(-5), DbDataType::Int8),
            Some(DbValue::Int8(-5))
        ));
        assert!(matches!(
            convert(Value::Int(7), DbDataType::Uint64),
            Some(DbValue::Uint64(7))
        ));
        assert!(matches!(
            convert(Value::UInt(u64::MAX), DbDataType::Uint64),
            Some(DbValue::Uint64(u64::MAX))
        ));
        assert!(convert(Value::Int(300), DbDataType::Int8).is_none());
    }

    #[test]
    fn a_decimal_is_refused_and_null_is_not() {
        assert!(convert(Value::Bytes(b"1.50".to_vec()), DbDataType::Other).is_none());
        assert!(matches!(
            convert(Value::NULL, DbDataType::Other),
            Some(DbValue::DbNull)
        ));
    }

    #[test]
    fn a_server_error_shows_its_code() {
        let error = mysql_async::Error::Server(mysql_async::ServerError {
            code: 1213,
            message: "Deadlock found".into(),
            state: "40001".into(),
        });
        let Error::QueryFailed(text) = query_error(&error) else {
            panic!("another variant");
        };
        assert!(text.contains("code: 1213"), "{text}");
    }
}
