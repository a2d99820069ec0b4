//! Tables as they were: `logs VERSION AS OF 12` and `logs TIMESTAMP AS OF '2026-11-20 10:00:00'`, as Spark and Databricks write it.
//!
//! DataFusion has no such words. What would be a syntax error to it, a name followed by exactly these words and a literal, becomes a
//! quoted name that says the same, and the lake's schema knows such names. The tokens tell strings and comments from the rest, and
//! nothing but these words is replaced.

use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::RESERVED_FOR_TABLE_ALIAS;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};
use freshet_core::Micros;

use arrow_schema::{DataType, TimeUnit};

const BY_VERSION: &str = " VERSION AS OF ";
const BY_TIME: &str = " TIMESTAMP AS OF ";

/// Which version of a table a name asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AsOf {
    Version(u64),
    Moment(Micros),
}

/// The table in a name, and which version of it is meant; nothing for plain names.
///
/// # Errors
/// In words, when it is no version.
pub(crate) fn as_of(name: &str) -> Result<Option<(&str, AsOf)>, String> {
    if let Some((table, version)) = name.split_once(BY_VERSION) {
        let version = version.parse().map_err(|_| format!("VERSION AS OF wants a whole number, not {version}"))?;
        return Ok(Some((table, AsOf::Version(version))));
    }
    let Some((table, text)) = name.split_once(BY_TIME) else { return Ok(None) };
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    match ScalarValue::try_from_string(text.to_owned(), &time) {
        Ok(ScalarValue::TimestampMicrosecond(Some(at), _)) => Ok(Some((table, AsOf::Moment(Micros(at))))),
        _ => Err(format!("TIMESTAMP AS OF wants a time such as '2026-11-20 10:00:00', in UTC unless it says otherwise, not '{text}'")),
    }
}

/// The name without what says which version of it is meant.
pub(crate) fn bare(name: &str) -> &str {
    [BY_VERSION, BY_TIME].iter().find_map(|words| name.split_once(words)).map_or(name, |(table, _)| table)
}

/// `sql` with each name that asks for a version in quotes. What cannot be read stays as it is: others say what is wrong with it.
pub(crate) fn quoted(sql: &str) -> String {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location() else { return sql.to_owned() };
    let tokens: Vec<TokenWithSpan> = tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let lines = Lines::new(sql);
    let (mut out, mut done) = (String::with_capacity(sql.len() + 64), 0);
    for (at, window) in tokens.windows(5).enumerate() {
        let [table, kind, as_word, of_word, value] = window else { continue };
        let Token::Word(name) = &table.token else { continue };
        let (true, true) = (is_word(as_word, "as"), is_word(of_word, "of")) else { continue };
        let (words, value_text) = match &value.token {
            Token::Number(number, _) if is_word(kind, "version") => (BY_VERSION, number),
            Token::SingleQuotedString(text) if is_word(kind, "timestamp") => (BY_TIME, text),
            _ => continue,
        };
        let (Some(start), Some(end)) = (lines.offset(table.span.start), lines.offset(value.span.end)) else { continue };
        let (Some(before), true) = (sql.get(done..start), end <= sql.len()) else { continue };
        let plain = if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() };
        out.push_str(before);
        out.push_str(&format!("\"{}\"", format!("{plain}{words}{value_text}").replace('"', "\"\"")));
        if !tokens.get(at + 5).is_some_and(|next| begins_alias(&next.token)) {
            out.push_str(&format!(" AS \"{}\"", plain.replace('"', "\"\"")));
        }
        done = end;
    }
    out.push_str(sql.get(done..).unwrap_or_default());
    out
}

fn is_word(token: &TokenWithSpan, word: &str) -> bool {
    matches!(&token.token, Token::Word(Word { value, quote_style: None, .. }) if value.eq_ignore_ascii_case(word))
}

/// Whether a table's alias follows.
fn begins_alias(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.quote_style.is_some() || is_as(word) || !RESERVED_FOR_TABLE_ALIAS.contains(&word.keyword),
        _ => false,
    }
}

fn is_as(word: &Word) -> bool {
    word.value.eq_ignore_ascii_case("as")
}

/// Where lines begin: tokens have lines and columns, from 1, in characters.
struct Lines<'a> {
    sql: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(sql: &'a str) -> Self {
        let starts = std::iter::once(0).chain(sql.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { sql, starts }
    }

    fn offset(&self, at: Location) -> Option<usize> {
        let start = *self.starts.get(usize::try_from(at.line).ok()?.checked_sub(1)?)?;
        let line = self.sql.get(start..)?;
        let column = usize::try_from(at.column).ok()?.checked_sub(1)?;
        Some(line.char_indices().map(|(at, _)| at).chain([line.len()]).nth(column)? + start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_ask_for_a_version_change() {
        let check = |sql: &str, expected: &str| assert_eq!(quoted(sql), expected);
        check("SELECT * FROM logs VERSION AS OF 12", "SELECT * FROM \"logs VERSION AS OF 12\" AS \"logs\"");
        check(
            "select count(*) from Logs version as of 3 where ts > '1'",
            "select count(*) from \"logs VERSION AS OF 3\" AS \"logs\" where ts > '1'",
        );
        check("SELECT * FROM logs VERSION AS OF 12 AS l JOIN logs m", "SELECT * FROM \"logs VERSION AS OF 12\" AS l JOIN logs m");
        check("SELECT * FROM logs VERSION AS OF 12 l", "SELECT * FROM \"logs VERSION AS OF 12\" l");
        check(
            "SELECT 'ü' ,\n '…' FROM\n  lake.logs /* x */ TIMESTAMP\nAS OF '2026-11-20' , b VERSION AS OF 1;",
            "SELECT 'ü' ,\n '…' FROM\n  lake.\"logs TIMESTAMP AS OF 2026-11-20\" AS \"logs\" , \"b VERSION AS OF 1\" AS \"b\";",
        );
        check("(SELECT 1 FROM \"A\" VERSION AS OF 1)", "(SELECT 1 FROM \"A VERSION AS OF 1\" AS \"A\")");
        for same in [
            "SELECT 'logs VERSION AS OF 12'",
            "SELECT 1 -- FROM logs VERSION AS OF 12",
            "SELECT version AS of FROM logs",
            "SELECT \"x VERSION AS OF 1\" FROM logs AS version",
            "SELECT a FROM logs VERSION AS OF '12'",
            "SELECT 'unfinished",
            "",
        ] {
            check(same, same);
        }
    }

    #[test]
    fn names_say_which_version() {
        assert_eq!(as_of("logs"), Ok(None));
        assert_eq!(as_of("logs VERSION AS OF 12"), Ok(Some(("logs", AsOf::Version(12)))));
        let at = Ok(Some(("logs", AsOf::Moment(Micros(86_400_000_000)))));
        for time in ["1970-01-02", "1970-01-02 00:00:00", "1970-01-02T01:00:00+01:00"] {
            assert_eq!(as_of(&format!("logs TIMESTAMP AS OF {time}")), at, "{time}");
        }
        assert!(as_of("logs VERSION AS OF 1.5").is_err() && as_of("logs TIMESTAMP AS OF yesterday").is_err());
        assert_eq!(bare("logs TIMESTAMP AS OF 1970-01-02"), "logs");
    }
}
