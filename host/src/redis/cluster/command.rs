//! The slot of a command, which is that of its first key. Redis itself refuses a command whose keys are in several
//! slots.
//!
//! The redis crate can do this too, but only behind a feature that brings its whole cluster client.

use redis::{Arg, Cmd, ErrorKind, RedisError, RedisResult};

/// The number of slots in a Redis Cluster.
const SLOTS: u16 = 16_384;

/// Commands that report on the keys of one server, while the caller means those of the whole cluster.
const OF_ONE_SERVER: [&[u8]; 3] = [b"DBSIZE", b"RANDOMKEY", b"SCAN"];

/// The slot of a command. `None` if the command has no key; then any server can answer it.
///
/// # Errors
/// The answer would only be about the keys of one server.
pub(super) fn slot(command: &Cmd) -> RedisResult<Option<u16>> {
    let mut words = words(command);
    let name = words.next().unwrap_or_default().to_ascii_uppercase();
    if OF_ONE_SERVER.contains(&name.as_slice()) {
        let name = String::from_utf8_lossy(&name).into_owned();
        let reason = "a Redis Cluster has several servers, and this command sees one";
        return Err(RedisError::from((ErrorKind::Client, reason, name)));
    }
    Ok(first_key(&name, words).map(slot_of_key))
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
        b"ECHO" | b"INFO" | b"PING" | b"PUBLISH" | b"SCRIPT" | b"TIME" => None,
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
pub(super) fn slot_of_key(key: &[u8]) -> u16 {
    crc16(hash_tag(key).unwrap_or(key)) % SLOTS
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
        (0..8).fold(sum ^ (u16::from(*byte) << 8), |sum, _| match sum >> 15 {
            0 => sum << 1,
            _ => (sum << 1) ^ 0x1021,
        })
    })
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
        assert_eq!(slot_of_key(b"foo"), 12_182);
        assert_eq!(slot_of_key(b"{store}:x"), 7_858);
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
            assert_eq!(slot, Some(slot_of_key(b"k")), "{text}");
        }
        for text in ["PING", "INFO server", "EVAL x 0", "SCRIPT LOAD x", "GET"] {
            assert_eq!(slot(&command(text)).expect(text), None, "{text}");
        }
    }

    #[test]
    fn what_would_tell_of_one_server_is_refused() {
        let refused = slot(&command("scan 0")).expect_err("it sees one server");
        assert!(refused.to_string().contains("SCAN"), "{refused}");
    }
}
