//! What a commit costs on an object store, in requests, and that it costs no more when the table is old and large.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use freshet_core::{Clock, Destination, Micros, SystemClock};
use freshet_destinations::delta::{CompactionOptions, Lake, LakeOptions, Leased, Place};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

use crate::conformance::rows::{KEYS, package};
use crate::conformance::{checkpoint, commit};
use crate::removal::SetClock;

/// Objects on one page of a list, on every store.
const PAGE: usize = 1000;

type Counts = BTreeMap<&'static str, usize>;

/// Counts requests as a store bills them: each page of a list is one.
#[derive(Debug, Default)]
struct Counting {
    inner: InMemory,
    /// What is there, in order: a list by the store in memory looks at every object, which takes hours for ten thousand commits.
    objects: Arc<Mutex<BTreeMap<Path, ObjectMeta>>>,
    counts: Arc<Mutex<Counts>>,
}

fn count(counts: &Mutex<Counts>, request: &'static str) {
    *counts.lock().unwrap().entry(request).or_default() += 1;
}

impl Counting {
    fn listed(&self, prefix: Option<&Path>, after: Bound<Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned().unwrap_or_default();
        let objects: Vec<ObjectMeta> = {
            let objects = self.objects.lock().unwrap();
            let below = objects.range((after, Bound::Unbounded)).skip_while(|(path, _)| **path < prefix);
            let below = below.take_while(|(path, _)| path.as_ref().starts_with(prefix.as_ref()));
            below.filter(|(path, _)| path.prefix_matches(&prefix)).map(|(_, object)| object.clone()).collect()
        };
        // A page is asked for when somebody wants its first object.
        let counts = Arc::clone(&self.counts);
        count(&counts, "LIST");
        let objects = objects.into_iter().enumerate().inspect(move |(at, _)| {
            if *at > 0 && at % PAGE == 0 {
                count(&counts, "LIST");
            }
        });
        futures::stream::iter(objects.map(|(_, object)| Ok(object))).boxed()
    }

    async fn note(&self, location: &Path) -> Result<()> {
        let object = self.inner.head(location).await?;
        self.objects.lock().unwrap().insert(location.clone(), object);
        Ok(())
    }
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counting")
    }
}

#[async_trait]
impl ObjectStore for Counting {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        count(&self.counts, "PUT");
        let put = self.inner.put_opts(location, payload, opts).await?;
        self.note(location).await?;
        Ok(put)
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        panic!("{location} is sent in parts, which are not counted yet")
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        count(&self.counts, if options.head { "HEAD" } else { "GET" });
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        count(&self.counts, "DELETE");
        let objects = Arc::clone(&self.objects);
        let forget = move |path: &Path| drop(objects.lock().unwrap().remove(path));
        self.inner.delete_stream(locations).inspect_ok(forget).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix, prefix.map_or(Bound::Unbounded, |prefix| Bound::Included(prefix.clone())))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix, Bound::Excluded(offset.clone()))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        count(&self.counts, "LIST");
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        count(&self.counts, "PUT");
        self.inner.copy_opts(from, to, options).await?;
        self.note(to).await
    }
}

/// Requests of each kind.
#[derive(Debug, Default)]
struct Costs {
    commits: Counts,
    /// Of the upkeep of the log.
    upkeep: Counts,
    /// Of looks for files to merge, which find none.
    looks: Counts,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_costs_the_same_however_old_the_table_is() {
    // So many commits lie between two looks.
    const WINDOW: u64 = 100;
    let commits = if std::env::var_os("FRESHET_FULL").is_some() { 10_000 } else { 600 };
    let counts = Arc::new(Mutex::new(Counts::new()));
    let store = Arc::new(Counting { counts: Arc::clone(&counts), ..Counting::default() });
    // Files stay as small and as many as they are.
    let merging = CompactionOptions { closed_files_min: usize::MAX, open_files_min: usize::MAX, ..CompactionOptions::default() };
    let place = Place::in_store("s3://bucket/lake".parse().unwrap(), store).unwrap();
    let lake = Lake::at(place, LakeOptions::default());
    lake.prepare(&KEYS).await.unwrap();
    let take = || std::mem::take(&mut *counts.lock().unwrap());
    let mut windows: Vec<(u64, Costs)> = Vec::new();
    let mut costs = Costs::default();
    for at in 0..commits {
        take();
        commit(&lake, &package(&KEYS, [i64::try_from(at).unwrap()], &[("a", at, at + 1)])).await;
        add(&mut costs.commits, take());
        if at % 20 == 19 {
            lake.maintain_log(KEYS.name).await.unwrap();
            add(&mut costs.upkeep, take());
            lake.compact(KEYS.name, &merging).await.unwrap();
            add(&mut costs.looks, take());
        }
        if at % WINDOW == WINDOW - 1 {
            windows.push((at + 1, std::mem::take(&mut costs)));
        }
    }
    for (at, costs) in windows.iter().filter(|(at, _)| [100, 600, 1_000, 5_000, 10_000].contains(at)) {
        eprintln!(
            "after {at} commits, requests in {WINDOW} commits: {:?}, in upkeep of the log: {:?}, in looks: {:?}",
            costs.commits, costs.upkeep, costs.looks
        );
    }
    let total = |counts: &Counts| counts.values().sum::<usize>();
    let (first, last) = (&windows[1].1, &windows[windows.len() - 1].1);
    for (first, last) in [(&first.commits, &last.commits), (&first.upkeep, &last.upkeep), (&first.looks, &last.looks)] {
        assert!(total(last) <= total(first) * 11 / 10, "{first:?} became {last:?}");
    }
}

fn add(sum: &mut Counts, more: Counts) {
    for (request, times) in more {
        *sum.entry(request).or_default() += times;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_entries_of_a_log_on_a_store_are_listed_and_removed_when_they_are_overdue() {
    let store = Arc::new(Counting::default());
    let place = Place::in_store("s3://bucket/lake".parse().unwrap(), store).unwrap();
    let clock = Arc::new(SetClock(AtomicI64::new(SystemClock.now().0)));
    let options = LakeOptions { log_retention_days: 0, checkpoint_every: 5, clock: Arc::clone(&clock) as _, ..LakeOptions::default() };
    let lake = Lake::at(place, options);
    lake.prepare(&KEYS).await.unwrap();
    let mut removed = Vec::new();
    for at in 0..24_u64 {
        if at == 12 {
            clock.0.fetch_add(2 * Micros::PER_DAY, Ordering::SeqCst);
        }
        commit(&lake, &package(&KEYS, [i64::try_from(at).unwrap()], &[("a", at, at + 1)])).await;
        let Leased::Done(upkeep) = lake.maintain_log(KEYS.name).await.unwrap() else { panic!("held") };
        removed.push(upkeep.log_files_removed);
    }
    assert_eq!(removed[..12].iter().sum::<u64>(), 0, "{removed:?}");
    assert!(removed[12..].iter().sum::<u64>() >= 12, "{removed:?}");
    assert_eq!(checkpoint(&lake, &KEYS, "a").await, Some(24));
    assert_eq!(lake.describe(KEYS.name).await.unwrap().unwrap().rows, Some(24));
}
