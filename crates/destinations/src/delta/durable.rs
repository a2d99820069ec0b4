//! A local file store whose writes survive a power cut.
//!
//! `object_store`'s own local store never syncs. A Delta commit that it acknowledged can vanish, or worse, name files
//! whose bytes never reached the disk, after the spool has let go of the payloads.

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path as FsPath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use uuid::Uuid;

/// Directories remembered as synced up to the root. Forgetting one costs a few cheap syncs.
const KNOWN_DIRECTORIES_MAX: usize = 4096;

/// The local file system as an object store, addressed by absolute path.
///
/// A `put` returns only when the bytes, the file's name and every new directory above it are on disk, and the file is
/// visible only when its bytes are. Until then it is a sibling named `<name>#<digits>`, which listings leave out.
#[derive(Clone)]
pub struct DurableStore {
    files: LocalFileSystem,
    root: Arc<FsPath>,
    known_directories: Arc<Mutex<HashSet<PathBuf>>>,
}

impl DurableStore {
    /// A store for the files below `root`, an absolute path. Directories are synced up to `root`.
    #[must_use]
    pub fn new(root: &FsPath) -> Self {
        Self { files: LocalFileSystem::new(), root: Arc::from(root), known_directories: Arc::default() }
    }

    /// Makes the names in the directory at `location` durable, whoever wrote them.
    ///
    /// # Errors
    /// When the directory cannot be opened or synced.
    pub async fn sync_directory(&self, location: &Path) -> Result<()> {
        let directory = self.files.path_to_filesystem(location)?;
        blocking(move || sync_directory(&directory)).await
    }

    fn write(&self, target: &FsPath, payload: &PutPayload, mode: &PutMode) -> Result<()> {
        let staged = self.stage(target)?;
        let mut file = &staged.file;
        payload.iter().try_for_each(|bytes| file.write_all(bytes)).map_err(|error| failed("write", target, error))?;
        self.publish(&staged, target, mode)
    }

    /// A new file beside `target`.
    fn stage(&self, target: &FsPath) -> Result<Staged> {
        let directory = target.parent().unwrap_or(&self.root);
        self.make_directory(directory)?;
        let path = staging_path(target);
        let file = match create_new(&path) {
            // Somebody removed the directory that we remember.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.directories().clear();
                self.make_directory(directory)?;
                create_new(&path)
            }
            other => other,
        };
        file.map(|file| Staged { path: path.clone(), file }).map_err(|error| failed("create", &path, error))
    }

    /// Gives the file its name, once its bytes are on disk.
    fn publish(&self, staged: &Staged, target: &FsPath, mode: &PutMode) -> Result<()> {
        staged.file.sync_all().map_err(|error| failed("sync", target, error))?;
        match mode {
            PutMode::Create => fs::hard_link(&staged.path, target).map_err(|error| failed("create", target, error))?,
            PutMode::Overwrite | PutMode::Update(_) => {
                fs::rename(&staged.path, target).map_err(|error| failed("replace", target, error))?;
            }
        }
        sync_directory(target.parent().unwrap_or(&self.root))
    }

    /// Makes `directory` exist, and its own name and those of its parents durable up to the root.
    fn make_directory(&self, directory: &FsPath) -> Result<()> {
        if self.directories().contains(directory) {
            return Ok(());
        }
        fs::create_dir_all(directory).map_err(|error| failed("create the directory", directory, error))?;
        // Not only the new ones: another process may have made one a moment ago and not have synced it yet.
        for ancestor in directory.ancestors().take_while(|ancestor| ancestor.starts_with(&self.root)) {
            sync_directory(ancestor)?;
        }
        let mut known = self.directories();
        if known.len() >= KNOWN_DIRECTORIES_MAX {
            known.clear();
        }
        known.insert(directory.to_owned());
        Ok(())
    }

    fn directories(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.known_directories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn list_after(self, prefix: Path, offset: Path) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        let directory = self.files.path_to_filesystem(&prefix)?;
        let (below, after) = (prefix.clone(), offset.clone());
        Ok(match blocking(move || Ok(list_flat(&directory, &below, &after))).await? {
            Some(listed) => stream::iter(listed.into_iter().map(Ok)).boxed(),
            None => self.files.list_with_offset(Some(&prefix), &offset),
        })
    }

    /// After another call made `location` appear: its bytes and its name to disk.
    async fn settle(&self, location: &Path) -> Result<()> {
        let target = self.files.path_to_filesystem(location)?;
        let store = self.clone();
        blocking(move || {
            let file = File::open(&target).map_err(|error| failed("open", &target, error))?;
            file.sync_all().map_err(|error| failed("sync", &target, error))?;
            let directory = target.parent().unwrap_or(&store.root);
            store.make_directory(directory)?;
            sync_directory(directory)
        })
        .await
    }
}

impl fmt::Debug for DurableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DurableStore({})", self.root.display())
    }
}

