//! `cargo xtask check`: the steps in the order in which they are cheapest to repair.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program;
use crate::report::{Outcome, step};
use crate::test_count::TestCount;
use crate::{deny, structure};

/// How much to check.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    All,
    /// All but the tests.
    Fast,
}

/// Runs every step, also after one has failed, so that one run shows all there is to repair.
pub(crate) fn run(root: &Path, extent: Extent) -> bool {
    let mut well = step("format", || format(root));
    well &= step("structure", || structure::outcome(root));
    well &= step("typos", || tool(root, "typos", &[]));
    well &= step("deny", || tool(root, "cargo-deny", &deny::RULES));
    well &= step("advisories", || deny::advisories(root, &path_of("cargo-deny")));
    well &= step("clippy", || {
        cargo(root, &["clippy", "--workspace", "--all-targets", "--no-default-features", "--locked", "--quiet", "--", "-D", "warnings"])
    });
    if extent == Extent::All {
        let mut count = None;
        well &= step("tests", || tests(root, &mut count));
        if let Some(count) = count {
            println!("{count}");
        }
    }
    well
}

/// The fuzz targets are a workspace of their own.
fn format(root: &Path) -> Outcome {
    let check = ["--all", "--check", "--", "--color=never"];
    match cargo(root, &[&["fmt"], &check[..]].concat()) {
        Outcome::Well(_) if root.join("fuzz/Cargo.toml").exists() => {
            cargo(root, &[&["fmt", "--manifest-path", "fuzz/Cargo.toml"], &check[..]].concat())
        }
        outcome => outcome,
    }
}

fn cargo(root: &Path, arguments: &[&str]) -> Outcome {
    silent(root, &mut program::cargo(), arguments)
}

fn tool(root: &Path, name: &str, arguments: &[&str]) -> Outcome {
    silent(root, &mut Command::new(path_of(name)), arguments)
}

fn silent(root: &Path, command: &mut Command, arguments: &[&str]) -> Outcome {
    let finished = program::run(command.args(arguments).current_dir(root));
    if finished.success { Outcome::Well(String::new()) } else { Outcome::Failed(finished.output) }
}

fn tests(root: &Path, count: &mut Option<TestCount>) -> Outcome {
    let finished = program::run(
        program::cargo().args(["test", "--workspace", "--no-default-features", "--locked", "--no-fail-fast"]).current_dir(root),
    );
    let counted = TestCount::of(&finished.output);
    let passed = counted.passed;
    *count = Some(counted);
    if !finished.success {
        return Outcome::Failed(finished.output);
    }
    if passed == 0 {
        return Outcome::Failed("cargo test ran no test".to_owned());
    }
    Outcome::Well(format!("{passed} passed"))
}

/// Where `scripts/setup` puts the tools; without it, whatever the path holds.
fn path_of(name: &str) -> PathBuf {
    let cache = std::env::var_os("FRESHET_CACHE")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/freshet")));
    let installed = cache.map(|cache| cache.join("tools/bin").join(name)).filter(|path| path.is_file());
    installed.unwrap_or_else(|| PathBuf::from(name))
}
