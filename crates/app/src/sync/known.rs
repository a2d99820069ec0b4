//! What a run may rely on from earlier ones: lists that were the same the last time, and pages of a run that was killed.
//!
//! Both are only ever a saving. Without them everything is asked again, and the tables come out the same.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

/// How old a run may be whose pages are used, in microseconds: half an hour.
const RESUME_WITHIN_US: i64 = 30 * 60 * 1_000_000;

/// The tags of one stream's lists, and of which state of its table they tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tags {
    /// Id and version of the table after the lists were merged into it.
    pub(super) table: Option<(String, u64)>,
    /// Tag by path.
    pub(super) by_path: BTreeMap<String, String>,
}

/// The files of the streams, in a folder of the data directory.
#[derive(Debug)]
pub(crate) struct Known {
    folder: PathBuf,
}

impl Known {
    /// Kept in `data_dir`.
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { folder: data_dir.join("sync") }
    }

    /// The right to be the one run of this data directory, until dropped or until the process ends; `None` when there is one.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub(crate) fn lock(&self) -> io::Result<Option<File>> {
        fs::create_dir_all(&self.folder)?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(self.folder.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// The tags of `stream`; none when they cannot be read.
    pub(super) fn tags(&self, stream: &str) -> Tags {
        let read = fs::read(self.tags_file(stream)).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let Some(value) = read else { return Tags::default() };
        let table = value["table"].as_str().map(str::to_owned).zip(value["version"].as_u64());
        let entries = value["tags"].as_object().into_iter().flatten();
        Tags { table, by_path: entries.filter_map(|(path, tag)| Some((path.clone(), tag.as_str()?.to_owned()))).collect() }
    }

    /// Keeps the tags of `stream`.
    pub(super) fn keep_tags(&self, stream: &str, tags: &Tags) {
        let (table, version) = tags.table.clone().unzip();
        let text = json!({ "table": table, "version": version, "tags": tags.by_path }).to_string();
        let (file, new) = (self.tags_file(stream), self.folder.join(format!("{stream}.tags.new")));
        let kept = fs::create_dir_all(&self.folder).and_then(|()| fs::write(&new, text)).and_then(|()| fs::rename(&new, &file));
        if let Err(error) = kept {
            tracing::debug!(stream, %error, "tags of lists not kept");
        }
    }

    /// Forgets what is known of `stream`.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub(crate) fn forget(&self, stream: &str) -> io::Result<()> {
        for file in [self.tags_file(stream), self.folder.join(format!("{stream}.pages"))] {
            match fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn tags_file(&self, stream: &str) -> PathBuf {
        self.folder.join(format!("{stream}.tags"))
    }

    /// The pages of `stream` that a run as `scope` says has left behind not long before `now_us`, and a file for more of them.
    pub(super) fn journal(&self, stream: &str, scope: &str, now_us: i64) -> Journal {
        let path = self.folder.join(format!("{stream}.pages"));
        let (lists, length) = read_journal(&path, scope, now_us).unwrap_or_default();
        let mut journal = Journal { path, file: None, lists };
        if let Err(error) = journal.open(scope, now_us, length) {
            tracing::debug!(stream, %error, "pages are not kept");
        }
        journal
    }
}

/// A list as far as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ListRead {
    pub(super) objects: Vec<Value>,
    /// Where the next page begins; none when the list is at its end.
    pub(super) next: Option<String>,
    pub(super) etag: Option<String>,
}

/// The pages of one run of one stream, kept until they are in the table. Secrets are not in them.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Option<File>,
    lists: HashMap<String, ListRead>,
}

impl Journal {
    /// What an earlier run has of the list at `path`.
    pub(super) fn take(&mut self, path: &str) -> Option<ListRead> {
        self.lists.remove(path)
    }

    /// Lists that an earlier run has left.
    pub(super) fn len(&self) -> usize {
        self.lists.len()
    }

    /// Keeps a page of the list at `path`.
    pub(super) fn add(&mut self, path: &str, page: &ListRead) {
        let line = json!({ "path": path, "objects": page.objects, "next": page.next, "etag": page.etag });
        if let Some(file) = &mut self.file
            && let Err(error) = write_line(file, &line)
        {
            tracing::debug!(%error, "pages are no longer kept");
            self.file = None;
        }
    }

    /// The pages are in the table.
    pub(super) fn done(self) {
        let _ = fs::remove_file(&self.path);
    }

    /// Goes on behind the first `length` bytes of the file.
    fn open(&mut self, scope: &str, now_us: i64, length: u64) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&self.path)?;
        file.set_len(length)?;
        file.seek(SeekFrom::End(0))?;
        if length == 0 {
            write_line(&mut file, &json!({ "scope": scope, "at": now_us }))?;
        }
        self.file = Some(file);
        Ok(())
    }
}

