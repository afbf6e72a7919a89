//! Whether a database's views and triggers may do more to a session than a statement's text shows.

use std::sync::atomic::{AtomicU64, Ordering};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::sql::{self, Effect};

/// Selects the texts of the database's views and triggers. A user without the right to see a view's text gets an empty
/// one. The triggers of a table for which the user lacks the right TRIGGER are missing, as if there were none.
const HIDDEN_STATEMENTS: &str = "\
    SELECT ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = DATABASE() \
    UNION ALL \
    SELECT VIEW_DEFINITION FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()";

/// What is known of the views and triggers of one database. They may change while a connection looks through them, so
/// doubts are counted, and a look dispels only those that there were when it began.
#[derive(Default)]
pub(super) struct Hidden {
    /// How many times a view or trigger that may change a session was found, or may have been made.
    doubts: AtomicU64,
    /// How many doubts there were when the latest look that found nothing began.
    dispelled: AtomicU64,
    /// How many doubts there were when something was found last, that one included.
    found: AtomicU64,
}

impl Hidden {
    /// Whether a view or trigger may change a session.
    pub(super) fn may_change(&self) -> bool {
        self.doubts.load(Ordering::Relaxed) != self.dispelled.load(Ordering::Relaxed)
    }

    /// Whether something was found, and nothing that may have changed that has been sent since.
    pub(super) fn is_certain(&self) -> bool {
        let is_latest = self.found.load(Ordering::Relaxed) == self.doubts.load(Ordering::Relaxed);
        is_latest && self.may_change()
    }

    /// Records that a statement that may make or remove a view or trigger is about to be sent, or has ended.
    pub(super) fn doubt(&self) {
        self.doubts.fetch_add(1, Ordering::Relaxed);
    }

    /// Looks through the views and triggers of `database`, which is the connection's own. Returns whether one of them
    /// may change a session and none was found before. The caller must limit the time.
    ///
    /// # Errors
    /// The server is gone.
    pub(super) async fn look(
        &self,
        conn: &mut Conn,
        database: &str,
    ) -> Result<bool, mysql_async::Error> {
        let doubts = self.doubts.load(Ordering::Relaxed);
        let bodies = conn.query::<Option<Vec<u8>>, _>(HIDDEN_STATEMENTS).await;
        let may_change = |body: &Option<Vec<u8>>| {
            let text = body.as_deref().map(String::from_utf8_lossy);
            text.is_none_or(|text| sql::effect(&text, Some(database)) == Effect::ChangesSession)
        };
        let is_found = match bodies {
            Ok(bodies) => bodies.iter().any(may_change),
            // The user may not see them, so they may exist.
            Err(mysql_async::Error::Server(_)) => true,
            Err(error) => return Err(error),
        };
        if is_found {
            return Ok(self.find());
        }
        self.dispel(doubts);
        Ok(false)
    }

    /// Records that something was found. Returns whether nothing was found before.
    pub(super) fn find(&self) -> bool {
        let doubts = self.doubts.fetch_add(1, Ordering::Relaxed) + 1;
        let before = self.found.swap(doubts, Ordering::Relaxed);
        before <= self.dispelled.load(Ordering::Relaxed)
    }

    /// Records that a look found nothing that began after so many doubts.
    fn dispel(&self, doubts: u64) {
        self.dispelled.fetch_max(doubts, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_dispels_only_doubts_from_before_it_began() {
        let hidden = Hidden::default();
        assert!(!hidden.may_change());
        hidden.doubt();
        assert!(hidden.may_change());
        hidden.dispel(0);
        assert!(hidden.may_change());
        hidden.dispel(1);
        assert!(!hidden.may_change());
        // A look that began earlier may end later.
        hidden.dispel(0);
        assert!(!hidden.may_change());
    }

    #[test]
    fn what_was_found_is_certain_until_it_may_have_been_removed() {
        let hidden = Hidden::default();
        assert!(!hidden.is_certain());
        assert!(hidden.find());
        assert!(hidden.may_change() && hidden.is_certain());
        // Another look finds the same, and one that began before that found nothing.
        assert!(!hidden.find());
        hidden.dispel(1);
        assert!(hidden.may_change() && hidden.is_certain());
        hidden.doubt();
        assert!(hidden.may_change() && !hidden.is_certain());
        hidden.dispel(3);
        assert!(!hidden.may_change() && !hidden.is_certain());
        assert!(hidden.find());
    }
}
