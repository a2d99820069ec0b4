use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

/// A directory with the given files; a name that ends in `/` is an empty directory.
fn tree(files: &[&str]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let path = root.path().join(file);
        if file.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file.as_bytes()).unwrap();
        }
    }
    root
}

/// What `paths`, which lie below `root`, expand to.
fn expanded(root: &TempDir, paths: &[&str]) -> Result<Vec<String>, FilesError> {
    let paths: Vec<_> = paths.iter().map(|path| if *path == "-" { PathBuf::from("-") } else { root.path().join(path) }).collect();
    let inputs = expand(&paths)?;
    let below_root = |name: String| Path::new(&name).strip_prefix(root.path()).map_or(name.clone(), |path| path.display().to_string());
    Ok(inputs.iter().map(|input| below_root(input.name())).collect())
}

fn check(root: &TempDir, paths: &[&str], expected: &[&str]) {
    assert_eq!(expanded(root, paths).unwrap(), expected, "{paths:?}");
}

/// How the names of the problems begin, in order.
fn check_problems(root: &TempDir, paths: &[&str], expected: &[&str]) {
    let error = expanded(root, paths).unwrap_err();
    let kinds: Vec<_> = error.problems.iter().map(|problem| format!("{problem:?}")).collect();
    let expected_kinds: Vec<_> = kinds.iter().zip(expected).filter(|(kind, expected)| kind.starts_with(*expected)).collect();
    assert_eq!((expected_kinds.len(), kinds.len()), (expected.len(), expected.len()), "{kinds:?}");
    assert_eq!(error.to_string().lines().count(), expected.len(), "each problem has its line");
}

#[test]
fn paths_expand_in_order_and_directories_sorted() {
    let root = tree(&["b.log", "a.log", "d/2.gz", "d/10.gz", "d/1/z", "d/.hidden", "d/.git/config", "d/_SUCCESS", "d/empty/"]);
    check(&root, &["b.log", "-", "a.log"], &["b.log", "standard input", "a.log"]);
    check(&root, &["d"], &["d/1/z", "d/10.gz", "d/2.gz", "d/_SUCCESS"]);
    check(&root, &["d/.hidden"], &["d/.hidden"]);
    check(&root, &["d", "d/1", "a.log"], &["d/1/z", "d/10.gz", "d/2.gz", "d/_SUCCESS", "a.log"]);
}

#[test]
fn links_are_followed_and_loops_end() {
    let root = tree(&["d/sub/a.log", "elsewhere/b.log"]);
    symlink(root.path().join("d"), root.path().join("d/sub/up")).unwrap();
    symlink(root.path().join("elsewhere"), root.path().join("d/far")).unwrap();
    symlink(root.path().join("elsewhere/b.log"), root.path().join("d/link.log")).unwrap();
    check(&root, &["d"], &["d/far/b.log", "d/link.log", "d/sub/a.log"]);
}

#[test]
fn all_problems_are_told_at_once() {
    let root = tree(&["a.log", "empty/", "d/x.log"]);
    symlink(root.path().join("nowhere"), root.path().join("d/dangling")).unwrap();
    symlink(root.path().join("self"), root.path().join("self")).unwrap();
    check_problems(&root, &["missing"], &["Missing"]);
    check_problems(&root, &["a.log/below"], &["Unreadable"]);
    let paths = ["missing", "a.log", "-", "empty", "d", "-", "self"];
    check_problems(&root, &paths, &["Missing", "Empty", "Missing", "StdinTwice", "Unreadable"]);
}

#[test]
fn sizes_are_those_on_disk() {
    let root = tree(&["a.log"]);
    let inputs = expand(&[root.path().join("a.log"), PathBuf::from("-"), PathBuf::from("/dev/null")]).unwrap();
    assert_eq!(inputs.iter().map(FileInput::size_bytes).collect::<Vec<_>>(), [Some(5), None, None]);
    assert_eq!(inputs[0].path(), Some(root.path().join("a.log").as_path()));
    assert_eq!(inputs[1].path(), None);
}