impl fmt::Display for DurableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root.display())
    }
}

#[async_trait]
impl ObjectStore for DurableStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if matches!(opts.mode, PutMode::Update(_)) || !opts.attributes.is_empty() {
            return Err(object_store::Error::NotImplemented {
                operation: "conditional update or attributes".to_owned(),
                implementer: self.to_string(),
            });
        }
        let target = self.files.path_to_filesystem(location)?;
        let store = self.clone();
        blocking(move || store.write(&target, &payload, &opts.mode)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let target = self.files.path_to_filesystem(location)?;
        let store = self.clone();
        let upload = blocking(move || {
            let staged = Arc::new(store.stage(&target)?);
            Ok(Upload { store, target, staged: Some(staged), length: 0 })
        });
        Ok(Box::new(upload.await?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        match prefix.cloned() {
            Some(prefix) => stream::once(self.clone().list_after(prefix, offset.clone())).try_flatten().boxed(),
            None => self.files.list_with_offset(None, offset),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await?;
        self.settle(to).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.files.rename_opts(from, to, options).await?;
        self.settle(to).await
    }
}

/// A file that comes in parts, each written where it belongs.
#[derive(Debug)]
struct Upload {
    store: DurableStore,
    target: PathBuf,
    /// Gone once it is complete or given up.
    staged: Option<Arc<Staged>>,
    length: u64,
}

impl Upload {
    fn ended(&self) -> object_store::Error {
        failed("write", &self.target, io::Error::other("the upload has ended"))
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let Some(staged) = self.staged.clone() else { return Box::pin(std::future::ready(Err(self.ended()))) };
        let mut offset = self.length;
        self.length += data.content_length() as u64;
        Box::pin(blocking(move || {
            for bytes in &data {
                staged.file.write_all_at(bytes, offset).map_err(|error| failed("write", &staged.path, error))?;
                offset += bytes.len() as u64;
            }
            Ok(())
        }))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let staged = self.staged.take().ok_or_else(|| self.ended())?;
        let (store, target) = (self.store.clone(), self.target.clone());
        blocking(move || store.publish(&staged, &target, &PutMode::Overwrite)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        self.staged = None;
        Ok(())
    }
}

/// A file on its way; its name is removed when dropped, whether it was linked into place or given up.
#[derive(Debug)]
struct Staged {
    path: PathBuf,
    file: File,
}

impl Drop for Staged {
    fn drop(&mut self) {
        // A leftover is harmless: listings leave it out and `vacuum` removes it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether `name` is that of a file on its way, or left behind by a process that died.
pub(super) fn is_staging_name(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(_, digits)| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn staging_path(target: &FsPath) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(format!("#{}", Uuid::new_v4().as_u128()));
    PathBuf::from(name)
}

fn create_new(path: &FsPath) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

pub(super) fn sync_directory(directory: &FsPath) -> Result<()> {
    File::open(directory).and_then(|opened| opened.sync_all()).map_err(|error| failed("sync the directory", directory, error))
}

/// The files of one directory after `offset`; nothing when it is not as flat and plain as a log, or not there.
///
/// Every commit lists the log's directory several times. The local store makes a URL of every name in it, and that adds up
/// when a log has tens of thousands of entries; here only the few names after `offset` cost more than a comparison.
fn list_flat(directory: &FsPath, prefix: &Path, offset: &Path) -> Option<Vec<ObjectMeta>> {
    let after = offset.as_ref().strip_prefix(prefix.as_ref())?.strip_prefix('/')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let mut listed = Vec::new();
    for entry in fs::read_dir(directory).ok()? {
        let entry = entry.ok()?;
        let name = entry.file_name().into_string().ok()?;
        if is_staging_name(&name) {
            continue;
        }
        if !entry.file_type().ok()?.is_file() || !name.bytes().all(plain) {
            return None;
        }
        if name.as_str() <= after {
            continue;
        }
        // Gone since: whoever lists a moment later would not see it either.
        let Ok(metadata) = entry.metadata() else { continue };
        listed.push(ObjectMeta {
            location: prefix.clone().join(name),
            last_modified: metadata.modified().ok()?.into(),
            size: metadata.len(),
            e_tag: None,
            version: None,
        });
    }
    Some(listed)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    if Handle::try_current().is_ok() { spawn_blocking(work).await? } else { work() }
}

/// An operating system's refusal, with the file it was about.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {cause}", path.display())]
struct FileError {
    action: &'static str,
    path: PathBuf,
    #[source]
    cause: io::Error,
}

fn failed(action: &'static str, path: &FsPath, cause: io::Error) -> object_store::Error {
    let kind = cause.kind();
    let source = Box::new(FileError { action, path: path.to_owned(), cause });
    let path = path.display().to_string();
    match kind {
        io::ErrorKind::AlreadyExists => object_store::Error::AlreadyExists { path, source },
        io::ErrorKind::NotFound => object_store::Error::NotFound { path, source },
        io::ErrorKind::PermissionDenied => object_store::Error::PermissionDenied { path, source },
        _ => object_store::Error::Generic { store: "local lake", source },
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::*;

    fn at(directory: &tempfile::TempDir, name: &str) -> Path {
        Path::from_absolute_path(directory.path().join(name)).unwrap()
    }

    fn create() -> PutOptions {
        PutOptions { mode: PutMode::Create, ..PutOptions::default() }
    }

    #[tokio::test]
    async fn create_never_replaces_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let store = DurableStore::new(directory.path());
        let location = at(&directory, "a/b/0.json");
        store.put_opts(&location, "one".into(), create()).await.unwrap();
        let error = store.put_opts(&location, "two".into(), create()).await.unwrap_err();
        assert!(matches!(error, object_store::Error::AlreadyExists { .. }), "{error}");
        assert_eq!(store.get(&location).await.unwrap().bytes().await.unwrap(), "one");
        store.put(&location, "three".into()).await.unwrap();
        assert_eq!(store.get(&location).await.unwrap().bytes().await.unwrap(), "three");
        assert_eq!(fs::read_dir(directory.path().join("a/b")).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn multipart_copy_and_rename_land_whole() {
        let directory = tempfile::tempdir().unwrap();
        let store = DurableStore::new(directory.path());
        let location = at(&directory, "x/parts");
        let mut upload = store.put_multipart(&location).await.unwrap();
        for part in ["a", "b", "c"] {
            upload.put_part(part.into()).await.unwrap();
        }
        assert!(store.get(&location).await.is_err(), "visible before it is complete");
        upload.complete().await.unwrap();
        store.copy(&location, &at(&directory, "y/copy")).await.unwrap();
        store.rename_if_not_exists(&location, &at(&directory, "z/moved")).await.unwrap();
        assert_eq!(store.get(&at(&directory, "y/copy")).await.unwrap().bytes().await.unwrap(), "abc");
        assert!(store.rename_if_not_exists(&at(&directory, "y/copy"), &at(&directory, "z/moved")).await.is_err());
        assert_eq!(store.get(&at(&directory, "z/moved")).await.unwrap().bytes().await.unwrap(), "abc");
    }

    #[tokio::test]
    async fn files_on_their_way_are_not_listed() {
        let directory = tempfile::tempdir().unwrap();
        let store = DurableStore::new(directory.path());
        store.put(&at(&directory, "t/done"), "x".into()).await.unwrap();
        let staged = staging_path(&directory.path().join("t/half"));
        assert!(is_staging_name(staged.file_name().unwrap().to_str().unwrap()));
        fs::write(&staged, "x").unwrap();
        let listed: Vec<_> = store.list(Some(&at(&directory, "t"))).try_collect().await.unwrap();
        assert_eq!(listed.len(), 1, "{listed:?}");
    }

    #[tokio::test]
    async fn listing_after_an_offset_agrees_with_the_plain_store() {
        let check = async |names: &[&str], expected: usize| {
            let directory = tempfile::tempdir().unwrap();
            let store = DurableStore::new(directory.path());
            for name in names {
                store.put(&at(&directory, &format!("log/{name}")), "x".into()).await.unwrap();
            }
            let (prefix, offset) = (at(&directory, "log"), at(&directory, "log/05"));
            let sorted = |mut listed: Vec<ObjectMeta>| {
                listed.sort_by(|left, right| left.location.cmp(&right.location));
                listed.into_iter().map(|file| (file.location, file.last_modified, file.size)).collect::<Vec<_>>()
            };
            let ours: Vec<_> = store.list_with_offset(Some(&prefix), &offset).try_collect().await.unwrap();
            let plain: Vec<_> = store.files.list_with_offset(Some(&prefix), &offset).try_collect().await.unwrap();
            assert_eq!(ours.len(), expected, "{names:?}");
            assert_eq!(sorted(ours), sorted(plain), "{names:?}");
        };
        check(&[], 0).await;
        check(&["01.json", "05", "05.json", "06.json", "_last"], 3).await;
        check(&["06.json", "sub/06.json"], 2).await;
        check(&["06.json", "nä me.json"], 2).await;
    }

    #[tokio::test]
    async fn a_directory_removed_behind_our_back_is_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let store = DurableStore::new(directory.path());
        store.put(&at(&directory, "t/one"), "x".into()).await.unwrap();
        fs::remove_dir_all(directory.path().join("t")).unwrap();
        store.put(&at(&directory, "t/two"), "x".into()).await.unwrap();
        assert!(directory.path().join("t/two").exists());
    }

    #[tokio::test]
    async fn a_file_where_a_directory_should_be_is_named() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("t"), "x").unwrap();
        let error = DurableStore::new(directory.path()).put(&at(&directory, "t/one"), "x".into()).await.unwrap_err();
        assert!(error.to_string().contains(directory.path().join("t").to_str().unwrap()), "{error}");
    }
}
