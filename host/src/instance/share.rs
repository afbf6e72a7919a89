//! The bytes that the host holds for an instance: rows, replies and parameters on their way. They count against the
//! instance's memory limit like its own memories. Otherwise a component could make the host hold what it may not hold
//! itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::metrics::Refusal;
use crate::outbound::largest_piece;

/// The unit, in bytes, in which held bytes are counted. Smaller pieces are not counted: a request can't hold many of
/// them.
const UNIT_BYTES: usize = 1024;

/// The divisor of the memory limit that gives the most bytes on their way at once. The rest is room for the instance
/// itself.
const SHARE: usize = 4;

/// The divisor of that share that gives what one stream of rows may read ahead. It is the default number of requests in
/// an instance, so that all of them can stream to slow readers at once.
const STREAM: u32 = 64;

/// Why the host does not hold something for a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRoom {
    #[error(
        "{bytes} bytes in one piece are more than the host holds for the component, which are {most}; it is a part of \
         its memory limit"
    )]
    TooLarge { bytes: usize, most: usize },
    #[error(
        "a row is larger than the host holds for the component in one piece, which is a part of its memory limit"
    )]
    RowTooLarge,
    #[error("the component does not read what the host holds for it; no room is left for more")]
    Full,
}

impl NoRoom {
    /// The reason under which the metrics count this.
    pub(crate) fn refusal(self) -> Refusal {
        match self {
            Self::TooLarge { .. } | Self::RowTooLarge => Refusal::Size,
            Self::Full => Refusal::Full,
        }
    }
}

/// The share of one instance.
#[derive(Clone, Debug)]
pub(crate) struct MemoryShare {
    permits: Arc<Semaphore>,
    units: u32,
    largest_bytes: usize,
}

/// Bytes that the host holds until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct HeldBytes {
    of_instance: Option<OwnedSemaphorePermit>,
    _of_stream: Option<OwnedSemaphorePermit>,
}

impl HeldBytes {
    /// Whether the bytes are enough to be counted.
    pub(crate) fn is_counted(&self) -> bool {
        self.of_instance.is_some()
    }
}

impl MemoryShare {
    /// The share of an instance with this memory limit.
    pub(crate) fn of(memory_limit_bytes: usize) -> Self {
        let units = units(memory_limit_bytes / SHARE).max(1);
        Self {
            permits: Arc::new(Semaphore::new(units as usize)),
            units,
            largest_bytes: largest_piece(memory_limit_bytes),
        }
    }

    /// The number of bytes that are held now.
    pub(crate) fn held_bytes(&self) -> usize {
        (self.units as usize).saturating_sub(self.permits.available_permits()) * UNIT_BYTES
    }

    /// Takes room for `bytes`, and waits until there is enough.
    ///
    /// # Errors
    /// There can never be enough room, or there is not enough within `limit`.
    pub(crate) async fn hold(&self, bytes: usize, limit: Duration) -> Result<HeldBytes, NoRoom> {
        let of_instance = self.permit(bytes, limit).await?;
        Ok(HeldBytes {
            of_instance,
            _of_stream: None,
        })
    }

    async fn permit(
        &self,
        bytes: usize,
        limit: Duration,
    ) -> Result<Option<OwnedSemaphorePermit>, NoRoom> {
        if bytes < UNIT_BYTES {
            return Ok(None);
        }
        if bytes > self.largest_bytes {
            return Err(NoRoom::TooLarge {
                bytes,
                most: self.largest_bytes,
            });
        }
        acquire(&self.permits, units(bytes).min(self.units), limit).await
    }

    /// The part of the share for one stream of rows.
    pub(crate) fn stream(&self) -> StreamShare {
        let units = (self.units / STREAM).max(1);
        StreamShare {
            share: self.clone(),
            permits: Arc::new(Semaphore::new(units as usize)),
            units,
        }
    }
}

