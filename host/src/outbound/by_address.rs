//! The pools or connections that a component has open, by address.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// The most addresses that may be open at once. It is as many databases and users as a manifest is likely to name.
const MOST: usize = 8;

/// The error for a component when all of them are in use.
pub(crate) const TOO_MANY: &str =
    "the component holds connections to too many addresses at once; close some first";

/// One pool or connection for each address. When there are [`MOST`], the one that was not requested for the longest
/// time is closed to make room for another.
pub(crate) struct ByAddress<T>(Mutex<Entries<T>>);

/// Changed by callers that open a connection.
struct Entries<T> {
    by_address: HashMap<String, Entry<T>>,
    /// The number of requests for any address.
    asked: u64,
}

struct Entry<T> {
    value: Arc<T>,
    /// The value of [`Entries::asked`] at the last request for this address.
    asked: u64,
}

impl<T> ByAddress<T> {
    /// The pool or connection for `address`, if it is open.
    pub(crate) fn get(&self, address: &str) -> Option<Arc<T>> {
        self.0.lock().get(address)
    }

    /// The pool or connection for `address`; if none is open, the one that `open` makes. `None` if there are [`MOST`]
    /// and each of them is held by a caller or not `is_idle`.
    pub(crate) fn get_or_open(
        &self,
        address: &str,
        open: impl FnOnce() -> Arc<T>,
        is_idle: impl Fn(&T) -> bool,
    ) -> Option<Arc<T>> {
        let mut entries = self.0.lock();
        if let Some(value) = entries.get(address) {
            return Some(value);
        }
        if entries.by_address.len() >= MOST {
            entries.close_one(is_idle)?;
        }
        let entry = Entry {
            value: open(),
            asked: entries.asked,
        };
        let value = entry.value.clone();
        entries.by_address.insert(address.to_owned(), entry);
        Some(value)
    }
}

impl<T> Default for ByAddress<T> {
    fn default() -> Self {
        Self(Mutex::new(Entries {
            by_address: HashMap::new(),
            asked: 0,
        }))
    }
}

impl<T> Entries<T> {
    fn get(&mut self, address: &str) -> Option<Arc<T>> {
        self.asked += 1;
        let entry = self.by_address.get_mut(address)?;
        entry.asked = self.asked;
        Some(entry.value.clone())
    }

    fn close_one(&mut self, is_idle: impl Fn(&T) -> bool) -> Option<()> {
        let unused = self.by_address.iter().filter(|(_, entry)| {
            // A caller that holds the value is about to use it.
            Arc::strong_count(&entry.value) == 1 && is_idle(&entry.value)
        });
        let (address, _) = unused.min_by_key(|(_, entry)| entry.asked)?;
        let address = address.clone();
        self.by_address.remove(&address);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_was_not_asked_for_the_longest_makes_room() {
        let open = ByAddress::default();
        let get = |address: &str| open.get_or_open(address, || Arc::new(()), |()| true);
        let held = get("0").expect("there is room");
        for number in 1..MOST {
            get(&number.to_string()).expect("there is room");
        }
        get("1").expect("it is open");
        get("another").expect("one makes room");
        assert!(open.get("0").is_some(), "it is held");
        assert!(open.get("1").is_some(), "it was asked for again");
        assert!(open.get("2").is_none(), "it made room");
        drop(held);
        let busy = open.get_or_open("one more", || Arc::new(()), |()| false);
        assert!(busy.is_none(), "none is idle");
    }
}
