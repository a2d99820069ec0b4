//! The bundle's folder: what is in it, what people have changed, and how files get there whole.
//!
//! A list of what was written, with a checksum each, lies beside the files. A file that is still as the list has it is ours and may be
//! replaced by what a newer version or other flags make of it; any other is somebody's work.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use xxhash_rust::xxh3::xxh3_128;

use super::bundle::Asset;

/// The list of what was written.
const LIST: &str = ".freshet-assets";

/// A folder for a bundle.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Checksums of what was written last, by path.
    written: BTreeMap<String, u128>,
}

/// What is to be written.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) files: Vec<Planned>,
    /// Files of an earlier run that the bundle does not have any more, and that are still there.
    pub(super) left_over: Vec<String>,
}

/// A file, and what lies at its place.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) path: String,
    pub(super) holds: &'static str,
    pub(super) text: String,
    pub(super) state: State,
}

/// What lies at a file's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing.
    New,
    /// The same text.
    Same,
    /// What an earlier run wrote, which nobody has changed.
    Updated,
    /// What somebody else wrote or changed.
    Changed,
}

impl State {
    /// In a word.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Same => "unchanged",
            Self::Updated => "updated",
            Self::Changed => "changed by you",
        }
    }
}

impl Plan {
    /// Paths of the files that only `--force` may overwrite.
    pub(super) fn changed(&self) -> Vec<&str> {
        self.files.iter().filter(|file| file.state == State::Changed).map(|file| file.path.as_str()).collect()
    }
}

impl Folder {
    /// The folder at `path`, which need not be there yet.
    ///
    /// # Errors
    /// Its list cannot be read.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let list = read(&path.join(LIST))?.unwrap_or_default();
        // A line that is damaged makes its file somebody's work, which is the safe side.
        let entry = |line: &str| Some((line.split_once(' ')?.1.to_owned(), u128::from_str_radix(line.split_once(' ')?.0, 16).ok()?));
        let written = String::from_utf8_lossy(&list).lines().filter_map(entry).collect();
        Ok(Self { path: path.to_owned(), written })
    }

    /// Compares `assets` with what is there.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn plan(&self, assets: Vec<Asset>) -> anyhow::Result<Plan> {
        let mut files = Vec::new();
        for Asset { path, holds, text } in assets {
            let state = match read(&self.path.join(&path))? {
                None => State::New,
                Some(there) if there == text.as_bytes() => State::Same,
                Some(there) if self.written.get(&path) == Some(&xxh3_128(&there)) => State::Updated,
                Some(_) => State::Changed,
            };
            files.push(Planned { path, holds, text, state });
        }
        let is_old = |path: &&String| files.iter().all(|file| file.path != **path) && self.path.join(path).exists();
        let left_over = self.written.keys().filter(is_old).cloned().collect();
        Ok(Plan { files, left_over })
    }

    /// Writes what is not there yet, each file whole, and then the list.
    ///
    /// # Errors
    /// A file cannot be written. Those before it are; running again goes on.
    pub(super) fn write(&self, plan: &Plan) -> anyhow::Result<()> {
        for file in plan.files.iter().filter(|file| file.state != State::Same) {
            self.put(&file.path, &file.text)?;
        }
        let mut list: BTreeMap<&str, u128> =
            plan.left_over.iter().filter_map(|path| Some((path.as_str(), *self.written.get(path)?))).collect();
        list.extend(plan.files.iter().map(|file| (file.path.as_str(), xxh3_128(file.text.as_bytes()))));
        let lines: String = list.iter().map(|(path, sum)| format!("{sum:032x} {path}\n")).collect();
        self.put(LIST, &lines)
    }

    fn put(&self, path: &str, text: &str) -> anyhow::Result<()> {
        let path = self.path.join(path);
        replace(&path, text).with_context(|| format!("{} cannot be written", path.display()))
    }
}

/// The bytes of a file; `None` when there is none.
fn read(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// Puts a file in place whole or not at all.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut staged = path.as_os_str().to_owned();
    staged.push(format!(".{}", uuid::Uuid::new_v4().simple()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&staged)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&staged, path));
    written.inspect_err(|_| {
        let _ = fs::remove_file(&staged);
    })
}

#[cfg(test)]
mod tests;