/// What one stream of rows may read ahead: its part of the share, or one larger row.
#[derive(Debug)]
pub(crate) struct StreamShare {
    share: MemoryShare,
    permits: Arc<Semaphore>,
    units: u32,
}

impl StreamShare {
    /// Takes room for one row of `bytes`, and waits until the component has taken enough of the earlier rows.
    ///
    /// # Errors
    /// There can never be enough room, or there is not enough within `limit`.
    pub(crate) async fn hold(&self, bytes: usize, limit: Duration) -> Result<HeldBytes, NoRoom> {
        if bytes < UNIT_BYTES {
            return Ok(HeldBytes::default());
        }
        let own = units(bytes).min(self.units);
        let of_stream = acquire(&self.permits, own, limit).await?;
        Ok(HeldBytes {
            of_instance: self.share.permit(bytes, limit).await?,
            _of_stream: of_stream,
        })
    }

    /// The number of bytes that the stream may read ahead.
    pub(crate) fn bytes(&self) -> usize {
        self.units as usize * UNIT_BYTES
    }
}

async fn acquire(
    permits: &Arc<Semaphore>,
    units: u32,
    limit: Duration,
) -> Result<Option<OwnedSemaphorePermit>, NoRoom> {
    if let Ok(permit) = permits.clone().try_acquire_many_owned(units) {
        return Ok(Some(permit));
    }
    match timeout(limit, permits.clone().acquire_many_owned(units)).await {
        Ok(Ok(permit)) => Ok(Some(permit)),
        Ok(Err(_)) | Err(_) => Err(NoRoom::Full),
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;
    const AT_ONCE: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn what_is_held_counts_until_it_is_dropped() {
        let share = MemoryShare::of(128 * MIB);
        assert_eq!(share.held_bytes(), 0);
        let held = share.hold(8 * MIB, AT_ONCE).await.expect("there is room");
        assert_eq!(share.held_bytes(), 8 * MIB);
        drop(held);
        assert_eq!(share.held_bytes(), 0);
        let small = share.hold(100, AT_ONCE).await.expect("it is small");
        assert_eq!(share.held_bytes(), 0);
        drop(small);
    }

    #[tokio::test]
    async fn one_piece_has_a_limit_and_all_have_one() {
        let share = MemoryShare::of(128 * MIB);
        let refusal = share.hold(8 * MIB + 1, LONG).await.expect_err("too large");
        assert!(matches!(refusal, NoRoom::TooLarge { most, .. } if most == 8 * MIB));
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(share.hold(8 * MIB, AT_ONCE).await.expect("there is room"));
        }
        let refusal = share.hold(2048, AT_ONCE).await.expect_err("no room");
        assert_eq!(refusal, NoRoom::Full);
        held.pop();
        share
            .hold(2048, AT_ONCE)
            .await
            .expect("there is room again");
    }

    #[tokio::test]
    async fn a_stream_reads_ahead_its_part_or_one_large_row() {
        let share = MemoryShare::of(128 * MIB);
        let stream = share.stream();
        assert_eq!(stream.bytes(), MIB / 2);
        let large = stream
            .hold(5 * MIB, AT_ONCE)
            .await
            .expect("it is the first");
        stream.hold(2048, AT_ONCE).await.expect_err("no room");
        assert_eq!(share.held_bytes(), 5 * MIB);
        drop(large);
        let _half = stream.hold(MIB / 4, AT_ONCE).await.expect("there is room");
        stream.hold(MIB / 4, AT_ONCE).await.expect("there is room");
    }

    #[tokio::test]
    async fn the_smallest_instance_gets_its_rows_too() {
        let share = MemoryShare::of(MIB);
        let stream = share.stream();
        stream.hold(MIB / 16, AT_ONCE).await.expect("a whole piece");
        MemoryShare::of(0)
            .stream()
            .hold(10, AT_ONCE)
            .await
            .expect("small");
    }
}
