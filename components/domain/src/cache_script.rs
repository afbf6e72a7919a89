//! The Lua script that reads and writes orders and stock in Redis. Redis runs it as a whole, so no other command comes
//! between its commands.
//!
//! Each epoch has its own script, and components call it by its digest. A server that never loaded the script refuses
//! the call. Examples are a replica that became the master without the last writes, and a server that was restarted
//! with old data: the store neither reads nor relies on what such a server holds.

use sha1::{Digest as _, Sha1};

use crate::settings::KeyPrefix;

/// Works on `KEYS`, one after the other. `ARGV` holds the operation, a lifetime in milliseconds, and for each key the
/// same number of arguments: the name of a turn, then fields or pairs of field and value. Answers for how many keys the
/// operation was done.
///
/// A hash's `epoch` says in which epoch it was written, and its `turn` says who may write it. The holder of the turn
/// knows what MySQL will hold; while a turn is set, the hash shows no field that may change. A key of ours that is not
/// a hash was written by another program; the script deletes it.
///
/// - `load`: does nothing, but Redis knows the script afterwards.
/// - `read`, of one key: answers the fields, if the hash has all of them and no turn is set. Otherwise answers nothing,
///   and gives the reader the turn unless another holds it.
/// - `mark`: gives the turn to a writer, before the writer commits. An earlier holder loses the turn.
/// - `put`, `move`, `drop`: end a turn. `put` writes all fields, `move` writes some fields of a hash that has the
///   others, `drop` deletes the hash. Refused if the turn has passed to another holder. If no turn is set, the writer's
///   mark was lost, and nobody knows what was written since: the hash is deleted.
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
    /// The Lua text that Redis runs.
    pub text: String,
    /// The SHA-1 of the text in hexadecimal, as Redis computes it. `EVALSHA` takes this once Redis knows the script.
    pub digest: String,
}

impl CacheScript {
    /// The script of `epoch`, for the store whose keys begin with `prefix`. The text has the prefix as a comment, so
    /// that two stores on one server never share a script.
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
