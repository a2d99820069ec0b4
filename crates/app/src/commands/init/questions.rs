//! The few questions of `freshet init`, each with a default that Enter takes.

use std::io::{self, BufRead, Write};

use super::file::Answers;
use crate::heroku_api::fits;

/// Names of apps that are listed, by columns; more would push the question off the screen.
const APPS_SHOWN: usize = 60;

/// Columns of the list, and its width in characters.
const COLUMNS: usize = 3;
const COLUMN_WIDTH: usize = 26;

/// Asks for what the flags left open. `seen` are the apps that the token can see, if there is one.
///
/// # Errors
/// The terminal is gone.
pub(super) fn ask(input: &mut impl BufRead, output: &mut impl Write, seen: &[String], answers: &mut Answers) -> io::Result<()> {
    if answers.apps.is_empty() {
        apps(input, output, seen, answers)?;
    }
    if answers.lake.is_none() {
        answers.lake = line(input, output, "Folder of the lake", "./lake")?;
    }
    if answers.listen.is_none() {
        answers.listen = line(input, output, "Listen on", "0.0.0.0:8080")?;
    }
    if answers.public_url.is_none() {
        answers.public_url =
            line(input, output, "Address by which Heroku will reach it, such as https://logs.example.com", "not known yet")?;
    }
    writeln!(output)
}

fn apps(input: &mut impl BufRead, output: &mut impl Write, seen: &[String], answers: &mut Answers) -> io::Result<()> {
    if !seen.is_empty() {
        writeln!(output, "Apps that your token can see:\n")?;
        for row in seen[..seen.len().min(APPS_SHOWN)].chunks(COLUMNS) {
            let cells: String = row.iter().map(|name| format!("  {name:<COLUMN_WIDTH$}")).collect();
            writeln!(output, "{}", cells.trim_end())?;
        }
        if seen.len() > APPS_SHOWN {
            writeln!(output, "  and {} more", seen.len() - APPS_SHOWN)?;
        }
        writeln!(output)?;
    }
    loop {
        let given =
            line(input, output, "Apps that `freshet check` looks for, names or patterns such as shop-*, with spaces between", "all")?;
        let given: Vec<String> =
            given.iter().flat_map(|text| text.split([' ', ','])).filter(|word| !word.is_empty()).map(str::to_owned).collect();
        let idle: Vec<&str> = given.iter().map(String::as_str).filter(|pattern| !seen.iter().any(|name| fits(pattern, name))).collect();
        if idle.is_empty() || seen.is_empty() {
            answers.apps = given;
            return Ok(());
        }
        writeln!(output, "No app of yours matches {}.", idle.join(", "))?;
    }
}

/// The answer to `question`; nothing when Enter, or the end of the input, takes the default.
fn line(input: &mut impl BufRead, output: &mut impl Write, question: &str, default: &str) -> io::Result<Option<String>> {
    write!(output, "{question} [{default}]: ")?;
    output.flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(Some(answer.trim().to_owned()).filter(|answer| !answer.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seen: &[&str], typed: &str, expected: &Answers, says: &[&str]) {
        let seen: Vec<String> = seen.iter().map(|name| (*name).to_owned()).collect();
        let (mut answers, mut shown) = (Answers::default(), Vec::new());
        ask(&mut typed.as_bytes(), &mut shown, &seen, &mut answers).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        assert_eq!(&answers, expected, "{typed:?}: {shown}");
        assert!(says.iter().all(|words| shown.contains(words)), "{typed:?}: {shown}");
    }

    #[test]
    fn enter_takes_every_default() {
        check(&[], "\n\n\n\n", &Answers::default(), &["[all]", "[./lake]", "[0.0.0.0:8080]"]);
        check(&["a", "b"], "", &Answers::default(), &["  a ", "  b"]);
    }

    #[test]
    fn answers_are_taken_and_misspelt_apps_asked_for_again() {
        let expected = Answers {
            apps: vec!["shop-*".into(), "billing".into()],
            lake: Some("/data/lake".into()),
            listen: Some("127.0.0.1:9000".into()),
            public_url: Some("https://x.example".into()),
            ..Answers::default()
        };
        let typed = "shop-*, biling\nshop-* billing\n /data/lake \n127.0.0.1:9000\nhttps://x.example\n";
        check(&["billing", "shop-eu"], typed, &expected, &["No app of yours matches biling."]);
    }

    #[test]
    fn what_flags_said_is_not_asked() {
        let mut answers = Answers {
            apps: vec!["a".into()],
            lake: Some("l".into()),
            listen: Some("x".into()),
            public_url: Some("u".into()),
            ..Answers::default()
        };
        let mut shown = Vec::new();
        ask(&mut &b""[..], &mut shown, &[], &mut answers).unwrap();
        assert_eq!(shown, b"\n");
    }

    #[test]
    fn a_long_list_of_apps_is_cut() {
        let names: Vec<String> = (0..100).map(|index| format!("app-{index:03}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        check(&names, "", &Answers::default(), &["app-059", "and 40 more"]);
    }
}
