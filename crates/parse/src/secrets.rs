//! How secrets are recognised. Each function adds the ranges of `text` it takes for secrets; ranges may overlap.

use std::ops::Range;

use memchr::{memchr, memchr_iter, memmem, memrchr};

use crate::redact::REDACTED;
use crate::words::split_while;

/// Passwords in `scheme://user:password@host`, and the whole query of a signed URL.
pub(crate) fn in_urls(text: &[u8], found: &mut Vec<Range<usize>>) {
    let mut from = 0;
    for mark in memmem::find_iter(text, b"://") {
        let start = mark + 3;
        if start < from {
            continue;
        }
        let length = text[start..].iter().position(|&byte| is_white_or_quote(byte) || matches!(byte, b'<' | b'>'));
        let end = length.map_or(text.len(), |length| start + length);
        let url = &text[start..end];
        found.extend(password(url).map(|range| range.start + start..range.end + start));
        found.extend(signed_query(url).map(|query| query + start..end));
        from = end;
    }
}

/// Tokens that show what they are: `ghp_…`, `AKIA…`, JSON web tokens, …
pub(crate) fn with_known_shape(text: &[u8], found: &mut Vec<Range<usize>>) {
    for run in runs(text, is_token_byte) {
        let token = &text[run.clone()];
        let known = TOKEN_PREFIXES.iter().any(|prefix| token.starts_with(prefix) && token.len() >= prefix.len() + TOKEN_REST_MIN);
        let is_web_token = token.starts_with(b"eyJ") && token.len() >= 20 && memchr_iter(b'.', token).count() == 2;
        let is_slack = token.len() >= 15 && token.starts_with(b"xox") && token[4] == b'-';
        if known || is_web_token || is_slack {
            found.push(run);
        }
    }
}

/// Values whose names give them away: `SECRET_KEY=x`, `--token x`, `Authorization: Bearer x`, and every upper-case
/// variable that is not known to be harmless.
pub(crate) fn named(command: &[u8], found: &mut Vec<Range<usize>>) {
    let mut at = 0;
    while let Some(offset) = memchr::memchr3(b'=', b':', b' ', &command[at..]) {
        let mark = at + offset;
        at = mark + 1;
        let value = match command[mark] {
            b'=' => value_of_assignment(command, mark),
            b':' => value_of_header(command, mark),
            _ => value_of_option(command, mark),
        };
        match value {
            // What was redacted before may be followed by what was not.
            Some(value) if command[value.start..].starts_with(REDACTED) => at = at.max(value.start + REDACTED.len()),
            Some(value) => {
                at = at.max(value.end);
                found.push(value);
            }
            None => {}
        }
    }
}

/// Long runs of hex digits, or of mixed letters and digits as base64 has them. Those in URLs are ids more often than not.
pub(crate) fn long_and_random(command: &[u8], found: &mut Vec<Range<usize>>) {
    let is_random = |run: &[u8]| {
        let has = |fits: fn(&u8) -> bool, times| run.iter().filter(|byte| fits(byte)).count() >= times;
        let is_hex = run.iter().all(u8::is_ascii_hexdigit) && has(u8::is_ascii_digit, 1) && has(u8::is_ascii_alphabetic, 1);
        is_hex || has(u8::is_ascii_digit, 3) && has(u8::is_ascii_uppercase, 3) && has(u8::is_ascii_lowercase, 3)
    };
    for word in runs(command, |byte| !is_white_or_quote(byte)) {
        let bytes = &command[word.clone()];
        if memmem::find(bytes, b"://").is_none() {
            let long = runs(bytes, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'_' | b'-'));
            let random = long.filter(|run| run.len() >= RANDOM_MIN && is_random(&bytes[run.clone()]));
            found.extend(random.map(|run| run.start + word.start..run.end + word.start));
        }
    }
}

