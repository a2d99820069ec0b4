//! Other programs, run to their end.

use std::process::{Command, Stdio};

/// The cargo that runs this program, not whichever comes first in the path.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// What a finished program said, errors and output together, and whether it exited with 0.
pub(crate) struct Finished {
    pub(crate) success: bool,
    pub(crate) output: String,
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Finished {
    match command.stdin(Stdio::null()).output() {
        Ok(output) => {
            let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.push_str(&String::from_utf8_lossy(&output.stderr));
            Finished { success: output.status.success(), output: text }
        }
        Err(error) => {
            let program = command.get_program().to_string_lossy();
            Finished { success: false, output: format!("{program} cannot be run: {error}") }
        }
    }
}
