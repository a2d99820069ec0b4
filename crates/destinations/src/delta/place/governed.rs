//! The store of a lake that a catalog governs: each table's folder is reached with keys of its own.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use freshet_core::{Clock, Secret};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result,
};
use url::Url;

use super::remote;
use crate::delta::catalog::{Catalog, object_store_error};

/// Objects that are handed on together to be deleted: what one request to S3 takes.
const DELETED_AT_ONCE: usize = 1000;

/// A store below whose `folder` each first part of a path is a table.
pub(super) struct GovernedStore(Arc<Tables>);

/// Paths, and the store with the keys to them.
type Group = (Arc<dyn ObjectStore>, Vec<Result<Path>>);

struct Tables {
    url: Url,
    folder: Path,
    options: Vec<(String, Secret)>,
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    of_tables: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl GovernedStore {
    pub(super) fn new(url: Url, folder: Path, options: &[(String, Secret)], catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Tables { url, folder, options: options.to_vec(), catalog, clock, of_tables: Mutex::default() }))
    }
}

impl Tables {
    /// The store with the keys to the table that `location` lies in.
    fn of(&self, location: &Path) -> Result<Arc<dyn ObjectStore>> {
        let below = location.prefix_match(&self.folder).and_then(|mut parts| parts.next());
        let Some(name) = below else {
            let source = "this lies in no table of the lake".into();
            return Err(Error::NotSupported { source });
        };
        let name = name.as_ref().to_owned();
        let mut of_tables = self.of_tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = of_tables.get(&name) {
            return Ok(Arc::clone(store));
        }
        let keys = remote::Governed { catalog: Arc::clone(&self.catalog), table: name.clone(), clock: Arc::clone(&self.clock) };
        let store = remote::store(&self.url, &self.options, Some(keys)).map_err(object_store_error)?;
        of_tables.insert(name, Arc::clone(&store));
        Ok(store)
    }

    fn listed(
        &self,
        prefix: Option<&Path>,
        list: impl FnOnce(&dyn ObjectStore) -> BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.of(prefix.unwrap_or(&Path::default())) {
            Ok(store) => list(store.as_ref()),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    /// The paths, which are of one table or of few, each group with its table's store.
    fn grouped(&self, paths: Vec<Result<Path>>) -> Vec<BoxStream<'static, Result<Path>>> {
        let mut groups: Vec<Group> = Vec::new();
        let mut failed = Vec::new();
        for path in paths {
            match path.and_then(|path| Ok((self.of(&path)?, path))) {
                Err(error) => failed.push(Err(error)),
                Ok((store, path)) => match groups.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &store)) {
                    Some((_, paths)) => paths.push(Ok(path)),
                    None => groups.push((store, vec![Ok(path)])),
                },
            }
        }
        let mut streams: Vec<_> = groups.into_iter().map(|(store, paths)| store.delete_stream(stream::iter(paths).boxed())).collect();
        streams.push(stream::iter(failed).boxed());
        streams
    }
}

impl fmt::Debug for GovernedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GovernedStore({})", self.0.url)
    }
}

impl fmt::Display for GovernedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.url)
    }
}

#[async_trait]
impl ObjectStore for GovernedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.of(location)?.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.0.of(location)?.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.of(location)?.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let tables = Arc::clone(&self.0);
        locations.chunks(DELETED_AT_ONCE).flat_map(move |paths| stream::iter(tables.grouped(paths)).flatten()).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.listed(prefix, |store| store.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.listed(prefix, |store| store.list_with_offset(prefix, offset))
    }

    /// Nobody has keys to the whole lake, so that what lies in it is what the catalog says.
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        if prefix != Some(&self.0.folder) {
            return self.0.of(prefix.unwrap_or(&Path::default()))?.list_with_delimiter(prefix).await;
        }
        let tables = self.0.catalog.tables().await.map_err(object_store_error)?;
        let common_prefixes = tables.into_iter().map(|name| self.0.folder.clone().join(name)).collect();
        Ok(ListResult { common_prefixes, objects: Vec::new() })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.of(from)?.copy_opts(from, to, options).await
    }
}
