//! A store that fails: before it does what it was asked to, or after.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, RenameOptions, Result,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The request never arrives.
    Before,
    /// The request is carried out, the answer is lost.
    After,
    /// A put overwrites whatever it was told to spare, and a delete deletes nothing; both say that all is well.
    Lie,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Put,
    Get,
    Delete,
}

type Plan = Box<dyn FnMut(Request, &Path) -> Fault + Send>;

pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    plan: Arc<Mutex<Plan>>,
    kind: std::io::ErrorKind,
}

impl FaultyStore {
    pub fn new(inner: Arc<dyn ObjectStore>, kind: std::io::ErrorKind) -> Self {
        Self { inner, plan: Arc::new(Mutex::new(Box::new(|_, _| Fault::None))), kind }
    }

    /// From now on, `plan` says what goes wrong.
    pub fn plan(&self, plan: impl FnMut(Request, &Path) -> Fault + Send + 'static) {
        *self.plan.lock().unwrap() = Box::new(plan);
    }

    fn fault(&self, request: Request, location: &Path) -> Fault {
        (self.plan.lock().unwrap())(request, location)
    }

    fn error(&self) -> object_store::Error {
        object_store::Error::Generic { store: "faulty", source: std::io::Error::new(self.kind, "by plan").into() }
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        match self.fault(Request::Put, location) {
            Fault::None => self.inner.put_opts(location, payload, opts).await,
            Fault::Before => Err(self.error()),
            Fault::After => {
                let _ = self.inner.put_opts(location, payload, opts).await;
                Err(self.error())
            }
            Fault::Lie => self.inner.put_opts(location, payload, PutOptions { mode: PutMode::Overwrite, ..opts }).await,
        }
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        match self.fault(Request::Put, location) {
            Fault::None | Fault::Lie => self.inner.put_multipart_opts(location, opts).await,
            Fault::Before | Fault::After => Err(self.error()),
        }
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.fault(Request::Get, location) {
            Fault::None | Fault::Lie => self.inner.get_opts(location, options).await,
            Fault::Before | Fault::After => Err(self.error()),
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.fault(Request::Delete, &Path::default()) {
            Fault::None => self.inner.delete_stream(locations),
            Fault::Lie => locations,
            Fault::Before | Fault::After => Box::pin(futures::stream::iter([Err(self.error())])),
        }
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
