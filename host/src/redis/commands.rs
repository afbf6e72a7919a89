//! Which commands a component may send with `execute`.
//!
//! All requests of a generation share one connection to an address, on which Redis answers one command after the other.
//! A command would disturb all of them if it waits, switches the connection to another database, user or protocol,
//! subscribes it, or begins a transaction. A command that governs the server would disturb the server's other clients.
//! So only commands that read and write data are allowed, by name.

use std::collections::HashSet;
use std::sync::LazyLock;

/// The allowed commands, by their names in Redis 8. `docs/ARCHITECTURE.md` says which commands are missing and why.
const ALLOWED: &str = "
    APPEND BITCOUNT BITFIELD BITFIELD_RO BITOP BITPOS DBSIZE DECR DECRBY DEL ECHO EVAL EVALSHA EVALSHA_RO EVAL_RO EXISTS
    EXPIRE EXPIREAT EXPIRETIME GEOADD GEODIST GEOHASH GEOPOS GEOSEARCH GEOSEARCHSTORE GET GETBIT GETDEL GETEX GETRANGE
    GETSET HDEL HEXISTS HEXPIRE HEXPIREAT HEXPIRETIME HGET HGETALL HGETDEL HGETEX HINCRBY HINCRBYFLOAT HKEYS HLEN HMGET
    HMSET HPERSIST HPEXPIRE HPEXPIREAT HPEXPIRETIME HPTTL HRANDFIELD HSCAN HSET HSETEX HSETNX HSTRLEN HTTL HVALS INCR
    INCRBY INCRBYFLOAT INFO LCS LINDEX LINSERT LLEN LMOVE LMPOP LPOP LPOS LPUSH LPUSHX LRANGE LREM LSET LTRIM MGET MSET
    MSETNX PERSIST PEXPIRE PEXPIREAT PEXPIRETIME PFADD PFCOUNT PFMERGE PING PSETEX PTTL PUBLISH RANDOMKEY RENAME
    RENAMENX RPOP RPOPLPUSH RPUSH RPUSHX SADD SCAN SCARD SDIFF SDIFFSTORE SET SETBIT SETEX SETNX SETRANGE SINTER
    SINTERCARD SINTERSTORE SISMEMBER SMEMBERS SMISMEMBER SMOVE SPOP SRANDMEMBER SREM SSCAN STRLEN SUBSTR SUNION
    SUNIONSTORE TIME TOUCH TTL TYPE UNLINK XACK XADD XAUTOCLAIM XCLAIM XDEL XLEN XPENDING XRANGE XREVRANGE XTRIM ZADD
    ZCARD ZCOUNT ZDIFF ZDIFFSTORE ZINCRBY ZINTER ZINTERCARD ZINTERSTORE ZLEXCOUNT ZMPOP ZMSCORE ZPOPMAX ZPOPMIN
    ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANGESTORE ZRANK ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE
    ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE ZUNION ZUNIONSTORE
";

/// Commands of which only some subcommands are allowed.
const PARTLY_ALLOWED: [(&str, &[&str]); 3] = [
    // `SCRIPT KILL` and `SCRIPT FLUSH` would disturb other clients.
    ("SCRIPT", &["EXISTS", "LOAD"]),
    (
        "XGROUP",
        &[
            "CREATE",
            "CREATECONSUMER",
            "DELCONSUMER",
            "DESTROY",
            "SETID",
        ],
    ),
    ("XINFO", &["CONSUMERS", "GROUPS", "STREAM"]),
];

/// Commands that wait only if they have the word `BLOCK`.
const WAITS_IF_ASKED: [&str; 2] = ["XREAD", "XREADGROUP"];

/// Whether a component may send this command. Returns the name, in capitals, under which it is sent.
///
/// # Errors
/// Tells the component which command is refused.
pub(super) fn check<'a>(
    name: &str,
    mut arguments: impl Iterator<Item = &'a [u8]>,
) -> Result<&'static str, String> {
    let Some(sent) = known(name.as_bytes()) else {
        return Err(refusal(name, ""));
    };
    if WAITS_IF_ASKED.contains(&sent) && waits(&mut arguments) {
        return Err(refusal(name, " with BLOCK"));
    }
    let partly = PARTLY_ALLOWED.iter().find(|(partly, _)| *partly == sent);
    if let Some((_, allowed)) = partly {
        let subcommand = arguments.next().unwrap_or_default();
        let is = |allowed: &&str| subcommand.eq_ignore_ascii_case(allowed.as_bytes());
        if !allowed.iter().any(is) {
            let which = format!(" other than {}", allowed.join(" and "));
            return Err(refusal(name, &which));
        }
    }
    Ok(sent)
}

/// Room for the longest name of a command that is allowed.
const LONGEST_NAME: usize = 32;

/// The name of a command in the spelling of this list; `None` if the list does not have it.
fn known(name: &[u8]) -> Option<&'static str> {
    static NAMES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
        let partly = PARTLY_ALLOWED.iter().map(|(name, _)| *name);
        let names = ALLOWED.split_ascii_whitespace().chain(WAITS_IF_ASKED);
        names.chain(partly).collect()
    });
    let mut upper = [0; LONGEST_NAME];
    let upper = upper.get_mut(..name.len())?;
    upper.copy_from_slice(name);
    upper.make_ascii_uppercase();
    NAMES.get(std::str::from_utf8(upper).ok()?).copied()
}

