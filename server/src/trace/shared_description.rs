//! Descriptions that many spans have in common.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

use super::description::Description;

/// The descriptions that are kept for good.
static KEPT: LazyLock<Mutex<HashSet<&'static Description>>> = LazyLock::new(Mutex::default);

/// Most descriptions that are kept for good, and the longest texts of one, in bytes. Components choose which databases
/// they open, and name servers how many addresses a name has, so there may be any number.
const MOST_KEPT: usize = 1024;
const LONGEST_KEPT: usize = 512;

static EMPTY: Description = Description {
    target: None,
    attributes: Vec::new(),
};

/// A description that many spans have in common, as of a backend or a component.
///
/// Usually there are few in a program. Each different one stays in memory until the program ends: then a span can have
/// it without counting its users, which was the dearest part of recording one. Should there be many, or long ones,
/// further ones are counted and freed.
#[derive(Clone, Debug)]
pub struct SharedDescription(Users);

#[derive(Clone, Debug)]
enum Users {
    Uncounted(&'static Description),
    Counted(Arc<Description>),
}

impl SharedDescription {
    /// The target, if there is one, and the attributes.
    pub(super) fn get(&self) -> &Description {
        match &self.0 {
            Users::Uncounted(description) => description,
            Users::Counted(description) => description,
        }
    }
}

impl Default for SharedDescription {
    /// Says nothing.
    fn default() -> Self {
        Self(Users::Uncounted(&EMPTY))
    }
}

impl From<Description> for SharedDescription {
    fn from(description: Description) -> Self {
        let mut kept = KEPT.lock();
        Self(if let Some(known) = kept.get(&description) {
            Users::Uncounted(known)
        } else if kept.len() < MOST_KEPT && description.text_bytes() <= LONGEST_KEPT {
            let description = Box::leak(Box::new(description));
            kept.insert(description);
            Users::Uncounted(description)
        } else {
            Users::Counted(Arc::new(description))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(port: usize, name: &str) -> Description {
        Description {
            target: Some(name.to_owned().into()),
            attributes: vec![("server.port", port.into())],
        }
    }

    fn is_kept(shared: &SharedDescription) -> bool {
        matches!(shared.0, Users::Uncounted(_))
    }

    #[test]
    fn few_and_short_ones_are_kept_once_and_others_are_freed() {
        let [first, second] = [1, 1].map(|port| SharedDescription::from(server(port, "db")));
        assert!(is_kept(&first) && std::ptr::eq(first.get(), second.get()));
        let long = "x".repeat(LONGEST_KEPT + 1);
        let long = SharedDescription::from(server(1, &long));
        assert!(!is_kept(&long));
        for port in 0..2 * MOST_KEPT {
            let shared = SharedDescription::from(server(port, "many"));
            assert_eq!(*shared.get(), server(port, "many"));
        }
        assert_eq!(KEPT.lock().len(), MOST_KEPT);
        assert!(is_kept(&SharedDescription::from(server(1, "db"))));
        assert!(!is_kept(&SharedDescription::from(server(2, "db"))));
        assert_eq!(*SharedDescription::default().get(), EMPTY);
    }
}
