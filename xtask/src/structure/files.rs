//! Files stay short, and nothing unfinished is committed.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file with more lines holds a second idea.
const LINES_MAX: usize = 600;

/// Folders with Rust code of ours.
const FOLDERS: [&str; 5] = ["benches", "crates", "fuzz", "proof", "xtask"];

/// What unfinished code looks like; in two halves, so that this file is not one.
const UNFINISHED: [&str; 5] =
    [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[", "ignore"), concat!("TO", "DO"), concat!("FIX", "ME")];

/// Everything that is too long or unfinished below `root`.
pub(super) fn problems(root: &Path) -> Result<Vec<String>, String> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();
    let mut problems = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        inspect(&name, &text, &mut problems);
    }
    Ok(problems)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let entry = entry.map_err(|error| format!("{}: {error}", folder.display()))?;
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type().map_err(|error| format!("{}: {error}", path.display()))?;
        if kind.is_dir() && name != "target" && name != "corpus" {
            collect(&path, files)?;
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn inspect(name: &str, text: &str, problems: &mut Vec<String>) {
    let lines = text.lines().count();
    if lines > LINES_MAX && name.starts_with("crates/") && name.contains("/src/") {
        problems.push(format!("{name}: {lines} lines; find the second idea in it (at most {LINES_MAX})"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(mark) = UNFINISHED.iter().find(|mark| line.contains(**mark)) {
            problems.push(format!("{name}:{number}: {mark}: finish it or leave it out"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{inspect, problems};

    fn check(name: &str, text: &str, expected: &[&str]) {
        let mut found = Vec::new();
        inspect(name, text, &mut found);
        assert_eq!(found, expected);
    }

    #[test]
    fn long_and_unfinished_files_are_named() {
        check("crates/load/src/cut.rs", "fn cut() {}\n", &[]);
        check(
            "crates/load/src/cut.rs",
            &"\n".repeat(601),
            &["crates/load/src/cut.rs: 601 lines; find the second idea in it (at most 600)"],
        );
        check("crates/load/tests/kill.rs", &"\n".repeat(601), &[]);
        let unfinished = format!("fn cut() {{\n    {}\n}}\n", concat!("todo", "!()"));
        let expected = format!("a.rs:2: {}: finish it or leave it out", concat!("todo", "!("));
        check("a.rs", &unfinished, &[&expected]);
    }

    #[test]
    fn folders_are_searched_but_not_what_was_built_in_them() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["crates/load/src", "fuzz/target/src"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
            std::fs::write(root.path().join(folder).join("cut.rs"), concat!("// FIX", "ME\n")).unwrap();
        }
        let found = problems(root.path()).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("crates/load/src/cut.rs:1: "), "{found:?}");
    }
}
