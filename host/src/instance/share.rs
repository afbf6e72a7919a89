//! The bytes that the host holds for an instance: rows, replies and parameters on their way. They count against the
//! instance's memory limit like its own memories. Otherwise a component could make the host hold what it may not hold
//! itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::metrics::Refusal;
use crate::outbound::largest_piece;

/// The unit, in bytes, in which held bytes are counted. A smaller piece is not counted, because it is held for one call
/// only; smaller rows of a stream are counted together.
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
    /// Room for pieces that wait for a permit. They are in the host's memory meanwhile.
    waiting: Arc<Semaphore>,
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
            waiting: Arc::new(Semaphore::new(units as usize)),
            units,
            largest_bytes: largest_piece(memory_limit_bytes),
        }
    }

    /// The number of bytes that are held now.
    pub(crate) fn held_bytes(&self) -> usize {
        (self.units as usize).saturating_sub(self.permits.available_permits()) * UNIT_BYTES
    }

    /// Whether there can ever be room for `bytes` in one piece.
    pub(crate) fn can_hold(&self, bytes: usize) -> bool {
        self.units_for(bytes).is_ok()
    }

    /// Takes room for `bytes` that are in memory already, and waits until there is enough. No more bytes wait at a time
    /// than may be held, so that many calls at once can't make the host hold more.
    ///
    /// # Errors
    /// There can never be enough room, or there is not enough within `limit`, or too many bytes wait already.
    pub(crate) async fn hold(&self, bytes: usize, limit: Duration) -> Result<HeldBytes, NoRoom> {
        let Some(units) = self.units_for(bytes)? else {
            return Ok(HeldBytes::default());
        };
        let mut of_instance = self.permits.clone().try_acquire_many_owned(units).ok();
        if of_instance.is_none() {
            let waits = self.waiting.try_acquire_many(units);
            let _waits = waits.map_err(|_| NoRoom::Full)?;
            of_instance = acquire(&self.permits, units, limit).await?;
        }
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
        match self.units_for(bytes)? {
            Some(units) => acquire(&self.permits, units, limit).await,
            None => Ok(None),
        }
    }

    /// How many units `bytes` count for; `None` if they are too few to count.
    ///
    /// # Errors
    /// There can never be enough room.
    fn units_for(&self, bytes: usize) -> Result<Option<u32>, NoRoom> {
        if bytes < UNIT_BYTES {
            return Ok(None);
        }
        if bytes > self.largest_bytes {
            return Err(NoRoom::TooLarge {
                bytes,
                most: self.largest_bytes,
            });
        }
        Ok(Some(units(bytes).min(self.units)))
    }

    /// The part of the share for one stream of rows.
    pub(crate) fn stream(&self) -> StreamShare {
        let units = (self.units / STREAM).max(1);
        StreamShare {
            share: self.clone(),
            permits: Arc::new(Semaphore::new(units as usize)),
            units,
            uncounted_bytes: AtomicUsize::new(0),
        }
    }
}

/// What one stream of rows may read ahead: its part of the share, or one larger row.
#[derive(Debug)]
pub(crate) struct StreamShare {
    share: MemoryShare,
    permits: Arc<Semaphore>,
    units: u32,
    /// The bytes of small rows that the next row is to count for. Changed by [`StreamShare::hold`].
    uncounted_bytes: AtomicUsize,
}

impl StreamShare {
    /// Takes room for one row of `bytes`, and waits until the component has taken enough of the earlier rows. Of small
    /// rows, only one in several takes room, for all of them.
    ///
    /// # Errors
    /// There can never be enough room, or there is not enough within `limit`.
    pub(crate) async fn hold(&self, bytes: usize, limit: Duration) -> Result<HeldBytes, NoRoom> {
        let is_small = bytes < UNIT_BYTES;
        let bytes = match is_small {
            true => self.uncounted_bytes.load(Ordering::Relaxed) + bytes,
            false => bytes,
        };
        if bytes < UNIT_BYTES {
            self.uncounted_bytes.store(bytes, Ordering::Relaxed);
            return Ok(HeldBytes::default());
        }
        let own = units(bytes).min(self.units);
        let of_stream = acquire(&self.permits, own, limit).await?;
        let of_instance = self.share.permit(bytes, limit).await?;
        if is_small {
            self.uncounted_bytes.store(0, Ordering::Relaxed);
        }
        Ok(HeldBytes {
            of_instance,
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
        assert!(share.can_hold(8 * MIB) && !share.can_hold(8 * MIB + 1));
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
    async fn no_more_wait_than_may_be_held() {
        let share = MemoryShare::of(128 * MIB);
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(share.hold(8 * MIB, AT_ONCE).await.expect("there is room"));
        }
        let mut waiting: Vec<_> = (0..4)
            .map(|_| Box::pin(share.hold(8 * MIB, LONG)))
            .collect();
        for waits in &mut waiting {
            assert!(futures::poll!(waits).is_pending());
        }
        let refusal = share.hold(2048, LONG).await.expect_err("too many wait");
        assert_eq!(refusal, NoRoom::Full);
        // Who gives up gives its place back.
        drop(waiting.pop());
        let mut next = Box::pin(share.hold(2048, LONG));
        assert!(futures::poll!(&mut next).is_pending());
        drop(waiting);
        held.pop();
        next.await.expect("it was its turn");
    }

    #[tokio::test]
    async fn small_rows_are_counted_together() {
        let share = MemoryShare::of(128 * MIB);
        let stream = share.stream();
        let mut held = Vec::new();
        for _ in 0..256 {
            held.push(stream.hold(1000, AT_ONCE).await.expect("there is room"));
        }
        assert!(share.held_bytes() >= 256 * 1000, "{}", share.held_bytes());
        drop(held);
        assert_eq!(share.held_bytes(), 0);
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
