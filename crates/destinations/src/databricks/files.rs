//! Files in volumes.

use bytes::Bytes;
use freshet_web::Method;

use super::Workspace;
use super::call::{Call, path_part};
use super::error::WorkspaceError;
use super::grants::{Grant, Securable};

/// Where files are.
const FILES: &str = "/api/2.0/fs/files";

/// Where folders are.
const FOLDERS: &str = "/api/2.0/fs/directories";

/// What a folder holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderEntry {
    /// Its path, from `/Volumes` on.
    pub path: String,
    /// Its name.
    pub name: String,
    /// Whether it is a folder itself.
    pub is_folder: bool,
    /// Bytes, of a file.
    pub bytes: u64,
    /// When it was written, in milliseconds since 1970, where that is told.
    pub modified_ms: Option<i64>,
}

impl Workspace {
    /// Puts a file at `path`, such as `/Volumes/main/heroku/_freshet/a/b.parquet`, in place of what is there. Folders are made. At most
    /// 5 GiB.
    ///
    /// # Errors
    /// See [`WorkspaceError`]; [`WorkspaceError::Missing`] when there is no such volume.
    pub async fn put_file(&self, path: &str, bytes: Bytes) -> Result<(), WorkspaceError> {
        let call = Call::put(&format!("upload {path}"), &address(FILES, path)?, bytes).with("overwrite", "true");
        let call = needing(call, "WRITE VOLUME", path);
        match self.ask(&call).await {
            Err(WorkspaceError::Missing { .. }) => {
                // Its folder, perhaps; where it is the volume, this fails as well and says so.
                let folder = path.rsplit_once('/').map_or(path, |(folder, _)| folder);
                self.make_folder(folder).await?;
                self.ask(&call).await.map(drop)
            }
            ended => ended.map(drop),
        }
    }

    /// The bytes of the file at `path`; none when it is not there.
    ///
    /// # Errors
    /// See [`WorkspaceError`]. It may also be too long.
    pub async fn file(&self, path: &str) -> Result<Option<Vec<u8>>, WorkspaceError> {
        let call = needing(Call::get(&format!("read {path}"), &address(FILES, path)?), "READ VOLUME", path);
        match self.ask(&call).await {
            Err(WorkspaceError::Missing { .. }) => Ok(None),
            ended => ended.map(|answer| Some(answer.body)),
        }
    }

    /// Whether there is a file at `path`.
    ///
    /// # Errors
    /// See [`WorkspaceError`].
    pub async fn has_file(&self, path: &str) -> Result<bool, WorkspaceError> {
        let call = Call::new(Method::HEAD, &format!("look for {path}"), &address(FILES, path)?);
        Ok(self.found(&needing(call, "READ VOLUME", path)).await?.is_some())
    }

    /// Makes a folder, and those above it. Harmless where there is one.
    ///
    /// # Errors
    /// See [`WorkspaceError`]; [`WorkspaceError::Missing`] when there is no such volume.
    pub async fn make_folder(&self, path: &str) -> Result<(), WorkspaceError> {
        let call = Call::new(Method::PUT, &format!("make the folder {path}"), &address(FOLDERS, path)?);
        self.ask(&needing(call, "WRITE VOLUME", path)).await.map(drop)
    }

