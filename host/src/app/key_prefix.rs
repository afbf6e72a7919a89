//! Checks the prefix of a component's Redis keys at start, so that a wrong one does not fail each request.

use std::collections::HashMap;

use crate::redis;

/// The component variable that holds the prefix.
const PREFIX_VARIABLE: &str = "redis_key_prefix";

/// The longest prefix, in bytes. The component has the same limit.
const LONGEST: usize = 64;

/// Refuses a prefix that the component would refuse.
///
/// # Errors
/// Names the variable, and says what the prefix may be.
pub(super) fn check(id: &str, variables: &HashMap<String, String>) -> Result<(), String> {
    match variables.get(PREFIX_VARIABLE) {
        Some(prefix) if !is_plain(prefix) => {
            let allowed = format!("may be up to {LONGEST} visible ASCII characters, no spaces");
            Err(wrong(id, &allowed))
        }
        _ => Ok(()),
    }
}

/// Refuses a prefix that scatters the keys over a Redis Cluster, which takes a command only if all its keys are in one
/// slot. A component without the variable is not checked: it may have other kinds of keys.
///
/// # Errors
/// Names the variable, and says what to do.
pub(super) fn check_hash_tag(id: &str, variables: &HashMap<String, String>) -> Result<(), String> {
    match variables.get(PREFIX_VARIABLE) {
        Some(prefix) if !redis::has_hash_tag(prefix) => {
            let advice = "has nothing in braces; with --redis-cluster it needs that, as `{store}:` has it, so that all keys \
                          are in one slot";
            Err(wrong(id, advice))
        }
        _ => Ok(()),
    }
}

fn is_plain(prefix: &str) -> bool {
    prefix.len() <= LONGEST && prefix.bytes().all(|byte| byte.is_ascii_graphic())
}

fn wrong(id: &str, reason: &str) -> String {
    format!("`component.{id}.variables.{PREFIX_VARIABLE}`: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(prefix: &str) -> HashMap<String, String> {
        HashMap::from([(PREFIX_VARIABLE.to_owned(), prefix.to_owned())])
    }

    #[test]
    fn a_prefix_is_short_and_visible() {
        for right in ["", "{store}:", &"x".repeat(LONGEST)] {
            assert_eq!(check("a", &variables(right)), Ok(()), "{right}");
        }
        for wrong in ["a b", "a\n", "é", &"x".repeat(LONGEST + 1)] {
            let reason = check("a", &variables(wrong)).expect_err(wrong);
            assert!(reason.contains("redis_key_prefix"), "{reason}");
            assert!(!reason.contains('\n'), "{reason}");
        }
        assert_eq!(check("a", &HashMap::new()), Ok(()));
    }

    #[test]
    fn a_cluster_needs_a_hash_tag() {
        assert_eq!(check_hash_tag("a", &variables("{store}:")), Ok(()));
        assert_eq!(check_hash_tag("a", &HashMap::new()), Ok(()));
        for wrong in ["", "store:", "{}:", "}store{"] {
            let reason = check_hash_tag("a", &variables(wrong)).expect_err(wrong);
            assert!(reason.contains("`{store}:`"), "{reason}");
        }
    }
}
