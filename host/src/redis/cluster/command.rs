//! The slot of a command, which is that of its first key. Redis itself refuses a command whose keys are in several
//! slots.
//!
//! The redis crate can do this too, but only behind a feature that brings its whole cluster client.

use redis::{Arg, Cmd, ErrorKind, RedisError, RedisResult};

/// The number of slots in a Redis Cluster.
const SLOTS: u16 = 16_384;

/// The longest key, in bytes. All of its bytes may count for the slot, and meanwhile the thread does nothing else.
const LONGEST_KEY: usize = 64 * 1024;

/// The slot of a command. `None` if the command has no key; then any server can answer it.
///
/// # Errors
/// The command would only reach one server where all are meant, or its key is too long.
pub(super) fn slot(command: &Cmd) -> RedisResult<Option<u16>> {
    let mut words = words(command);
    let name = words.next().unwrap_or_default().to_ascii_uppercase();
    if let Some(reason) = reaches_one_server(&name) {
        let name = String::from_utf8_lossy(&name).into_owned();
        return Err(RedisError::from((ErrorKind::Client, reason, name)));
    }
    first_key(&name, words).map(slot_of_key).transpose()
}

/// Why a command is refused: it reaches one server, while the caller means the whole cluster.
fn reaches_one_server(name: &[u8]) -> Option<&'static str> {
    match name {
        b"DBSIZE" | b"RANDOMKEY" | b"SCAN" => {
            Some("a Redis Cluster has several servers, and this command sees one")
        }
        b"SCRIPT" => Some(
            "a Redis Cluster has several servers, and this command reaches one: use EVAL with the key",
        ),
        _ => None,
    }
}

fn words(command: &Cmd) -> impl Iterator<Item = &[u8]> {
    command.args_iter().map(|word| match word {
        Arg::Simple(bytes) => bytes,
        _ => &b""[..],
    })
}

/// The first key among the words after the name of a command that components may send.
fn first_key<'a>(name: &[u8], mut words: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    match name {
        b"ECHO" | b"INFO" | b"PING" | b"PUBLISH" | b"TIME" => None,
        b"EVAL" | b"EVALSHA" | b"EVALSHA_RO" | b"EVAL_RO" => match words.nth(1)? {
            b"0" => None,
            _ => words.next(),
        },
        // Before the first key there is one word: the number of keys, or a subcommand.
        b"BITOP" | b"LMPOP" | b"SINTERCARD" | b"XGROUP" | b"XINFO" | b"ZDIFF" | b"ZINTER"
        | b"ZINTERCARD" | b"ZMPOP" | b"ZUNION" => words.nth(1),
        b"XREAD" => behind_streams(words),
        // The three words after the name are skipped, because a group may be called `STREAMS`.
        b"XREADGROUP" => behind_streams(words.skip(3)),
        _ => words.next(),
    }
}

fn behind_streams<'a>(words: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let mut words = words.skip_while(|word| !word.eq_ignore_ascii_case(b"STREAMS"));
    words.nth(1)
}

/// The slot of a key.
///
/// # Errors
/// The key is too long.
pub(super) fn slot_of_key(key: &[u8]) -> RedisResult<u16> {
    if key.len() > LONGEST_KEY {
        let reason = "a key is too long for a Redis Cluster";
        let detail = format!("{} bytes, {LONGEST_KEY} at most", key.len());
        return Err(RedisError::from((ErrorKind::Client, reason, detail)));
    }
    Ok(crc16(hash_tag(key).unwrap_or(key)) % SLOTS)
}

/// The part of a key in braces, if there is one and it is not empty. Then only this part decides the key's slot.
pub(super) fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let begin = key.iter().position(|byte| *byte == b'{')? + 1;
    let length = key[begin..].iter().position(|byte| *byte == b'}')?;
    (length > 0).then(|| &key[begin..begin + length])
}

/// CRC-16/XMODEM, as the cluster specification demands.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum: u16, byte| {
        let index = (sum >> 8) ^ u16::from(*byte);
        (sum << 8) ^ CRC16[usize::from(index)]
    })
}

/// The checksum of each single byte.
static CRC16: [u16; 256] = crc16_table();

const fn crc16_table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            sum = match sum >> 15 {
                0 => sum << 1,
                _ => (sum << 1) ^ 0x1021,
            };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> Cmd {
        let mut words = text.split(' ');
        let mut command = redis::cmd(words.next().expect("a name"));
        command.arg(words.collect::<Vec<_>>());
        command
    }

    /// Compares with values of `CLUSTER KEYSLOT`, and with the checksum example in the specification.
    #[test]
    fn a_key_has_the_slot_that_redis_says() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot_of_key(b"foo"), Ok(12_182));
        assert_eq!(slot_of_key(b"{store}:x"), Ok(7_858));
    }

    #[test]
    fn what_is_in_the_first_braces_counts_alone() {
        for (key, tag) in [
            ("{store}:{report:a}:number", Some("store")),
            ("a{b}c", Some("b")),
            ("{}a{b}", None),
            ("a}b{c", None),
            ("a", None),
        ] {
            assert_eq!(hash_tag(key.as_bytes()), tag.map(str::as_bytes), "{key}");
        }
    }

    #[test]
    fn a_command_goes_where_its_first_key_is() {
        for text in [
            "GET k",
            "set k v",
            "MGET k l",
            "EVAL return 2 k l a",
            "evalsha_ro digest 1 k",
            "BITOP AND k l",
            "ZUNION 2 k l",
            "ZUNIONSTORE k 1 l",
            "XINFO STREAM k",
            "XREAD COUNT 1 STREAMS k 0",
            "XREADGROUP GROUP streams c STREAMS k >",
        ] {
            let slot = slot(&command(text)).expect(text);
            assert_eq!(slot, slot_of_key(b"k").ok(), "{text}");
        }
        for text in ["PING", "INFO server", "EVAL x 0", "GET"] {
            assert_eq!(slot(&command(text)).expect(text), None, "{text}");
        }
    }

    #[test]
    fn what_would_reach_one_server_is_refused() {
        for (text, parts) in [
            ("scan 0", ["SCAN", "sees one"]),
            ("script load x", ["SCRIPT", "use EVAL with the key"]),
            ("SCRIPT EXISTS x", ["SCRIPT", "use EVAL with the key"]),
        ] {
            let refused = slot(&command(text)).expect_err(text).to_string();
            for part in parts {
                assert!(refused.contains(part), "no `{part}` in {refused}");
            }
        }
    }

    #[test]
    fn a_key_that_is_too_long_is_refused() {
        let longest = "k".repeat(LONGEST_KEY);
        assert!(slot(redis::cmd("GET").arg(&longest)).is_ok());
        let refused = slot(redis::cmd("GET").arg(longest + "k")).expect_err("it is too long");
        let refused = refused.to_string();
        assert!(refused.contains("65537 bytes, 65536 at most"), "{refused}");
    }
}
