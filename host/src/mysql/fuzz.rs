//! A fuzz target for the conversion of row values.

use mysql_async::Value;

use super::values::convert;
use crate::instance::bindings::spin::mysql::mysql::{DbDataType, DbValue};

const TYPES: [DbDataType; 13] = [
    DbDataType::Int8,
    DbDataType::Int16,
    DbDataType::Int32,
    DbDataType::Int64,
    DbDataType::Uint8,
    DbDataType::Uint16,
    DbDataType::Uint32,
    DbDataType::Uint64,
    DbDataType::Floating32,
    DbDataType::Floating64,
    DbDataType::Str,
    DbDataType::Binary,
    DbDataType::Other,
];

/// A value is passed on unchanged, or not at all.
#[test]
fn values() {
    store_fuzz::target("mysql-values", |input| {
        let [data_type, kind, bytes @ ..] = input else {
            return;
        };
        let data_type = TYPES[usize::from(*data_type) % TYPES.len()];
        let mut number = [0; 8];
        let length = bytes.len().min(number.len());
        number[..length].copy_from_slice(&bytes[..length]);
        let number = u64::from_le_bytes(number);
        let value = match kind % 6 {
            0 => Value::NULL,
            1 => Value::Int(number.cast_signed()),
            2 => Value::UInt(number),
            3 => Value::Double(f64::from_bits(number)),
            4 => Value::Date(2026, 11, 28, 14, 0, 0, 0),
            _ => Value::Bytes(bytes.to_vec()),
        };
        if let Some(arrived) = convert(value.clone(), data_type) {
            assert!(is_same(&value, &arrived), "{value:?} became {arrived:?}");
        }
    });
}

fn is_same(sent: &Value, arrived: &DbValue) -> bool {
    let number: i128 = match (sent, arrived) {
        (Value::NULL, DbValue::DbNull) => return true,
        (Value::Bytes(sent), DbValue::Str(text)) => return sent == text.as_bytes(),
        (Value::Bytes(sent), DbValue::Binary(bytes)) => return sent == bytes,
        (Value::Double(sent), DbValue::Floating64(v)) => return sent.to_bits() == v.to_bits(),
        (_, DbValue::Int8(v)) => (*v).into(),
        (_, DbValue::Int16(v)) => (*v).into(),
        (_, DbValue::Int32(v)) => (*v).into(),
        (_, DbValue::Int64(v)) => (*v).into(),
        (_, DbValue::Uint8(v)) => (*v).into(),
        (_, DbValue::Uint16(v)) => (*v).into(),
        (_, DbValue::Uint32(v)) => (*v).into(),
        (_, DbValue::Uint64(v)) => (*v).into(),
        _ => return false,
    };
    match sent {
        Value::Int(sent) => i128::from(*sent) == number,
        Value::UInt(sent) => i128::from(*sent) == number,
        _ => false,
    }
}
