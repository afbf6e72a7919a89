//! The script by which orders and stock are read and written in Redis. It runs as a whole, so nothing comes between its
//! commands.
//!
//! Each epoch has a script of its own, called by its digest. A server into which it was never loaded, such as a replica
//! that has become the master and lacks the last writes, or one that was restarted with old data, does not know it and
//! refuses: what such a server holds is neither read nor relied on.

use sha1::{Digest as _, Sha1};

use crate::settings::KeyPrefix;

/// Works on `KEYS`, one after the other; `ARGV` is what to do, a lifetime in milliseconds, and for each key the same number
/// of arguments: whose turn it is, and fields or fields and values. Answers for how many keys it was done. A hash's `epoch`
/// says when it was written, and its `turn` who may write it: whoever has the turn knows what MySQL will hold, and as long
/// as there is one the hash shows nothing that may change. What is no hash at one of our keys, somebody else wrote: it goes.
///
/// - `load`: nothing; the script is known from then on.
/// - `read`, of one key: the fields, if all are there and it is nobody's turn. Otherwise nothing, and the reader has the
///   turn unless another has.
/// - `mark`: the turn of a writer, before it commits. Whoever had it before has lost it.
/// - `put`, `move`, `drop`: the end of a turn, with the fields, with some fields of a hash that has the others, or with
///   the end of the hash. Refused if the turn has passed to another. A writer that finds nobody's turn has lost its
///   mark: nobody knows what was written since.
const BODY: &str = r"
local what, lifetime = ARGV[1], ARGV[2]
if what == 'load' then return 1 end

local function fields(key, ...)
  local stored = redis.pcall('HMGET', key, ...)
  if not stored.err then return stored end
  redis.call('DEL', key)
  return {}
end

local function take_turn(key, token)
  redis.call('HSET', key, 'epoch', epoch, 'turn', token)
  redis.call('PEXPIRE', key, lifetime)
end

local function read(key, token, first, last)
  local stored = fields(key, 'epoch', 'turn', unpack(ARGV, first, last))
  local written, turn = tonumber(stored[1] or 0), stored[2]
  if written > epoch or (written == epoch and turn) then return false end
  if written == epoch then
    local values, whole = {}, true
    for at = 3, #stored do
      values[at - 2] = stored[at]
      whole = whole and stored[at]
    end
    if whole then return values end
  end
  redis.call('DEL', key)
  take_turn(key, token)
  return false
end

local function mark(key, token, first, last)
  local written = tonumber(fields(key, 'epoch')[1] or 0)
  if written > epoch then return 0 end
  if written == epoch then
    redis.call('HDEL', key, unpack(ARGV, first, last))
  else
    redis.call('DEL', key)
  end
  take_turn(key, token)
  return 1
end

local function finish(key, token, first, last)
  local stored = fields(key, 'epoch', 'turn', 'product_name')
  local written, turn, name = tonumber(stored[1] or 0), stored[2], stored[3]
  if written ~= epoch then return 0 end
  if turn ~= token then
    if not turn and string.sub(token, 1, 1) == 'w' then redis.call('DEL', key) end
    return 0
  end
  if what == 'drop' or (what == 'move' and not name) then
    redis.call('DEL', key)
    return 1
  end
  redis.call('HDEL', key, 'turn')
  redis.call('HSET', key, unpack(ARGV, first, last))
  redis.call('PEXPIRE', key, lifetime)
  return 1
end

if what == 'read' then return read(KEYS[1], ARGV[3], 4, #ARGV) end
local each = what == 'mark' and mark or finish
local width = (#ARGV - 2) / #KEYS
local done = 0
for number, key in ipairs(KEYS) do
  local at = 3 + (number - 1) * width
  done = done + each(key, ARGV[at], at + 1, at + width - 1)
end
return done
";

/// The script of one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheScript {
    /// What Redis runs.
    pub text: String,
    /// What it is called by once Redis knows it: its SHA-1 in hexadecimal, as Redis computes it.
    pub digest: String,
}

impl CacheScript {
    /// The script of `epoch` of the store whose keys begin so. The prefix is in it, as a comment, so that no store knows the
    /// script of another on the same server.
    pub fn of(epoch: i64, prefix: &KeyPrefix) -> Self {
        let text = format!("local epoch = {epoch} -- {}{BODY}", prefix.as_str());
        let digest = Sha1::digest(&text);
        Self {
            digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Setting as _;

    #[test]
    fn each_epoch_has_a_script_of_its_own() {
        let prefix = |text| KeyPrefix::parse(text).expect("it is plain");
        let script = |epoch| CacheScript::of(epoch, &prefix(""));
        let (first, second) = (script(7), script(8));
        assert!(first.text.starts_with("local epoch = 7 -- \n"));
        assert_eq!(first.digest.len(), 40);
        assert_ne!(first.digest, second.digest);
        assert_eq!(first, script(7));
        let other = CacheScript::of(7, &prefix("{store}:"));
        assert_ne!(first.digest, other.digest);
    }

    /// The test vector of RFC 3174.
    #[test]
    fn the_digest_is_sha_1() {
        let digest = Sha1::digest("abc");
        assert_eq!(digest[..4], [0xa9, 0x99, 0x3e, 0x36]);
    }
}
