//! What a commit costs on an object store, in requests, and that it costs no more when the table is old and large.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use freshet_core::Destination;
use freshet_destinations::delta::{Lake, LakeOptions, Place};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};

use crate::conformance::commit;
use crate::conformance::rows::{KEYS, package};

/// Objects on one page of a list, on every store.
const PAGE: usize = 1000;

type Counts = BTreeMap<&'static str, usize>;

/// Counts requests as a store bills them: each page of a list is one.
#[derive(Debug)]
struct Counting {
    inner: InMemory,
    counts: Arc<Mutex<Counts>>,
}

impl Counting {
    fn count(&self, request: &'static str, times: usize) {
        *self.counts.lock().unwrap().entry(request).or_default() += times;
    }

    fn listed(&self, objects: Vec<ObjectMeta>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.count("LIST", 1 + objects.len().saturating_sub(1) / PAGE);
        futures::stream::iter(objects.into_iter().map(Ok)).boxed()
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
        self.count("PUT", 1);
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        // Begun, one part, ended.
        self.count("PUT", 3);
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.count(if options.head { "HEAD" } else { "GET" }, 1);
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.count("DELETE", 1);
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let all = futures::executor::block_on(self.inner.list(prefix).try_collect()).unwrap();
        self.listed(all)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let all = futures::executor::block_on(self.inner.list_with_offset(prefix, offset).try_collect()).unwrap();
        self.listed(all)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.count("LIST", 1);
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.count("PUT", 1);
        self.inner.copy_opts(from, to, options).await
    }
}

/// Requests of each kind, of the upkeep of the log apart, per commit.
#[derive(Debug, Default)]
struct Costs {
    commits: Counts,
    upkeep: Counts,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_costs_the_same_however_old_the_table_is() {
    // So many commits lie between two looks.
    const WINDOW: u64 = 100;
    let commits = if std::env::var_os("FRESHET_FULL").is_some() { 10_000 } else { 600 };
    let counts = Arc::new(Mutex::new(Counts::new()));
    let store = Arc::new(Counting { inner: InMemory::new(), counts: Arc::clone(&counts) });
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
        }
        if at % WINDOW == WINDOW - 1 {
            windows.push((at + 1, std::mem::take(&mut costs)));
        }
    }
    for (at, costs) in windows.iter().filter(|(at, _)| [100, 600, 1_000, 5_000, 10_000].contains(at)) {
        eprintln!("after {at} commits, requests in {WINDOW} commits: {:?}, in upkeep of the log: {:?}", costs.commits, costs.upkeep);
    }
    let total = |counts: &Counts| counts.values().sum::<usize>();
    let (first, last) = (&windows[1].1, &windows[windows.len() - 1].1);
    assert!(total(&last.commits) <= total(&first.commits) * 11 / 10, "{first:?} became {last:?}");
    assert!(total(&last.upkeep) <= total(&first.upkeep) * 11 / 10, "{first:?} became {last:?}");
}

fn add(sum: &mut Counts, more: Counts) {
    for (request, times) in more {
        *sum.entry(request).or_default() += times;
    }
}
