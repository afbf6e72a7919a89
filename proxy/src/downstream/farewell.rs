//! The proxy tells clients why it refuses their connection, as long as not too many refused connections are still open.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Most refused connections at once; each may take some seconds.
const MOST: usize = 256;

/// Counts refused connections that are still being answered.
#[derive(Default)]
pub(crate) struct Farewells(AtomicUsize);

/// One refused connection that is still being answered; counted until it is dropped.
pub(crate) struct Farewell<'a>(&'a AtomicUsize);

impl Farewells {
    /// `None` if [`MOST`] refused connections are being answered already.
    pub(crate) fn begin(&self) -> Option<Farewell<'_>> {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let farewell = Farewell(&self.0);
        (before < MOST).then_some(farewell)
    }
}

impl Drop for Farewell<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_only_so_many_at_once() {
        let farewells = Farewells::default();
        let mut begun: Vec<_> = (0..MOST).map_while(|_| farewells.begin()).collect();
        assert_eq!(begun.len(), MOST);
        assert!(farewells.begin().is_none());
        assert!(farewells.begin().is_none());
        begun.pop();
        let next = farewells.begin();
        assert!(next.is_some());
        assert!(farewells.begin().is_none());
    }
}
