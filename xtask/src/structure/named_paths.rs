//! Every path that a document names in backquotes exists.

use std::path::Path;

/// The paths in `text` that do not exist below `root`.
pub(super) fn problems(root: &Path, document: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut in_block = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            let named = line.split('`').skip(1).step_by(2).filter(|word| looks_like_a_path(word));
            let missing = named.filter(|path| !exists(root, path));
            problems.extend(missing.map(|path| format!("{document}:{number}: `{path}` does not exist")));
        }
    }
    problems
}

/// Paths of the repository have a slash or one of our endings; those that begin with `.`, `/`, `_` or `~` are a user's.
fn looks_like_a_path(word: &str) -> bool {
    const ENDINGS: [&str; 5] = [".rs", ".md", ".toml", ".log", ".sh"];
    let plain = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./*".contains(&byte));
    let ours = !word.starts_with(['/', '_', '~', '*']) && !word.starts_with("./") && !word.starts_with("..");
    plain && ours && (word.contains('/') || ENDINGS.iter().any(|ending| word.ends_with(ending) && word.len() > ending.len()))
}

/// A `*` stands for anything: only what comes before its part of the path is looked for.
fn exists(root: &Path, path: &str) -> bool {
    let fixed = path.split_once('*').map_or(path, |(before, _)| before.rsplit_once('/').map_or("", |(folder, _)| folder));
    root.join(fixed).exists()
}

#[cfg(test)]
mod tests {
    use super::{looks_like_a_path, problems};

    #[test]
    fn words_and_a_users_paths_are_no_paths_of_ours() {
        for path in ["crates/core", "crates/core/src/lib.rs", "deny.toml", ".ci/run", "crates/*/src", "samples/shop.log"] {
            assert!(looks_like_a_path(path), "{path}");
        }
        for word in [
            "Package",
            "txn",
            "./lake",
            "/metrics",
            "POST /drain/{app}",
            "URL/<table>",
            "_delta_log/_last_checkpoint",
            "freshet run",
            ".rs",
            "",
        ] {
            assert!(!looks_like_a_path(word), "{word}");
        }
    }

    #[test]
    fn a_missing_path_is_named_with_its_line() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("crates/core/src")).unwrap();
        let text = "See `crates/core/src` and `crates/*/src`.\n```\n`gone/in/a/block`\n```\nAnd `crates/gone.rs`, `Package`.\n";
        assert_eq!(problems(root.path(), "A.md", text), ["A.md:5: `crates/gone.rs` does not exist"]);
    }
}
