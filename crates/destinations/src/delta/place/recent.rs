//! Entries of a log are read several times by each commit and by each checkpoint; a store bills every read. They never change, so
//! what was written or read a moment ago is kept.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

/// Bytes of entries that are kept.
const BYTES_MAX: usize = 8 << 20;

/// Bytes of an entry from which on it is not kept: those of `_loads` have a hundred bytes, those of commits a few thousand.
const ENTRY_BYTES_MAX: usize = 256 << 10;

/// Time for which an entry is kept, longer than from one checkpoint to the next. Whoever removes a lake and makes another in its place
/// has to stop what uses it, or wait this long.
const KEPT: Duration = Duration::from_secs(15 * 60);

/// A store that remembers recent entries of logs.
pub(super) struct RecentEntries {
    inner: Arc<dyn ObjectStore>,
    entries: Arc<Mutex<Entries>>,
}

#[derive(Default)]
struct Entries {
    /// The oldest first.
    kept: VecDeque<Entry>,
    bytes: usize,
}

struct Entry {
    meta: ObjectMeta,
    bytes: Bytes,
    since: Instant,
}

impl RecentEntries {
    pub(super) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, entries: Arc::default() }
    }

    fn find(&self, location: &Path) -> Option<GetResult> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let found = entries.kept.iter().rfind(|entry| entry.meta.location == *location && entry.since.elapsed() < KEPT)?;
        Some(result(found.meta.clone(), found.bytes.clone()))
    }

    fn keep(&self, meta: ObjectMeta, bytes: Bytes) {
        if bytes.len() > ENTRY_BYTES_MAX {
            return;
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.bytes += bytes.len();
        entries.kept.push_back(Entry { meta, bytes, since: Instant::now() });
        while entries.bytes > BYTES_MAX || entries.kept.front().is_some_and(|oldest| oldest.since.elapsed() >= KEPT) {
            let Some(oldest) = entries.kept.pop_front() else { break };
            entries.bytes -= oldest.bytes.len();
        }
    }
}

/// Whether `location` is an entry of a log: `_delta_log/` and twenty digits.
fn is_entry(location: &Path) -> bool {
    let mut parts = location.as_ref().rsplit('/');
    let name = parts.next().and_then(|name| name.strip_suffix(".json")).unwrap_or_default();
    name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit()) && parts.next() == Some("_delta_log")
}

fn is_plain(options: &GetOptions) -> bool {
    let GetOptions { if_match, if_none_match, if_modified_since, if_unmodified_since, range, version, head, .. } = options;
    let conditions = [if_match.is_some(), if_none_match.is_some(), if_modified_since.is_some(), if_unmodified_since.is_some()];
    !conditions.contains(&true) && range.is_none() && version.is_none() && !head
}

fn result(meta: ObjectMeta, bytes: Bytes) -> GetResult {
    let range: Range<u64> = 0..meta.size;
    let payload = GetResultPayload::Stream(stream::once(std::future::ready(Ok(bytes))).boxed());
    GetResult { payload, meta, range, attributes: object_store::Attributes::default() }
}

impl fmt::Debug for RecentEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Display for RecentEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for RecentEntries {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let is_kept = matches!(opts.mode, PutMode::Create) && is_entry(location);
        let put = self.inner.put_opts(location, payload.clone(), opts).await?;
        if is_kept {
            let bytes = Bytes::from(payload);
            let meta = ObjectMeta {
                location: location.clone(),
                last_modified: chrono::Utc::now(),
                size: bytes.len() as u64,
                e_tag: put.e_tag.clone(),
                version: put.version.clone(),
            };
            self.keep(meta, bytes);
        }
        Ok(put)
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if !is_entry(location) || !is_plain(&options) {
            return self.inner.get_opts(location, options).await;
        }
        if let Some(found) = self.find(location) {
            return Ok(found);
        }
        let found = self.inner.get_opts(location, options).await?;
        let meta = found.meta.clone();
        let bytes = found.bytes().await?;
        self.keep(meta.clone(), bytes.clone());
        Ok(result(meta, bytes))
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn only_entries_that_landed_are_remembered() {
        let inner = Arc::new(InMemory::new());
        let store = RecentEntries::new(Arc::clone(&inner) as _);
        let entry = Path::from("lake/t/_delta_log/00000000000000000007.json");
        let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        inner.put(&entry, "theirs".into()).await.unwrap();
        store.put_opts(&entry, "ours".into(), create()).await.unwrap_err();
        assert_eq!(store.get(&entry).await.unwrap().bytes().await.unwrap(), "theirs");
        inner.delete(&entry).await.unwrap();
        assert_eq!(store.get(&entry).await.unwrap().bytes().await.unwrap(), "theirs", "it was read again");
        assert!(store.head(&entry).await.is_err(), "whether it is there is asked");
        let hint = Path::from("lake/t/_delta_log/_last_checkpoint");
        store.put(&hint, "1".into()).await.unwrap();
        inner.put(&hint, "2".into()).await.unwrap();
        assert_eq!(store.get(&hint).await.unwrap().bytes().await.unwrap(), "2");
    }

    #[tokio::test]
    async fn memory_and_time_are_bounded() {
        let inner = Arc::new(InMemory::new());
        let store = RecentEntries::new(Arc::clone(&inner) as _);
        let large = "x".repeat(ENTRY_BYTES_MAX);
        for version in 0..100 {
            let entry = Path::from(format!("t/_delta_log/{version:020}.json"));
            store.put_opts(&entry, large.clone().into(), PutOptions { mode: PutMode::Create, ..PutOptions::default() }).await.unwrap();
        }
        assert_eq!(store.entries.lock().unwrap().kept.len(), BYTES_MAX / ENTRY_BYTES_MAX);
        let last = Path::from(format!("t/_delta_log/{:020}.json", 99));
        inner.delete(&last).await.unwrap();
        store.get(&last).await.unwrap();
        for entry in &mut store.entries.lock().unwrap().kept {
            entry.since = entry.since.checked_sub(KEPT).unwrap();
        }
        assert!(store.get(&last).await.is_err());
    }
}
