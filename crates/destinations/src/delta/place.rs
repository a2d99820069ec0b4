//! Where a lake is, and how it is reached: a folder, or a URL of an object store.

mod aws_profile;
mod governed;
mod recent;
mod remote;

use std::fmt;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use deltalake_core::logstore::{StorageConfig, default_logstore};
use deltalake_core::{DeltaResult, DeltaTable, DeltaTableError};
use freshet_core::{Clock, DestinationError, Secret};
use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use url::Url;

use self::governed::GovernedStore;
use self::recent::RecentEntries;
use super::catalog::Catalog;
use super::durable::{DurableStore, sync_directory};
use super::failure::failure;

/// How to reach a store beyond what the environment says, by the names that `object_store` has for it: `region`, `access_key_id`, …
pub type StorageOptions = Vec<(String, Secret)>;

/// Where a lake is.
pub struct Place {
    /// Ends in a slash.
    url: Url,
    /// Addresses objects from the root of the file system or of the bucket.
    store: Arc<dyn ObjectStore>,
    /// The lake's own folder in `store`.
    folder: Path,
    local: Option<Local>,
    catalog: Option<Arc<dyn Catalog>>,
}

/// What only a lake on this machine has.
struct Local {
    root: PathBuf,
    durable: DurableStore,
}

impl Place {
    /// The place at `location`: a path, which is made when it is not there yet, or a URL whose scheme is `file`, `s3`, `s3a`, `abfss`,
    /// `abfs`, `az`, `azure`, `adl`, `gs` or `hdfs`. No request is made.
    ///
    /// # Errors
    /// [`DestinationError::Refused`] when there can be no lake, or `options` and the environment do not say how to reach it.
    pub fn new(location: &str, options: &[(String, Secret)]) -> Result<Self, DestinationError> {
        match Location::parse(location)? {
            Location::Folder(path) => {
                let root = make_root(location, &path)?;
                Self::in_folder(&root, Arc::new(DurableStore::new(&root)))
            }
            Location::Remote(url) => {
                let store = remote::store(&url, options, None)?;
                Self::in_store(url, store)
            }
        }
    }

