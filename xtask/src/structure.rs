//! What the compiler does not check: which crate may know which, and what the documents promise about the folders.

mod arrows;
mod files;
mod named_paths;

use std::path::Path;

use serde_json::Value;

use crate::program;
use crate::report::{Outcome, step};

/// The documents whose paths must exist.
const DOCUMENTS: [&str; 2] = ["ARCHITECTURE.md", "STYLE.md"];

/// `cargo xtask structure`.
pub(crate) fn run(root: &Path) -> bool {
    step("structure", || outcome(root))
}

/// All problems at once.
pub(crate) fn outcome(root: &Path) -> Outcome {
    match problems(root) {
        Ok(problems) if problems.is_empty() => Outcome::Well(String::new()),
        Ok(problems) => Outcome::Failed(problems.join("\n")),
        Err(error) => Outcome::Failed(error),
    }
}

fn problems(root: &Path) -> Result<Vec<String>, String> {
    let mut problems = arrows::problems(&metadata(root)?);
    problems.extend(files::problems(root)?);
    for document in DOCUMENTS {
        match std::fs::read_to_string(root.join(document)) {
            Ok(text) => problems.extend(named_paths::problems(root, document, &text)),
            Err(error) => problems.push(format!("{document}: {error}")),
        }
    }
    Ok(problems)
}

fn metadata(root: &Path) -> Result<Value, String> {
    let output = program::cargo()
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked", "--offline"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))
}
