//! One line per step; the whole output of a step only when it failed.

use std::io::{self, Write};
use std::time::Instant;

/// How a step ended.
pub(crate) enum Outcome {
    /// All is well; the note stands behind the step's line and may be empty.
    Well(String),
    /// It could not be looked at, and why. Not a failure, but never silent.
    Skipped(String),
    /// What the person who must repair it reads.
    Failed(String),
}

/// Runs `work` and prints its line. False when it failed.
pub(crate) fn step(name: &str, work: impl FnOnce() -> Outcome) -> bool {
    print!("{name:<11}");
    // A line that cannot be shown early is shown with its result.
    let _ = io::stdout().flush();
    let started = Instant::now();
    let outcome = work();
    let seconds = started.elapsed().as_secs_f64();
    match outcome {
        Outcome::Well(note) => println!("ok      {seconds:>6.1} s  {note}"),
        Outcome::Skipped(why) => println!("SKIPPED {seconds:>6.1} s  {why}"),
        Outcome::Failed(output) => {
            println!("FAILED  {seconds:>6.1} s\n\n{}\n", output.trim_end());
            return false;
        }
    }
    true
}
