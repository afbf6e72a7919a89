//! Descriptions that many spans have in common.

use std::collections::HashSet;
use std::sync::LazyLock;

use parking_lot::Mutex;

use super::record::Description;

/// Every description that was ever shared.
static KNOWN: LazyLock<Mutex<HashSet<&'static Description>>> = LazyLock::new(Mutex::default);

static EMPTY: Description = Description {
    target: None,
    attributes: Vec::new(),
};

/// A description that many spans have in common, as of a backend or a component.
///
/// Each different one stays in memory until the program ends, so that a span can have it without counting who uses it.
/// So there must be few: nothing that is numbered belongs into one.
#[derive(Clone, Copy, Debug)]
pub struct SharedDescription(&'static Description);

impl SharedDescription {
    /// The target, if there is one, and the attributes.
    pub(super) fn get(self) -> &'static Description {
        self.0
    }
}

impl Default for SharedDescription {
    /// Says nothing.
    fn default() -> Self {
        Self(&EMPTY)
    }
}

impl From<Description> for SharedDescription {
    fn from(description: Description) -> Self {
        let mut known = KNOWN.lock();
        let found = known.get(&description).copied();
        Self(found.unwrap_or_else(|| {
            let kept = Box::leak(Box::new(description));
            known.insert(kept);
            kept
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_twice_is_kept_once() {
        let port = |number: i64| Description {
            target: Some("db".to_owned().into()),
            attributes: vec![("server.port", number.into())],
        };
        let [first, second, other] = [1, 1, 2].map(|number| SharedDescription::from(port(number)));
        assert!(std::ptr::eq(first.get(), second.get()));
        assert_eq!(*other.get(), port(2));
        assert_eq!(*SharedDescription::default().get(), EMPTY);
    }
}