/// The beginnings of tokens that are secret by themselves.
const TOKEN_PREFIXES: [&[u8]; 17] = [
    b"HRKU-",
    b"sk_live_",
    b"sk_test_",
    b"rk_live_",
    b"whsec_",
    b"ghp_",
    b"gho_",
    b"ghu_",
    b"ghs_",
    b"ghr_",
    b"github_pat_",
    b"glpat-",
    b"npm_",
    b"AKIA",
    b"ASIA",
    b"AIza",
    b"SG.",
];

/// How much must follow such a beginning.
const TOKEN_REST_MIN: usize = 12;

/// How long a run must be to be taken for a secret because it looks random.
const RANDOM_MIN: usize = 32;

/// Query parameters that make a URL a secret.
const QUERY_SECRETS: [&[u8]; 14] = [
    b"x-amz-signature",
    b"x-amz-credential",
    b"x-amz-security-token",
    b"x-goog-signature",
    b"x-goog-credential",
    b"awsaccesskeyid",
    b"googleaccessid",
    b"key-pair-id",
    b"signature",
    b"sig",
    b"key",
    b"code",
    b"hmac",
    b"jwt",
];

/// Variables whose values help to understand a line and are no secrets.
const HARMLESS: [&[u8]; 24] = [
    b"APP_ENV",
    b"DYNO",
    b"FLASK_ENV",
    b"HOME",
    b"LANG",
    b"LC_ALL",
    b"LOG_LEVEL",
    b"MALLOC_ARENA_MAX",
    b"MIX_ENV",
    b"NODE_ENV",
    b"PATH",
    b"PORT",
    b"PWD",
    b"PYTHONUNBUFFERED",
    b"QUEUE",
    b"QUEUES",
    b"RACK_ENV",
    b"RAILS_ENV",
    b"RAILS_MAX_THREADS",
    b"TERM",
    b"TZ",
    b"VERBOSE",
    b"VERSION",
    b"WEB_CONCURRENCY",
];

/// Names that hold one of these anywhere are secret.
const SECRET_PARTS: [&[u8]; 13] = [
    b"password",
    b"passwd",
    b"passphrase",
    b"secret",
    b"token",
    b"apikey",
    b"api_key",
    b"api-key",
    b"access_key",
    b"access-key",
    b"private_key",
    b"private-key",
    b"credential",
];

/// Names that have one of these between their dots, dashes and underscores are secret.
const SECRET_WORDS: [&[u8]; 6] = [b"auth", b"authorization", b"cookie", b"pass", b"pwd", b"passwd"];

fn is_secret(name: &[u8]) -> bool {
    let is_word = |word: &[u8]| SECRET_WORDS.iter().any(|secret| word.eq_ignore_ascii_case(secret));
    let has_part = || SECRET_PARTS.iter().any(|secret| name.windows(secret.len()).any(|part| part.eq_ignore_ascii_case(secret)));
    name.split(|byte| matches!(byte, b'.' | b'-' | b'_')).any(is_word) || has_part()
}

fn is_variable(name: &[u8]) -> bool {
    let is_upper = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    name.first().is_some_and(|first| !first.is_ascii_digit()) && name.iter().all(is_upper) && !HARMLESS.contains(&name)
}

/// `NAME=value`; `=` is at `mark`.
fn value_of_assignment(command: &[u8], mark: usize) -> Option<Range<usize>> {
    let name = name_before(command, mark);
    (is_variable(name) || is_secret(name)).then(|| mark + 1..value_end(command, mark + 1))
}

/// `Name: value` in quotes or to the end of the line, and JSON's `"name":"value"`; `:` is at `mark`.
fn value_of_header(command: &[u8], mark: usize) -> Option<Range<usize>> {
    let closing = usize::from(matches!(command[..mark].last(), Some(b'"' | b'\'')));
    let next = command.get(mark + 1)?;
    if !is_secret(name_before(command, mark - closing)) || closing == 0 && *next != b' ' {
        return None;
    }
    let start = mark + 1 + command[mark + 1..].iter().position(|byte| *byte != b' ')?;
    if closing == 1 {
        return Some(start..value_end(command, start));
    }
    let length = command[start..].iter().position(|byte| matches!(byte, b'"' | b'\'' | b'\n')).unwrap_or(command.len() - start);
    let value = command[start..start + length].trim_ascii_end();
    Some(start..start + value.len())
}

