//! Decodes a row's values by position.

use spin_sdk::mysql::DbValue;
use store_domain::Cents;

use super::MysqlError;

/// A value that one column can hold.
pub trait Column: Sized {
    /// The decoded value, or `None` if the column holds another type.
    fn decode(value: DbValue) -> Option<Self>;
}

/// Integers of any width: the width of an expression differs between MySQL and MariaDB.
impl Column for i64 {
    fn decode(value: DbValue) -> Option<Self> {
        match value {
            DbValue::Int8(n) => Some(n.into()),
            DbValue::Int16(n) => Some(n.into()),
            DbValue::Int32(n) => Some(n.into()),
            DbValue::Int64(n) => Some(n),
            DbValue::Uint8(n) => Some(n.into()),
            DbValue::Uint16(n) => Some(n.into()),
            DbValue::Uint32(n) => Some(n.into()),
            DbValue::Uint64(n) => n.try_into().ok(),
            _ => None,
        }
    }
}

/// In SQL, any number but zero is true.
impl Column for bool {
    fn decode(value: DbValue) -> Option<Self> {
        match value {
            DbValue::Boolean(truth) => Some(truth),
            number => i64::decode(number).map(|n| n != 0),
        }
    }
}

/// Money in whole cents; every query casts it so.
impl Column for Cents {
    fn decode(value: DbValue) -> Option<Self> {
        i64::decode(value).map(Self::new)
    }
}

impl Column for String {
    fn decode(value: DbValue) -> Option<Self> {
        match value {
            DbValue::Str(text) => Some(text),
            _ => None,
        }
    }
}

impl<T: Column> Column for Option<T> {
    fn decode(value: DbValue) -> Option<Self> {
        match value {
            DbValue::DbNull => Some(None),
            value => T::decode(value).map(Some),
        }
    }
}

/// A type that one row can be decoded to.
pub trait FromRow: Sized {
    /// Decodes the columns in the order of the query.
    ///
    /// # Errors
    /// [`MysqlError::Unexpected`], naming the column's position, if the query and the type don't match.
    fn from_row(row: Vec<DbValue>) -> Result<Self, MysqlError>;
}

fn next_column<T: Column>(
    columns: &mut impl ExactSizeIterator<Item = DbValue>,
    position: &mut usize,
) -> Result<T, MysqlError> {
    *position += 1;
    columns.next().and_then(T::decode).ok_or_else(|| {
        let wanted = std::any::type_name::<T>();
        MysqlError::Unexpected(format!("column {position} is no {wanted}"))
    })
}

macro_rules! from_row_for_tuple {
    ($($column:ident),+) => {
        impl<$($column: Column),+> FromRow for ($($column,)+) {
            fn from_row(row: Vec<DbValue>) -> Result<Self, MysqlError> {
                let mut columns = row.into_iter();
                let mut position = 0;
                Ok(($(next_column::<$column>(&mut columns, &mut position)?,)+))
            }
        }
    };
}

from_row_for_tuple!(A);
from_row_for_tuple!(A, B);
from_row_for_tuple!(A, B, C);
from_row_for_tuple!(A, B, C, D);
from_row_for_tuple!(A, B, C, D, E);
from_row_for_tuple!(A, B, C, D, E, F);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_decoded_by_position() {
        let row = vec![
            DbValue::Uint64(7),
            DbValue::Str("Lamp".into()),
            DbValue::Int32(4999),
            DbValue::DbNull,
            DbValue::Int8(1),
        ];
        type Row = (i64, String, Cents, Option<i64>, bool);
        assert_eq!(
            Row::from_row(row),
            Ok((7, "Lamp".into(), Cents::new(4999), None, true))
        );
    }

    #[test]
    fn a_column_of_another_kind_is_named() {
        for row in [
            vec![DbValue::Int64(1), DbValue::Int64(2)],
            vec![DbValue::Int64(1)],
            vec![DbValue::Int64(1), DbValue::DbNull],
        ] {
            match <(i64, String)>::from_row(row) {
                Err(MysqlError::Unexpected(text)) => {
                    assert!(text.starts_with("column 2 "), "{text}")
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn an_unsigned_value_that_does_not_fit_is_refused() {
        assert_eq!(i64::decode(DbValue::Uint64(u64::MAX)), None);
    }
}