    /// The place at `location`, a URL, whose tables `catalog` governs: each is reached with keys from there, which are renewed before they
    /// end by `clock`. No request is made.
    ///
    /// # Errors
    /// [`DestinationError::Refused`] as for [`Place::new`], and for a path: no catalog hands out keys to one.
    pub fn governed(
        location: &str,
        options: &[(String, Secret)],
        catalog: Arc<dyn Catalog>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DestinationError> {
        let Location::Remote(url) = Location::parse(location)? else {
            return Err(refused(location, "a catalog governs tables in a bucket or a container; name its URL"));
        };
        let folder = folder_of(&url)?;
        let store = GovernedStore::new(url.clone(), folder, options, Arc::clone(&catalog), clock);
        Ok(Self { catalog: Some(catalog), ..Self::in_store(url, Arc::new(store))? })
    }

    /// The existing folder `root`, an absolute path, reached through `store`, which addresses files by absolute path.
    ///
    /// # Errors
    /// [`DestinationError::Refused`] when `root` is not absolute.
    pub fn in_folder(root: &FsPath, store: Arc<dyn ObjectStore>) -> Result<Self, DestinationError> {
        let not_absolute = || refused(&root.display().to_string(), "this path is not absolute");
        let url = Url::from_directory_path(root).map_err(|()| not_absolute())?;
        let folder = Path::from_absolute_path(root).map_err(|_| not_absolute())?;
        let local = Some(Local { root: root.to_owned(), durable: DurableStore::new(root) });
        Ok(Self { url, store, folder, local, catalog: None })
    }

    /// The folder of `url` in `store`, which addresses objects from the root of what the URL's host names.
    ///
    /// # Errors
    /// [`DestinationError::Refused`] when the URL's path cannot be that of an object.
    pub fn in_store(mut url: Url, store: Arc<dyn ObjectStore>) -> Result<Self, DestinationError> {
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let folder = folder_of(&url)?;
        Ok(Self { url, store: Arc::new(RecentEntries::new(store)), folder, local: None, catalog: None })
    }

    /// Who governs the lake, if anybody does.
    pub(super) fn catalog(&self) -> Option<&Arc<dyn Catalog>> {
        self.catalog.as_ref()
    }

    /// The folder, of a lake on this machine.
    #[must_use]
    pub fn local(&self) -> Option<&FsPath> {
        self.local.as_ref().map(|local| local.root.as_path())
    }

    /// Whether a writer that dies leaves a beginning of a file behind that lists show.
    pub(super) fn has_unfinished_files(&self) -> bool {
        self.url.scheme() == "hdfs"
    }

    /// The store, which addresses objects from the root of the file system or of the bucket.
    pub(super) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The lake's own folder in [`Self::store`].
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Table `name`, of which nothing has been read yet: always through our store.
    pub(super) fn table(&self, name: &str) -> DeltaResult<DeltaTable> {
        let url = self.url.join(&format!("{name}/")).map_err(|error| DeltaTableError::InvalidTableLocation(error.to_string()))?;
        let of_table = Arc::new(PrefixStore::new(Arc::clone(&self.store), self.folder.clone().join(name)));
        Ok(DeltaTable::new(default_logstore(of_table, Arc::clone(&self.store), &url, &StorageConfig::default())))
    }

    /// Makes the names in the log of table `name` durable, whoever wrote them. A remote store's answers mean that already.
    pub(super) async fn settle_log(&self, name: &str) -> object_store::Result<()> {
        match &self.local {
            Some(local) => local.durable.sync_directory(&self.folder.clone().join(name).join("_delta_log")).await,
            None => Ok(()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.local {
            Some(local) => write!(f, "{}", local.root.display()),
            None => f.write_str(self.url.as_str().trim_end_matches('/')),
        }
    }
}

/// Whether there can be a lake at `location`, as far as can be seen without a look.
///
/// # Errors
/// [`DestinationError::Refused`] when there can be none.
pub fn check_location(location: &str) -> Result<(), DestinationError> {
    Location::parse(location).map(|_| ())
}

/// What the text says that names a lake.
pub(super) enum Location {
    /// A path.
    Folder(PathBuf),
    /// A URL with a scheme of [`remote::SCHEMES`].
    Remote(Url),
}

impl Location {
    /// # Errors
    /// [`DestinationError::Refused`] when there can be no lake.
    pub(super) fn parse(location: &str) -> Result<Self, DestinationError> {
        let Some((scheme, _)) = location.split_once("://") else { return Ok(Self::Folder(PathBuf::from(location))) };
        // Not shown: a key that somebody put there.
        let without_key = format!("{scheme}://…");
        let plain = location.split(['?', '#']).next().unwrap_or_default();
        let has_user = plain.contains('@') && !remote::has_container(scheme);
        let shown = if has_user { without_key.as_str() } else { plain };
        let url = Url::parse(location).map_err(|error| refused(&without_key, &format!("{error}")))?;
        if scheme == "file" {
            let path = url.to_file_path().map_err(|()| refused(shown, "this is not the URL of a local path"))?;
            return Ok(Self::Folder(path));
        }
        if !remote::SCHEMES.contains(&scheme) {
            let known = remote::SCHEMES.join("://, ");
            return Err(refused(shown, &format!("{scheme}:// is not known; a lake is a path, or at {known}://")));
        }
        if url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(refused(
                &without_key,
                "credentials do not belong into the URL, nor does anything after ? or #; see docs/storage.md",
            ));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(refused(shown, "the name of the bucket, container or name node is missing after ://"));
        }
        if url.path().contains('%') || url.path().contains("//") {
            return Err(refused(shown, "a path of plain characters is needed: others are misread by other readers of Delta tables"));
        }
        Ok(Self::Remote(url))
    }
}

fn folder_of(url: &Url) -> Result<Path, DestinationError> {
    Path::from_url_path(url.path()).map_err(|error| refused(url.as_str(), &error.to_string()))
}

/// Refuses a file where the lake at `location` would have to be.
pub(super) fn refuse_file(location: &str, path: &FsPath) -> Result<(), DestinationError> {
    if path.exists() && !path.is_dir() { Err(refused(location, "this is not a directory")) } else { Ok(()) }
}

/// Refuses the absolute path `root` of the lake at `location` where other readers would not find its tables.
pub(super) fn refuse_path(location: &str, root: &FsPath) -> Result<(), DestinationError> {
    if root.to_string_lossy().contains('%') {
        return Err(refused(location, "a path with % in it is misread by other readers of Delta tables"));
    }
    Ok(())
}

/// The directory `path`, made durable.
fn make_root(location: &str, path: &FsPath) -> Result<PathBuf, DestinationError> {
    refuse_file(location, path)?;
    let existed = path.is_dir();
    let opened = || |error: std::io::Error| failure(format!("open the lake at {location}"), DeltaTableError::from(error));
    std::fs::create_dir_all(path).map_err(opened())?;
    let root = path.canonicalize().map_err(opened())?;
    refuse_path(location, &root)?;
    if !existed {
        for parent in root.ancestors().skip(1).take(1) {
            sync_directory(parent).map_err(|error| failure(format!("open the lake at {location}"), error))?;
        }
    }
    Ok(root)
}

fn refused(location: &str, why: &str) -> DestinationError {
    DestinationError::Refused { problem: format!("cannot open the lake at {location}: {why}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(location: &str) -> String {
        Location::parse(location).err().map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn what_can_be_no_lake_is_refused_in_words() {
        let check = |location: &str, says: &str| assert!(problem(location).contains(says), "{location}: {}", problem(location));
        check("ftp://host/lake", "s3://");
        check("s3:///lake", "bucket");
        check("s3://bucket/la%20ke", "plain");
        check("s3://bucket//lake", "plain");
        check("gs://bucket/lake?key=hunter2", "do not belong");
        check("s3://key:hunter2@bucket/lake", "do not belong");
        for fine in
            ["s3://bucket", "s3a://bucket/a/b/", "abfss://box@account.dfs.core.windows.net/a", "az://box/a", "gs://b", "hdfs://n:9000/a"]
        {
            assert!(matches!(Location::parse(fine), Ok(Location::Remote(_))), "{fine}");
        }
    }

    #[test]
    fn no_secret_of_a_url_is_shown() {
        for location in [
            "s3://key:hunter2@bucket/lake",
            "gs://bucket/lake?key=hunter2",
            "abfss://box@account/a#hunter2",
            "ftp://x/?hunter2",
            "ftp://u:hunter2@x/lake",
            "ftp://hunter2@x/lake",
            "s3://key:hunter2@bucket:port/lake",
            "abfss://box:hunter2@account/la%20ke",
            "hdfs://hunter2@node//lake",
        ] {
            assert!(!problem(location).contains("hunter2"), "{}", problem(location));
        }
    }
}
