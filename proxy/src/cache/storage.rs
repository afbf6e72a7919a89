//! How pingora looks up answers and keeps new ones.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use pingora_cache::key::HashBinary;
use pingora_cache::storage::{HandleHit, HandleMiss, MissFinishType};
use pingora_cache::trace::SpanHandle;
use pingora_cache::{
    CacheKey, CacheMeta, HitHandler, MissHandler, PurgeOutcome, PurgeTarget, PurgeType, Storage,
};
use pingora_error::Result;

use super::changes::WriteCount;
use super::entries::Entry;
use super::memory::Memory;

fn asked(meta: &CacheMeta) -> Option<WriteCount> {
    meta.extensions().get::<WriteCount>().copied()
}

#[async_trait]
impl Storage for Memory {
    async fn lookup(
        &'static self,
        key: &CacheKey,
        _trace: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        let entry = self.find(key.primary_key(), key.get_variance_key());
        Ok(entry.map(|entry| {
            let body: HitHandler = Box::new(Hit(Some(entry.body().clone())));
            (entry.meta(), body)
        }))
    }

    async fn get_miss_handler(
        &'static self,
        key: &CacheKey,
        meta: &CacheMeta,
        _trace: &SpanHandle,
    ) -> Result<MissHandler> {
        Ok(Box::new(Fill {
            memory: self,
            entry: Entry::new(key.primary_key(), meta, Bytes::new()),
            key: key.primary_key().into(),
            variance: key.get_variance_key().copied(),
            body: BytesMut::new(),
            asked: asked(meta),
        }))
    }

    /// Pingora never calls this: a purge of the proxy forgets all answers.
    async fn purge(
        &'static self,
        _target: PurgeTarget<'_>,
        _purge_type: PurgeType,
        _trace: &SpanHandle,
    ) -> Result<PurgeOutcome> {
        Ok(PurgeOutcome::NotFound)
    }

    async fn update_meta(
        &'static self,
        key: &CacheKey,
        meta: &CacheMeta,
        _trace: &SpanHandle,
    ) -> Result<bool> {
        let (primary, variance) = (key.primary_key(), key.get_variance_key());
        // Another answer may have replaced the one that was asked about. Its body would not fit this head.
        let same = |entry: &Arc<Entry>| entry.kept() == meta.created();
        let Some(before) = self.find(primary, variance).filter(same) else {
            return Ok(false);
        };
        let entry = Entry::new(primary, meta, before.body().clone());
        self.put(primary.into(), variance.copied(), entry, asked(meta));
        Ok(true)
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync + 'static) {
        self
    }
}

/// A kept body, or one range of it. It is read at once.
struct Hit(Option<Bytes>);

#[async_trait]
impl HandleHit for Hit {
    async fn read_body(&mut self) -> Result<Option<Bytes>> {
        Ok(self.0.take())
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn seek(&mut self, start: usize, end: Option<usize>) -> Result<()> {
        self.0 = self.0.take().map(|body| {
            let end = end.unwrap_or(body.len()).min(body.len());
            body.slice(start.min(end)..end)
        });
        Ok(())
    }

    async fn finish(
        self: Box<Self>,
        _storage: &'static (dyn Storage + Sync),
        _key: &CacheKey,
        _trace: &SpanHandle,
    ) -> Result<()> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }

    fn as_any_mut(&mut self) -> &mut (dyn Any + Send + Sync) {
        self
    }
}

/// An answer that is arriving. Nobody can find it before it is complete.
struct Fill {
    memory: &'static Memory,
    key: Box<[u8]>,
    variance: Option<HashBinary>,
    entry: Entry,
    body: BytesMut,
    asked: Option<WriteCount>,
}

#[async_trait]
impl HandleMiss for Fill {
    async fn write_body(&mut self, data: Bytes, _eof: bool) -> Result<()> {
        self.body.extend_from_slice(&data);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<MissFinishType> {
        let Self {
            memory,
            key,
            variance,
            mut entry,
            body,
            asked,
        } = *self;
        // Copy the body, as the buffer may be up to twice as large.
        entry.set_body(Bytes::copy_from_slice(&body));
        let bytes = entry.bytes();
        memory.put(key, variance, entry, asked);
        Ok(MissFinishType::Created(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_range_of_a_body_is_read_alone() {
        let mut hit = Hit(Some(Bytes::from_static(b"0123456789")));
        hit.seek(2, Some(5)).expect("it can");
        let read = hit.read_body().await.expect("it is in memory");
        assert_eq!(read.as_deref(), Some(b"234".as_slice()));
        let mut hit = Hit(Some(Bytes::from_static(b"01")));
        hit.seek(7, Some(9)).expect("it can");
        let read = hit.read_body().await.expect("it is in memory");
        assert_eq!(read.as_deref(), Some(b"".as_slice()));
    }
}
