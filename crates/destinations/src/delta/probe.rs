//! Trying a lake's place before it is used: each thing that commits rest on, with one small file.

use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use freshet_core::{DestinationError, Secret};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use uuid::Uuid;

use super::durable::DurableStore;
use super::failure::failure;
use super::place::{Location, Place, refuse_file, refuse_path};

/// What the file holds.
const CONTENT: &[u8] = b"written by `freshet check`; it may be deleted\n";

/// Tries the lake at `location`, a path or a URL: put, put that must be refused because the name is taken, read, list,
/// delete, with a file `_freshet_check_…` that is gone afterwards, in a folder also when the future is dropped before its end. A folder
/// that is not there yet is made for it and removed. Others may use the lake meanwhile.
///
/// Returns whether the lake was there.
///
/// # Errors
/// Whatever would keep commits from being made, or from being made exactly once.
pub async fn probe(location: &str, options: &[(String, Secret)]) -> Result<bool, DestinationError> {
    let path = match Location::parse(location)? {
        Location::Folder(path) => path,
        Location::Remote(_) => return probe_remote(&Place::new(location, options)?).await,
    };
    refuse_file(location, &path)?;
    let existed = path.is_dir();
    let made = if existed { Vec::new() } else { make(&path).map_err(|error| failure(format!("make the lake at {location}"), error))? };
    let name = file_name();
    let _traces = Traces { file: path.join(&name), made };
    let root = path.canonicalize().map_err(|error| failure(format!("open the lake at {location}"), error))?;
    refuse_path(location, &root)?;
    let folder = Path::from_absolute_path(&root).map_err(|error| failure(format!("open the lake at {location}"), Error::from(error)))?;
    try_all(&DurableStore::new(&root), &folder, &folder.clone().join(name)).await?;
    Ok(existed)
}

async fn probe_remote(place: &Place) -> Result<bool, DestinationError> {
    let listed = place.store().list_with_delimiter(Some(place.folder())).await;
    let found = listed.map_err(|error| failure(format!("list the lake at {place}"), error))?;
    probe_store(place.store(), place.folder()).await?;
    Ok(!found.common_prefixes.is_empty() || !found.objects.is_empty())
}

/// Tries the lake at `place` that a catalog governs, as [`probe`] does, in a folder of its own: nobody has keys to the lake's own.
///
/// # Errors
/// As for [`probe`], and whatever keeps the catalog from handing out keys.
pub async fn probe_governed(place: &Place) -> Result<(), DestinationError> {
    probe_store(place.store(), &place.folder().clone().join(file_name())).await
}

/// What a probe of a local lake leaves behind if nobody removes it.
struct Traces {
    file: PathBuf,
    /// Folders, the uppermost first.
    made: Vec<PathBuf>,
}

impl Drop for Traces {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
        for directory in self.made.iter().rev() {
            // Somebody may have put something there by now.
            let _ = std::fs::remove_dir(directory);
        }
    }
}

fn file_name() -> String {
    format!("_freshet_check_{}", Uuid::new_v4().simple())
}

/// Tries `store` with one small file in `folder`.
///
/// # Errors
/// As for [`probe`].
pub async fn probe_store(store: &Arc<dyn ObjectStore>, folder: &Path) -> Result<(), DestinationError> {
    let location = folder.clone().join(file_name());
    let tried = try_all(store.as_ref(), folder, &location).await;
    if tried.is_err() {
        // Whether it was written is not known.
        let _ = store.delete(&location).await;
    }
    tried
}

async fn try_all(store: &dyn ObjectStore, folder: &Path, location: &Path) -> Result<(), DestinationError> {
    let doing = |what: &str| {
        let what = format!("{what} {location}");
        move |error: Error| failure(what.clone(), error)
    };
    let refused = |problem: &str| DestinationError::Refused { problem: problem.to_owned() };
    let create = |bytes: &'static [u8]| {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        store.put_opts(location, PutPayload::from_static(bytes), options)
    };
    create(CONTENT).await.map_err(doing("write"))?;
    match create(b"second").await {
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {}
        Err(error) => return Err(doing("write, only if the name is free,")(error)),
        Ok(_) => {
            return Err(refused(
                "the store lets a second writer take a name that is taken: two commits could overwrite each other, and rows would be lost. \
                 Use a store with conditional writes.",
            ));
        }
    }
    let read = store.get(location).await.map_err(doing("read"))?.bytes().await.map_err(doing("read"))?;
    if read != CONTENT {
        return Err(refused("the store gives back other bytes than were written. Do not use it."));
    }
    let listed = store.list_with_delimiter(Some(folder)).await.map_err(doing("list the lake to find"))?;
    if !listed.objects.iter().any(|object| object.location == *location) {
        return Err(refused(
            "the store does not list a file that was just written: commits would be overlooked. Use a store with consistent listings.",
        ));
    }
    store
        .delete_stream(Box::pin(futures::stream::iter([Ok(location.clone())])))
        .try_for_each(|_| async { Ok(()) })
        .await
        .map_err(doing("delete"))?;
    match store.head(location).await {
        Err(Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(doing("look for")(error)),
        Ok(_) => Err(refused("the store still has a file that was deleted: vacuum would free nothing.")),
    }
}

/// Makes `directory` and returns what was made, the uppermost first.
fn make(directory: &FsPath) -> std::io::Result<Vec<PathBuf>> {
    let absolute = std::path::absolute(directory)?;
    let mut missing: Vec<PathBuf> = absolute.ancestors().take_while(|ancestor| !ancestor.exists()).map(FsPath::to_owned).collect();
    missing.reverse();
    for (index, directory) in missing.iter().enumerate() {
        if let Err(error) = std::fs::create_dir(directory) {
            for made in missing[..index].iter().rev() {
                let _ = std::fs::remove_dir(made);
            }
            return Err(error);
        }
    }
    Ok(missing)
}