    /// What is in the folder at `path`; nothing at all when there is no such folder.
    ///
    /// # Errors
    /// See [`WorkspaceError`].
    pub async fn list_folder(&self, path: &str) -> Result<Option<Vec<FolderEntry>>, WorkspaceError> {
        let call = needing(Call::get(&format!("list {path}"), &address(FOLDERS, path)?), "READ VOLUME", path);
        let mut entries = Vec::new();
        let mut page = call.clone();
        for _ in 0..self.limits().pages_max {
            let Some(value) = self.found(&page).await? else { return Ok(None) };
            for entry in value["contents"].as_array().into_iter().flatten() {
                let Some(path) = entry["path"].as_str().map(|path| path.trim_end_matches('/').to_owned()) else { continue };
                entries.push(FolderEntry {
                    name: entry["name"].as_str().or_else(|| path.rsplit('/').next()).unwrap_or_default().to_owned(),
                    path,
                    is_folder: entry["is_directory"].as_bool().unwrap_or_default(),
                    bytes: entry["file_size"].as_u64().unwrap_or_default(),
                    modified_ms: entry["last_modified"].as_i64(),
                });
            }
            let Some(token) = value["next_page_token"].as_str().filter(|token| !token.is_empty()) else { return Ok(Some(entries)) };
            page = call.clone().with("page_token", token);
        }
        Err(WorkspaceError::broken(&call.doing, "the list does not end"))
    }

    /// Deletes the file at `path`. Harmless when it is not there.
    ///
    /// # Errors
    /// See [`WorkspaceError`].
    pub async fn delete_file(&self, path: &str) -> Result<(), WorkspaceError> {
        let call = Call::new(Method::DELETE, &format!("delete {path}"), &address(FILES, path)?);
        self.found(&needing(call, "WRITE VOLUME", path)).await.map(drop)
    }

    /// Deletes the folder at `path` with all that is in it. Harmless when it is not there.
    ///
    /// # Errors
    /// See [`WorkspaceError`]. What was deleted before stays deleted.
    pub async fn delete_folder(&self, path: &str) -> Result<(), WorkspaceError> {
        // A folder is visited twice: its entries go on the stack above it, so it is empty when its turn comes again.
        let mut stack = vec![(path.trim_end_matches('/').to_owned(), false)];
        while let Some((folder, is_empty)) = stack.pop() {
            if is_empty {
                let call = Call::new(Method::DELETE, &format!("delete {folder}"), &address(FOLDERS, &folder)?);
                self.found(&needing(call, "WRITE VOLUME", &folder)).await?;
                continue;
            }
            let Some(entries) = self.list_folder(&folder).await? else { continue };
            // A folder below itself is no folder.
            let below = format!("{folder}/");
            stack.push((folder, true));
            for entry in entries.into_iter().filter(|entry| entry.path.starts_with(&below)) {
                if entry.is_folder {
                    stack.push((entry.path, false));
                } else {
                    self.delete_file(&entry.path).await?;
                }
            }
        }
        Ok(())
    }
}

/// Where the API has the file or folder at `path`.
fn address(kind: &str, path: &str) -> Result<String, WorkspaceError> {
    let parts: Vec<&str> = path.strip_prefix('/').unwrap_or_default().split('/').collect();
    if parts.len() < 4 || parts[0] != "Volumes" || parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
        return Err(WorkspaceError::Settings(format!("{path:?} is no path in a volume: /Volumes/CATALOG/SCHEMA/VOLUME/…")));
    }
    Ok(parts.iter().fold(kind.to_owned(), |address, part| format!("{address}/{}", path_part(part))))
}

/// The call with the right on the volume of `path` that it needs.
fn needing(call: Call, privilege: &str, path: &str) -> Call {
    let volume: Vec<&str> = path.split('/').skip(2).take(3).collect();
    call.needing(Grant::new(privilege, Securable::Volume(volume.join("."))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_their_volume() {
        assert_eq!(address(FILES, "/Volumes/c/s/v/a b/ü.parquet").unwrap(), "/api/2.0/fs/files/Volumes/c/s/v/a%20b/%C3%BC.parquet");
        assert_eq!(address(FOLDERS, "/Volumes/c/s/v").unwrap(), "/api/2.0/fs/directories/Volumes/c/s/v");
        for path in ["", "/Volumes/c/s", "/Volumes/c/s/v/../w", "/Volumes/c/s/v//x", "/tmp/c/s/v", "Volumes/c/s/v/x", "/Volumes/c/s/v/"] {
            assert!(address(FILES, path).is_err(), "{path}");
        }
    }
}
