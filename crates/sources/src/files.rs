//! The file reader: what `freshet import` names becomes inputs, and each input a run of chunks.

mod chunks;
mod decompress;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use chunks::{Chunk, ChunkOptions, ChunkReader, ReadError, Records};
pub use decompress::Compression;

/// One file, or standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInput {
    origin: Origin,
    size_bytes: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Stdin,
    Path(PathBuf),
}

/// Everything that is wrong with the paths that were given. Nothing has been read yet.
#[derive(Debug, thiserror::Error)]
#[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct FilesError {
    /// One for each path that cannot be imported, in the order they were met.
    pub problems: Vec<FileProblem>,
}

/// What is wrong with one path.
#[derive(Debug, thiserror::Error)]
pub enum FileProblem {
    /// There is no such file or directory.
    #[error("{} does not exist, or is a link to nothing: check the spelling, or leave it out", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The system does not let us look.
    #[error("{} cannot be read ({cause}): give this user the right to read it, or leave it out", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A directory without any file to read.
    #[error("{} holds no files: name the directory that does (names that begin with a dot are skipped)", path.display())]
    Empty {
        /// The path.
        path: PathBuf,
    },
    /// `-` more than once.
    #[error("standard input (-) is given twice: it can be read only once")]
    StdinTwice,
}

/// The inputs that `paths` stand for, in order: `-` is standard input, and a directory its files and those below it,
/// sorted by name, without names that begin with a dot. Links are followed; each directory is walked once.
///
/// # Errors
/// Every path that cannot be read, all at once.
pub fn expand(paths: &[PathBuf]) -> Result<Vec<FileInput>, FilesError> {
    let mut walk = Walk::default();
    for path in paths {
        walk.add(path);
    }
    if walk.problems.is_empty() { Ok(walk.inputs) } else { Err(FilesError { problems: walk.problems }) }
}

impl FileInput {
    /// The name people see: the path as it was given or found, or `standard input`.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.origin {
            Origin::Stdin => "standard input".to_owned(),
            Origin::Path(path) => path.display().to_string(),
        }
    }

    /// Where the file lies; nothing for standard input.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.origin {
            Origin::Stdin => None,
            Origin::Path(path) => Some(path),
        }
    }

    /// Bytes on disk, still packed; unknown for standard input and pipes.
    #[must_use]
    pub fn size_bytes(&self) -> Option<u64> {
        self.size_bytes
    }

    fn open(&self) -> io::Result<Box<dyn io::Read + Send>> {
        match &self.origin {
            Origin::Stdin => Ok(Box::new(io::stdin())),
            Origin::Path(path) => Ok(Box::new(fs::File::open(path)?)),
        }
    }
}

/// The state of [`expand`].
#[derive(Default)]
struct Walk {
    inputs: Vec<FileInput>,
    problems: Vec<FileProblem>,
    /// Directories that were walked, by their real paths: a link may lead back up.
    walked: HashSet<PathBuf>,
}

impl Walk {
    /// Adds a path that was named by the user.
    fn add(&mut self, path: &Path) {
        if path.as_os_str() != "-" {
            let (before, troubled) = (self.inputs.len(), self.problems.len());
            let walked = self.walked.len();
            self.visit(path);
            let found_nothing = self.inputs.len() == before && self.problems.len() == troubled;
            if found_nothing && self.walked.len() > walked {
                self.problems.push(FileProblem::Empty { path: path.to_owned() });
            }
        } else if self.inputs.iter().any(|input| input.origin == Origin::Stdin) {
            self.problems.push(FileProblem::StdinTwice);
        } else {
            self.inputs.push(FileInput { origin: Origin::Stdin, size_bytes: None });
        }
    }

    fn visit(&mut self, path: &Path) {
        let visited = fs::metadata(path).and_then(|metadata| {
            if metadata.is_dir() {
                return self.walk(path);
            }
            // Opening a pipe would take the place of the reader, so only real files are tried.
            let size_bytes = metadata.is_file().then_some(metadata.len());
            if size_bytes.is_some() {
                fs::File::open(path)?;
            }
            self.inputs.push(FileInput { origin: Origin::Path(path.to_owned()), size_bytes });
            Ok(())
        });
        if let Err(cause) = visited {
            let path = path.to_owned();
            self.problems.push(match cause.kind() {
                io::ErrorKind::NotFound => FileProblem::Missing { path },
                _ => FileProblem::Unreadable { path, cause },
            });
        }
    }

    fn walk(&mut self, directory: &Path) -> io::Result<()> {
        if !self.walked.insert(directory.canonicalize()?) {
            return Ok(());
        }
        let mut entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if !hidden && is_file_or_directory(&entry.path()) {
                self.visit(&entry.path());
            }
        }
        Ok(())
    }
}

/// Sockets, pipes and devices are read only when they are named. A link to nothing is visited, to be reported.
fn is_file_or_directory(path: &Path) -> bool {
    fs::metadata(path).map_or(true, |metadata| metadata.is_file() || metadata.is_dir())
}

#[cfg(test)]
mod tests;
