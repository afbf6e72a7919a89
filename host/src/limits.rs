//! What one instance may use: memory, all of it together.

use wasmtime::ResourceLimiter;

/// Bytes that one element of a table takes on a 64-bit machine.
const TABLE_ELEMENT_BYTES: usize = 8;

/// Counts the memories and tables of one store against one limit.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    limit_bytes: usize,
    used_bytes: usize,
}

impl MemoryLimiter {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            used_bytes: 0,
        }
    }

    fn grow(&mut self, current_bytes: usize, desired_bytes: usize) -> bool {
        let used = self
            .used_bytes
            .saturating_add(desired_bytes.saturating_sub(current_bytes));
        let granted = used <= self.limit_bytes;
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
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(
            current.saturating_mul(TABLE_ELEMENT_BYTES),
            desired.saturating_mul(TABLE_ELEMENT_BYTES),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_share_one_limit() {
        let mut limiter = MemoryLimiter::new(100);
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
}
