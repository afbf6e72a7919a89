//! Refused connections are told so, as long as not too many wait for their clients to hear it.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Connections at once; each may take some seconds.
const MOST: usize = 256;

/// Counts refused connections that are on their way out.
#[derive(Default)]
pub(crate) struct Farewells(AtomicUsize);

/// One refused connection on its way out; counted until it is dropped.
pub(crate) struct Farewell<'a>(&'a AtomicUsize);

impl Farewells {
    /// None if there are enough of them.
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
