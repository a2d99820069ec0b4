//! The closing lines of `cargo test`, added up.

use std::fmt;

/// How many tests ended how, over all test programs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TestCount {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

impl TestCount {
    /// Adds up the lines `test result: ok. 3 passed; 0 failed; 0 ignored; …` in what `cargo test` printed.
    pub(crate) fn of(output: &str) -> Self {
        let mut count = Self::default();
        for line in output.lines().filter_map(|line| line.strip_prefix("test result: ")) {
            let words: Vec<&str> = line.split([' ', ';']).filter(|word| !word.is_empty()).collect();
            for pair in words.windows(2) {
                let Ok(number) = pair[0].parse::<u64>() else { continue };
                match pair[1] {
                    "passed" => count.passed += number,
                    "failed" => count.failed += number,
                    "ignored" => count.ignored += number,
                    _ => {}
                }
            }
        }
        count
    }
}

impl fmt::Display for TestCount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.failed == 0 { "ok" } else { "FAILED" };
        let Self { passed, failed, ignored } = self;
        write!(formatter, "test result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out")
    }
}

#[cfg(test)]
mod tests {
    use super::TestCount;

    #[test]
    fn the_lines_of_all_programs_are_added() {
        let output = "running 3 tests\n...\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\n\
                      test result: FAILED. 40 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.20s\nerror: 1 target failed";
        let count = TestCount::of(output);
        assert_eq!(count, TestCount { passed: 43, failed: 2, ignored: 1 });
        assert_eq!(count.to_string(), "test result: FAILED. 43 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out");
    }

    #[test]
    fn no_line_is_no_test() {
        assert_eq!(TestCount::of("error: could not compile"), TestCount::default());
    }
}