/// `--name value` and `Bearer value`; the space is at `mark`.
fn value_of_option(command: &[u8], mark: usize) -> Option<Range<usize>> {
    let name = name_before(command, mark);
    let is_option = name.starts_with(b"-") && is_secret(name);
    let is_scheme = name.eq_ignore_ascii_case(b"bearer") || name.eq_ignore_ascii_case(b"basic");
    if !is_option && !is_scheme {
        return None;
    }
    let start = mark + 1 + command[mark + 1..].iter().position(|byte| *byte != b' ')?;
    let value = start..value_end(command, start);
    (is_option && command[start] != b'-' || is_scheme && value.len() >= 8).then_some(value)
}

fn name_before(command: &[u8], end: usize) -> &[u8] {
    let before = &command[..end];
    let length = before.iter().rev().take_while(|&&byte| is_token_byte(byte)).count();
    &before[before.len() - length..]
}

/// Where the shell word that begins at `start` ends. A quote in it opens when something other than the end of a word
/// follows it; it then reaches to the next of its kind, whichever way it was quoted for the shells around it.
fn value_end(command: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(&byte) = command.get(at) {
        if byte.is_ascii_whitespace() {
            return at;
        }
        let Some(quote) = quote_at(&command[at..]) else {
            at += 1 + usize::from(byte == b'\\' && at + 1 < command.len());
            continue;
        };
        let behind = at + quote.len();
        if at > start && ends_word(&command[behind..]) {
            return at;
        }
        match memmem::find(&command[behind..], quote) {
            Some(length) => at = behind + length + quote.len(),
            None => return command.len(),
        }
    }
    at
}

/// The quote that `text` begins with, as shells nested in shells write it.
fn quote_at(text: &[u8]) -> Option<&[u8]> {
    let quotes: [&[u8]; 6] = [b"'\"'\"'", b"'\\''", b"\\\"", b"\\'", b"\"", b"'"];
    quotes.into_iter().find(|quote| text.starts_with(quote))
}

fn ends_word(rest: &[u8]) -> bool {
    rest.first()
        .is_none_or(|byte| byte.is_ascii_whitespace() || matches!(byte, b';' | b'&' | b'|' | b')' | b'}' | b']' | b',' | b'"' | b'\''))
}

/// The password in a URL without its scheme. One that holds a slash is found too, since config vars are not always encoded.
fn password(url: &[u8]) -> Option<Range<usize>> {
    let authority = split_while(url, |byte| !matches!(byte, b'/' | b'?' | b'#')).0;
    let Some(colon) = memchr(b':', authority) else {
        // A user without a password is a token when it is as long as one.
        let user = memrchr(b'@', authority)?;
        return (user >= 20).then_some(0..user);
    };
    let before_query = &url[..memchr(b'?', url).unwrap_or(url.len())];
    let at = memrchr(b'@', before_query).or_else(|| memrchr(b'@', url))?;
    let is_port = !authority[colon..].contains(&b'@') && authority[colon + 1..].iter().all(u8::is_ascii_digit);
    (at > colon && !is_port).then_some(colon + 1..at)
}

/// Where the query of a URL that must not be passed on begins.
fn signed_query(url: &[u8]) -> Option<usize> {
    let query = memchr::memchr2(b'?', b'#', url)? + 1;
    let is_signed = |parameter: &[u8]| {
        let name = split_while(parameter, |byte| byte != b'=').0;
        name.len() < parameter.len() && (QUERY_SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret)) || is_secret(name))
    };
    url[query..].split(|byte| matches!(byte, b'&' | b';' | b'?' | b'#')).any(is_signed).then_some(query)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

fn is_white_or_quote(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'`')
}

/// The longest runs of bytes that fit.
fn runs(text: &[u8], fits: impl Fn(u8) -> bool) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text[at..].iter().position(|&byte| fits(byte))?;
        at = start + split_while(&text[start..], &fits).0.len();
        Some(start..at)
    })
}