/// Whether these arguments of XREAD or XREADGROUP make the command wait.
fn waits<'a>(mut arguments: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut waits = false;
    while let Some(word) = arguments.next() {
        // After this word come the names of streams, which may be any text.
        if word.eq_ignore_ascii_case(b"STREAMS") {
            break;
        }
        waits |= word.eq_ignore_ascii_case(b"BLOCK");
        if word.eq_ignore_ascii_case(b"GROUP") {
            // The names of the group and the consumer are skipped, because they may be any text.
            arguments.nth(1);
        }
    }
    waits
}

/// The text of a refusal. It repeats the command's name only if that looks like one, because a component may send
/// anything.
fn refusal(name: &str, which: &str) -> String {
    let is_name = name.len() <= 32 && name.bytes().all(|b| b.is_ascii_graphic());
    let name = if is_name { name } else { "a command" };
    format!(
        "`{name}`{which} is not allowed: components may send Redis commands that read and write data and neither wait, \
         subscribe, switch the connection nor govern the server"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(command: &str) -> bool {
        let mut words = command.split(' ');
        let name = words.next().expect("a name");
        check(name, words.map(str::as_bytes)).is_ok()
    }

    #[test]
    fn data_is_read_and_written() {
        for command in [
            "GET k",
            "hset k f v",
            "Eval return 0",
            "SCRIPT LOAD x",
            "script exists x",
            "SCAN 0",
            "PUBLISH c m",
            "XREAD COUNT 1 STREAMS BLOCK 0",
            "XREADGROUP GROUP g c STREAMS s >",
            "XREADGROUP GROUP block BLOCK COUNT 1 STREAMS s >",
            "XGROUP CREATE s g $",
        ] {
            assert!(allows(command), "{command}");
        }
    }

    #[test]
    fn a_name_is_known_in_any_case() {
        assert_eq!(check("get", std::iter::empty()), Ok("GET"));
        assert_eq!(known(b"xReadGroup"), Some("XREADGROUP"));
        for unknown in ["", "GETS", "BLPOP", &"GET".repeat(100)] {
            assert_eq!(known(unknown.as_bytes()), None, "{unknown}");
        }
    }

    #[test]
    fn every_allowed_name_is_known() {
        for name in ALLOWED.split_ascii_whitespace() {
            assert_eq!(known(name.as_bytes()), Some(name));
        }
    }

    #[test]
    fn what_others_would_feel_is_refused() {
        for command in [
            "BLPOP k 0",
            "BRPOP k 0",
            "BLMOVE a b LEFT LEFT 0",
            "BRPOPLPUSH a b 0",
            "BLMPOP 0 1 k LEFT",
            "BZPOPMIN k 0",
            "BZPOPMAX k 0",
            "BZMPOP 0 1 k MIN",
            "XREAD block 0 STREAMS s 0",
            "XREADGROUP GROUP g c BLOCK 0 STREAMS s >",
            "XREADGROUP GROUP STREAMS streams BLOCK 0 STREAMS s >",
            "WAIT 1 0",
            "WAITAOF 1 1 0",
            "SUBSCRIBE c",
            "PSUBSCRIBE c",
            "SSUBSCRIBE c",
            "UNSUBSCRIBE",
            "MULTI",
            "EXEC",
            "DISCARD",
            "WATCH k",
            "UNWATCH",
            "SELECT 1",
            "AUTH p",
            "HELLO 3",
            "RESET",
            "QUIT",
            "CLIENT REPLY OFF",
            "CLIENT KILL x",
            "MONITOR",
            "SYNC",
            "PSYNC",
            "SHUTDOWN",
            "CONFIG SET a b",
            "DEBUG SLEEP 9",
            "REPLICAOF h 1",
            "SLAVEOF h 1",
            "FAILOVER",
            "CLUSTER INFO",
            "ASKING",
            "READONLY",
            "READWRITE",
            "MIGRATE h 1 k 0 1",
            "SWAPDB 0 1",
            "MOVE k 1",
            "COPY a b DB 1",
            "FLUSHALL",
            "FLUSHDB",
            "KEYS *",
            "SORT k",
            "SAVE",
            "BGSAVE",
            "BGREWRITEAOF",
            "ACL LIST",
            "MODULE LIST",
            "FUNCTION FLUSH",
            "FCALL f 0",
            "SCRIPT KILL",
            "SCRIPT FLUSH",
            "SCRIPT",
            "LATENCY RESET",
            "SLOWLOG GET",
            "MEMORY PURGE",
            "OBJECT FREQ k",
            "PFDEBUG",
            "RESTORE k 0 x",
            "DUMP k",
            "",
            "GET\r\nBLPOP",
        ] {
            assert!(!allows(command), "{command}");
        }
    }

    #[test]
    fn a_refusal_repeats_no_more_than_a_name() {
        let refusal = check("SET k secret", std::iter::empty()).expect_err("no command");
        assert!(!refusal.contains("secret"), "{refusal}");
    }
}
