//! The project's own checks: `cargo xtask check` before a commit, and what it is made of.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a developer reads this program's output")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod check;
mod deny;
mod program;
mod report;
mod structure;
mod test_count;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage:
  cargo xtask check          all that must hold before a commit: format, clippy, structure, deny, typos, tests
  cargo xtask check --fast   the same without the tests
  cargo xtask structure      only the structure: crate arrows, heavy libraries, named paths, file sizes";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let well = match words.as_slice() {
        ["check"] => check::run(&root(), check::Extent::All),
        ["check", "--fast"] => check::run(&root(), check::Extent::Fast),
        ["structure"] => structure::run(&root()),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            true
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The repository's root: the folder above this package's.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}