fn write_line(file: &mut File, line: &Value) -> io::Result<()> {
    let text = line.to_string();
    file.write_all(format!("{:016x} {text}\n", xxh3_64(text.as_bytes())).as_bytes())
}

/// What of a journal is whole: its lists, and how many bytes they are. A torn line and what follows it do not count.
fn read_journal(path: &Path, scope: &str, now_us: i64) -> Option<(HashMap<String, ListRead>, u64)> {
    let text = String::from_utf8_lossy(&fs::read(path).ok()?).into_owned();
    let mut length = 0;
    let mut lines = text.split_inclusive('\n').map_while(|line| {
        let value = whole(line.strip_suffix('\n')?)?;
        length += line.len() as u64;
        Some(value)
    });
    let head = lines.next()?;
    let age = now_us - head["at"].as_i64()?;
    if head["scope"] != scope || !(0..RESUME_WITHIN_US).contains(&age) {
        return None;
    }
    let mut lists: HashMap<String, ListRead> = HashMap::new();
    for mut line in lines {
        let path = line["path"].as_str()?.to_owned();
        let Value::Array(objects) = line["objects"].take() else { return None };
        let list = lists.entry(path).or_default();
        list.objects.extend(objects);
        list.next = line["next"].as_str().map(str::to_owned);
        list.etag = line["etag"].as_str().map(str::to_owned);
    }
    Some((lists, length))
}

fn whole(line: &str) -> Option<Value> {
    let (sum, text) = line.split_once(' ')?;
    if u64::from_str_radix(sum, 16).ok()? != xxh3_64(text.as_bytes()) {
        return None;
    }
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(name: &str, next: Option<&str>) -> ListRead {
        ListRead { objects: vec![json!({ "name": name })], next: next.map(str::to_owned), etag: None }
    }

    #[test]
    fn pages_outlive_the_run_that_read_them() {
        let directory = tempfile::tempdir().unwrap();
        let known = Known::new(directory.path());
        let mut journal = known.journal("apps", "full", 1_000);
        assert_eq!(journal.len(), 0);
        journal.add("/apps", &page("a", Some("id ]a..")));
        journal.add("/teams/t/apps", &page("t", None));
        journal.add("/apps", &page("b", Some("id ]b..")));
        // Killed in the middle of a page.
        let file = directory.path().join("sync/apps.pages");
        drop(journal);
        let whole = fs::read(&file).unwrap();
        for length in 0..whole.len() {
            fs::write(&file, &whole[..length]).unwrap();
            let mut journal = known.journal("apps", "full", 2_000);
            if let Some(apps) = journal.take("/apps") {
                assert!(apps.objects.len() == 1 && apps.next.as_deref() == Some("id ]a.."), "cut at {length}: {apps:?}");
            }
            // What is added behind a torn line is read.
            journal.add("/new", &page("n", None));
            drop(journal);
            assert_eq!(known.journal("apps", "full", 3_000).take("/new"), Some(page("n", None)), "cut at {length}");
        }
        fs::write(&file, &whole).unwrap();
        assert_eq!(known.journal("apps", "new", 2_000).len(), 0, "another question");
        fs::write(&file, &whole).unwrap();
        assert_eq!(known.journal("apps", "full", 2_000 + RESUME_WITHIN_US).len(), 0, "too old");
        fs::write(&file, &whole).unwrap();
        let mut journal = known.journal("apps", "full", 2_000);
        let apps = journal.take("/apps").unwrap();
        assert_eq!((apps.objects.len(), apps.next.as_deref()), (2, Some("id ]b..")));
        assert_eq!(journal.take("/teams/t/apps"), Some(page("t", None)));
        journal.add("/apps", &page("c", None));
        drop(journal);
        let mut journal = known.journal("apps", "full", 3_000);
        let apps = journal.take("/apps").unwrap();
        assert_eq!((apps.objects.len(), apps.next), (3, None));
        journal.done();
        assert!(!file.exists());
    }

    #[test]
    fn tags_are_kept_and_one_run_is_at_work() {
        let directory = tempfile::tempdir().unwrap();
        let known = Known::new(directory.path());
        assert_eq!(known.tags("apps"), Tags::default());
        let tags = Tags { table: Some(("id".to_owned(), 7)), by_path: BTreeMap::from([("/apps".to_owned(), "\"x\"".to_owned())]) };
        known.keep_tags("apps", &tags);
        assert_eq!(known.tags("apps"), tags);
        let lock = known.lock().unwrap();
        assert!(lock.is_some() && known.lock().unwrap().is_none());
        drop(lock);
        assert!(known.lock().unwrap().is_some());
    }
}
