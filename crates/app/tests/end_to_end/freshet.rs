//! Running the binary, and asking the lake what is in it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::rigs::Rig;

/// A folder of its own with room for a lake, a data directory and a configuration.
pub(crate) struct Place {
    root: PathBuf,
    /// Where the lake is, when it is not in the folder.
    lake_url: Option<String>,
    /// Whether only the configuration says where the tables are.
    has_no_lake: bool,
    /// What the binary finds in its environment beyond the usual.
    environment: Vec<(String, String)>,
    /// Removed with the place.
    _folder: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; a signal has none.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { root: folder.path().to_owned(), lake_url: None, has_no_lake: false, environment: Vec::new(), _folder: folder }
    }

    /// The same with its lake on an object store.
    pub(crate) fn on(rig: &Rig) -> Self {
        let environment = rig.environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Self { lake_url: Some(rig.fresh_lake()), environment, ..Self::new() }
    }

    /// The same where only the configuration says where the tables are.
    pub(crate) fn without_lake(environment: &[(&str, String)]) -> Self {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Self { has_no_lake: true, environment, ..Self::new() }
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn lake(&self) -> PathBuf {
        self.path("lake")
    }

    /// The lake's URL, on an object store.
    pub(crate) fn lake_url(&self) -> &str {
        self.lake_url.as_deref().unwrap()
    }

    /// Writes a file and returns its path.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The binary in this folder, with its lake and its data directory and nothing of the environment. Its arguments are
    /// the words of `line`, then `files`.
    pub(crate) fn command(&self, line: &str, files: &[&Path]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_freshet"));
        self.surround(&mut command);
        command.args(line.split_whitespace()).args(files);
        command
    }

    /// The same under `strace`, which injects what `injections` say.
    pub(crate) fn traced(&self, injections: &[&str], line: &str, files: &[&Path]) -> Command {
        let mut command = Command::new("strace");
        self.surround(&mut command);
        // Its own account of what it did goes to a file: standard error is the binary's.
        command.args(["-f", "-q", "-o"]).arg(self.path("trace.txt"));
        command.args(injections).arg(env!("CARGO_BIN_EXE_freshet")).args(line.split_whitespace()).args(files);
        command
    }

    /// Another program in the same surroundings.
    pub(crate) fn wrapped(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        self.surround(&mut command);
        command.args(arguments);
        command
    }

    fn surround(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os() {
            let kept = ["PATH", "HOME", "TMPDIR"];
            if !kept.iter().any(|kept| name == *kept) {
                command.env_remove(name);
            }
        }
        command.current_dir(&self.root).env("FRESHET_DATA_DIR", self.path("data"));
        if !self.has_no_lake {
            command.env("FRESHET_LAKE", self.lake_url.clone().map_or_else(|| self.lake(), PathBuf::from));
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.env("NETRC", self.path("netrc"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    }

    /// Runs the binary to its end.
    pub(crate) fn run(&self, line: &str, files: &[&Path]) -> Ended {
        self.command(line, files).output().unwrap().into()
    }

    /// Runs the binary and wants exit code 0.
    pub(crate) fn ok(&self, line: &str, files: &[&Path]) -> Ended {
        let ended = self.run(line, files);
        assert_eq!(ended.code, Some(0), "{line}: {ended:#?}");
        ended
    }

    /// Runs the binary with `bytes` as its standard input.
    pub(crate) fn run_with_input(&self, line: &str, files: &[&Path], bytes: &[u8]) -> Ended {
        let mut child = self.command(line, files).stdin(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let bytes = bytes.to_vec();
        // A binary that stops reading early breaks the pipe, and its exit code tells.
        let writer = std::thread::spawn(move || drop(input.write_all(&bytes)));
        let ended = Ended::from(child.wait_with_output().unwrap());
        writer.join().unwrap();
        ended
    }

    /// Runs the binary with `--output json` and reads its one document.
    pub(crate) fn json(&self, line: &str, files: &[&Path]) -> Value {
        let ended = self.ok(&format!("{line} --output json"), files);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{line}: {error}: {ended:#?}"))
    }

    /// Imports files and returns the report.
    pub(crate) fn import(&self, files: &[&Path]) -> Value {
        self.json("import", files)
    }

    /// Asks `sql` and wants an answer in this form.
    pub(crate) fn ask(&self, sql: &str, form: &str) -> String {
        let ended = self.run_with_input(&format!("query - --output {form}"), &[], sql.as_bytes());
        assert_eq!(ended.code, Some(0), "{sql}: {ended:#?}");
        ended.stdout
    }

    /// The rows that `sql` gives.
    pub(crate) fn query(&self, sql: &str) -> Vec<Value> {
        self.ask(sql, "json").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The one number that `sql` gives.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        let rows = self.query(sql);
        let row = rows.first().and_then(Value::as_object).unwrap_or_else(|| panic!("{sql}: {rows:?}"));
        row.values().next().and_then(Value::as_i64).unwrap_or_else(|| panic!("{sql}: {row:?}"))
    }

    /// Rows of each table as the tables' own statistics count them; tables without rows are left out.
    pub(crate) fn rows_by_table(&self) -> BTreeMap<String, i64> {
        let list = self.json("tables list", &[]);
        let of_one =
            |table: &Value| (table["table"].as_str().unwrap().to_owned(), table["rows"].as_i64().expect("every file has statistics"));
        list.as_array().unwrap().iter().map(of_one).filter(|(_, rows)| *rows > 0).collect()
    }

    /// As [`Place::rows_by_table`], but without `_loads`, which depends on how often was committed.
    pub(crate) fn data_rows(&self) -> BTreeMap<String, i64> {
        let mut rows = self.rows_by_table();
        rows.remove("_loads");
        rows
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the binary writes UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// The files in `samples` at the root of the repository.
pub(crate) fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples").join(name)
}

/// Rows that an import's report counts, by table.
pub(crate) fn reported_rows(report: &Value) -> BTreeMap<String, i64> {
    let of_one = |table: &Value| (table["table"].as_str().unwrap().to_owned(), table["rows"].as_i64().unwrap());
    report["tables"].as_array().unwrap().iter().map(of_one).collect()
}

/// The sum of `field` over an import's files.
pub(crate) fn sum(report: &Value, field: &str) -> i64 {
    report["files"].as_array().unwrap().iter().map(|file| file[field].as_i64().unwrap()).sum()
}
