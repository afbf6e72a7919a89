//! The memory limit of one instance.

use wasmtime::ResourceLimiter;

use super::share::MemoryShare;

/// The size of one table element on a 64-bit machine, in bytes.
const TABLE_ELEMENT_BYTES: usize = 8;

/// Counts the memories and tables of one wasmtime store, and the bytes that the host holds for it, against one limit.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    limit_bytes: usize,
    used_bytes: usize,
    share: MemoryShare,
}

impl MemoryLimiter {
    pub(crate) fn new(limit_bytes: usize, share: MemoryShare) -> Self {
        Self {
            limit_bytes,
            used_bytes: 0,
            share,
        }
    }

    /// Whether a memory or table may grow. `unit` is the size in bytes of what the other numbers count. A growth beyond
    /// `maximum` fails in wasmtime in any case, so it does not count.
    fn grow(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
        unit: usize,
    ) -> bool {
        let used = self
            .used_bytes
            .saturating_add(desired.saturating_sub(current).saturating_mul(unit));
        let with_held = used.saturating_add(self.share.held_bytes());
        let granted = with_held <= self.limit_bytes && maximum.is_none_or(|most| desired <= most);
        if granted {
            self.used_bytes = used;
        }
        granted
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, maximum, 1))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, maximum, TABLE_ELEMENT_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(bytes: usize) -> MemoryLimiter {
        MemoryLimiter::new(bytes, MemoryShare::of(bytes))
    }

    #[test]
    fn memories_and_tables_share_one_limit() {
        let mut limiter = limiter(100);
        let mut memory = |current, desired| {
            limiter
                .memory_growing(current, desired, None)
                .expect("never traps")
        };
        assert!(memory(0, 60));
        assert!(
            !memory(0, 41),
            "two memories may not pass the limit together"
        );
        assert!(memory(60, 84));
        assert!(limiter.table_growing(0, 2, None).expect("never traps"));
        assert!(!limiter.table_growing(2, 3, None).expect("never traps"));
    }

    #[tokio::test]
    async fn what_the_host_holds_counts_too() {
        const MIB: usize = 1024 * 1024;
        let share = MemoryShare::of(64 * MIB);
        let mut limiter = MemoryLimiter::new(64 * MIB, share.clone());
        let mut grows = |from, to| {
            limiter
                .memory_growing(from * MIB, to * MIB, None)
                .expect("never traps")
        };
        let held = share.hold(4 * MIB, std::time::Duration::ZERO).await;
        assert!(grows(0, 60));
        assert!(!grows(60, 61));
        drop(held);
        assert!(grows(60, 64));
    }

    #[test]
    fn a_growth_that_fails_anyway_is_not_counted() {
        let mut limiter = limiter(100);
        let mut memory = |desired, maximum| {
            limiter
                .memory_growing(0, desired, Some(maximum))
                .expect("never traps")
        };
        assert!(!memory(80, 79));
        assert!(memory(90, 90));
    }
}
