//! Converts between Redis's replies and the types of `spin:redis`, with the same mapping as Spin's own host.

use redis::{Arg, Cmd, ErrorKind, RedisError, ServerErrorKind, Value};

use crate::instance::bindings::spin::redis::redis::{Error, RedisParameter, RedisResult};

/// The memory, in bytes, that a value takes beside its content, approximately.
const VALUE_BYTES: usize = size_of::<Value>();

/// The bytes of an argument; empty for a number, which can't be a keyword.
pub(super) fn bytes(argument: &RedisParameter) -> &[u8] {
    match argument {
        RedisParameter::Int64(_) => &[],
        RedisParameter::Binary(bytes) => bytes,
    }
}

/// Approximately how many bytes of memory a reply takes.
pub(super) fn weight(reply: &Value) -> usize {
    let all = |values: &[Value]| values.iter().map(weight).sum();
    let content = match reply {
        Value::BulkString(bytes) => bytes.len(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.len(),
        Value::Array(values) | Value::Set(values) => all(values),
        Value::Map(pairs) => pairs
            .iter()
            .map(|(key, value)| weight(key) + weight(value))
            .sum(),
        _ => 0,
    };
    VALUE_BYTES + content
}

/// Approximately how many bytes of memory a command takes.
pub(super) fn command_weight(command: &Cmd) -> usize {
    let arguments = command.args_iter().map(|argument| match argument {
        Arg::Simple(bytes) => bytes.len(),
        _ => 0,
    });
    arguments.sum()
}

/// Adds arguments to a command.
pub(super) fn put(arguments: Vec<RedisParameter>, command: &mut Cmd) -> &mut Cmd {
    for argument in arguments {
        match argument {
            RedisParameter::Int64(number) => command.arg(number),
            RedisParameter::Binary(bytes) => command.arg(bytes),
        };
    }
    command
}

/// A reply as a flat list. Nested arrays are flattened, and so are maps, which only RESP3 has.
pub(super) fn results(reply: Value) -> Result<Vec<RedisResult>, Error> {
    let mut results = Vec::new();
    append(&mut results, reply)?;
    Ok(results)
}

fn append(results: &mut Vec<RedisResult>, reply: Value) -> Result<(), Error> {
    let result = match reply {
        Value::Nil => RedisResult::Nil,
        Value::Int(number) => RedisResult::Int64(number),
        Value::BulkString(bytes) => RedisResult::Binary(bytes),
        Value::SimpleString(text) => RedisResult::Status(text),
        Value::Okay => RedisResult::Status("OK".into()),
        Value::Double(number) => RedisResult::Binary(number.to_string().into_bytes()),
        Value::Boolean(flag) => RedisResult::Int64(flag.into()),
        Value::Array(replies) | Value::Set(replies) => {
            for reply in replies {
                append(results, reply)?;
            }
            return Ok(());
        }
        Value::Map(pairs) => {
            for (key, value) in pairs {
                append(results, key)?;
                append(results, value)?;
            }
            return Ok(());
        }
        Value::VerbatimString { text, .. } => RedisResult::Binary(text.into_bytes()),
        Value::ServerError(error) => return Err(Error::Other(error.to_string())),
        _ => return Err(Error::TypeError),
    };
    results.push(result);
    Ok(())
}

/// An error of the driver as the component gets it.
pub(super) fn error(error: &RedisError) -> Error {
    match error.kind() {
        ErrorKind::UnexpectedReturnType => Error::TypeError,
        ErrorKind::Server(ServerErrorKind::CrossSlot) => Error::Other(format!(
            "{error}; keys of one command need the same text in braces, such as `{{store}}:` at their beginning"
        )),
        ErrorKind::Server(ServerErrorKind::Ask) => Error::Other(format!(
            "{error}; the slot is on its way to this server, and served again once it is there"
        )),
        _ => Error::Other(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_replies_are_laid_out_flat() {
        let scan = Value::Array(vec![
            Value::BulkString(b"0".to_vec()),
            Value::Array(vec![Value::BulkString(b"order:1".to_vec()), Value::Nil]),
        ]);
        let flat = results(scan).expect("all parts are known");
        assert_eq!(flat.len(), 3);
        assert!(matches!(&flat[1], RedisResult::Binary(key) if key == b"order:1"));
        assert!(matches!(flat[2], RedisResult::Nil));
    }

    #[test]
    fn maps_and_verbatim_texts_are_as_in_the_version_before() {
        let text = |text: &str| Value::BulkString(text.into());
        let pairs = vec![(text("user_id"), text("7")), (text("items"), text("[]"))];
        let flat = pairs
            .iter()
            .flat_map(|(field, value)| [field.clone(), value.clone()]);
        let second = results(Value::Array(flat.collect())).expect("all parts are known");
        let third = results(Value::Map(pairs)).expect("all parts are known");
        assert_eq!(format!("{second:?}"), format!("{third:?}"));
        let verbatim = Value::VerbatimString {
            format: redis::VerbatimFormat::Text,
            text: "run_id:1".into(),
        };
        let info = results(verbatim).expect("it is known");
        assert!(matches!(&info[..], [RedisResult::Binary(info)] if info == b"run_id:1"));
    }

    #[test]
    fn a_command_carries_its_arguments() {
        let arguments = vec![
            RedisParameter::Binary(b"k".to_vec()),
            RedisParameter::Int64(7),
        ];
        let mut command = redis::cmd("SET");
        put(arguments, &mut command);
        assert_eq!(
            command.get_packed_command(),
            b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\n7\r\n"
        );
    }
}
