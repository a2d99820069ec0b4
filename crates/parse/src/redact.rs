//! Secrets in the lines that Heroku itself writes: commands with expanded config vars, release-phase lines with signed URLs.
//!
//! Only the secret is replaced, by [`REDACTED`]. The lines of the app are its own and are left alone, except that the
//! release phase prints to `app` / `release.N` what the platform started, signed URLs included.
//!
//! Where the end of a secret is in doubt (nested quotes), too much is replaced rather than too little.

use std::ops::Range;

use memchr::{memchr, memrchr};

use crate::secrets;
use crate::words::split_word;

/// What stands in place of a secret.
pub const REDACTED: &[u8] = b"[redacted]";

/// The line with its secrets replaced; `None` when it has none, or is not a line in which to look for them.
#[must_use]
pub fn redact(source: &[u8], dyno: &[u8], text: &[u8]) -> Option<Vec<u8>> {
    until_stable(text, |text, found| match Reach::of(source, dyno, text) {
        Reach::Nothing => {}
        Reach::Urls => secrets::in_urls(text, found),
        Reach::Shapes => {
            secrets::in_urls(text, found);
            secrets::with_known_shape(text, found);
        }
        Reach::Command(command) => {
            in_command(&text[command.clone()], found);
            for range in found {
                *range = range.start + command.start..range.end + command.start;
            }
        }
    })
}

/// A command with its secrets replaced; `None` when it has none.
pub fn redact_command(command: &[u8]) -> Option<Vec<u8>> {
    until_stable(command, in_command)
}

/// Replaces what `find` finds until it finds no more: a replaced word is shorter or longer, so that its neighbours may look
/// different the second time. What is redacted once must not change when it is redacted again.
fn until_stable(text: &[u8], find: impl Fn(&[u8], &mut Vec<Range<usize>>)) -> Option<Vec<u8>> {
    let once = |text: &[u8]| {
        let mut found = Vec::new();
        find(text, &mut found);
        replace(text, found)
    };
    let mut redacted = once(text)?;
    for _ in 1..PASSES_MAX {
        match once(&redacted) {
            Some(again) => redacted = again,
            None => break,
        }
    }
    Some(redacted)
}

/// Where the command is in `Starting process with command …`: from the first backquote to the last, or to the end when
/// the command goes on in another message.
pub(crate) fn command_range(text: &[u8]) -> Option<Range<usize>> {
    let before = STARTING.len();
    let rest = text.strip_prefix(STARTING)?;
    let Some(open) = memchr(b'`', rest) else {
        let command = rest.strip_prefix(b":").unwrap_or(rest).trim_ascii_start();
        return Some(text.len() - command.len()..text.len());
    };
    let close = memrchr(b'`', rest).filter(|close| *close > open).unwrap_or(rest.len());
    Some(before + open + 1..before + close)
}

/// How often a line is looked at; the second look is nearly always the last.
const PASSES_MAX: usize = 8;

const STARTING: &[u8] = b"Starting process with command";

/// The first words of the platform's own sentences, which hold no command. A line that begins otherwise may be the rest of
/// a command of several lines.
const FIRST_WORDS: [&[u8]; 33] = [
    b"Add",
    b"Attach",
    b"Awaiting",
    b"Build",
    b"Client",
    b"Create",
    b"Cycling",
    b"Deploy",
    b"Destroy",
    b"Detach",
    b"Disable",
    b"Enable",
    b"Error",
    b"Idling",
    b"Initial",
    b"L10",
    b"L11",
    b"Process",
    b"Promote",
    b"Release",
    b"Remove",
    b"Restarting",
    b"Rollback",
    b"Running",
    b"Scale",
    b"Scaled",
    b"Set",
    b"Slug",
    b"Stack",
    b"State",
    b"Stopping",
    b"Unidling",
    b"Update",
];

/// Which secrets are looked for in a line.
enum Reach {
    Nothing,
    /// In URLs alone.
    Urls,
    /// In URLs, and tokens known by their shape.
    Shapes,
    /// Everything, in this part of the line.
    Command(Range<usize>),
}

impl Reach {
    fn of(source: &[u8], dyno: &[u8], text: &[u8]) -> Self {
        let from_platform = source.starts_with(b"heroku") || dyno == b"api";
        if !from_platform {
            return if source == b"app" && dyno.starts_with(b"release.") { Self::Urls } else { Self::Nothing };
        }
        // The router's lines are the customer's requests, and most of the traffic; metrics are numbers.
        if dyno == b"router" || source == b"heroku-router" || text.starts_with(b"source=") {
            return Self::Nothing;
        }
        if let Some(command) = command_range(text) {
            return Self::Command(command);
        }
        let (word, _) = split_word(text);
        if word.starts_with(b"Upgrade") || FIRST_WORDS.contains(&word) { Self::Shapes } else { Self::Command(0..text.len()) }
    }
}

fn in_command(command: &[u8], found: &mut Vec<Range<usize>>) {
    secrets::in_urls(command, found);
    secrets::with_known_shape(command, found);
    secrets::named(command, found);
    secrets::long_and_random(command, found);
}

/// Puts [`REDACTED`] in place of each run of ranges that overlap or touch.
fn replace(text: &[u8], mut secrets: Vec<Range<usize>>) -> Option<Vec<u8>> {
    secrets.retain(|range| !range.is_empty() && !text[range.clone()].starts_with(REDACTED));
    secrets.sort_unstable_by_key(|range| range.start);
    let mut copied = 0;
    let mut redacted = Vec::new();
    let mut rest = secrets.into_iter().peekable();
    while let Some(mut secret) = rest.next() {
        while let Some(next) = rest.next_if(|next| next.start <= secret.end) {
            secret.end = secret.end.max(next.end);
        }
        redacted.extend_from_slice(&text[copied..secret.start]);
        redacted.extend_from_slice(REDACTED);
        copied = secret.end;
    }
    if copied == 0 {
        return None;
    }
    redacted.extend_from_slice(&text[copied..]);
    Some(redacted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redacted(source: &str, dyno: &str, text: &str) -> String {
        let found = redact(source.as_bytes(), dyno.as_bytes(), text.as_bytes());
        found.map_or_else(|| text.to_owned(), |bytes| String::from_utf8(bytes).unwrap())
    }

    /// `~` stands for the mark of a secret.
    fn check_command(command: &str, expected: &str) {
        let line = |command: &str| format!("Starting process with command `{command}`");
        assert_eq!(redacted("heroku", "web.1", &line(command)), line(&expected.replace('~', "[redacted]")), "{command}");
    }

    #[test]
    fn variables() {
        check_command("DATABASE_URL=postgres://u:p@h/db bundle exec rails s", "DATABASE_URL=~ bundle exec rails s");
        check_command("RAILS_ENV=production PORT=3000 WEB_CONCURRENCY=2 puma", "RAILS_ENV=production PORT=3000 WEB_CONCURRENCY=2 puma");
        check_command("A='x y' B=\"x y\" C=x\\ y D=~ run", "A=~ B=~ C=~ D=~ run");
        check_command("sh -c 'A=x run; B=y'", "sh -c 'A=~ run; B=~'");
        check_command("sh -c \"A=x\" next", "sh -c \"A=~\" next");
        check_command(r#"sh -c 'A='"'"'x y'"'"' run'"#, "sh -c 'A=~ run'");
        check_command("A=x'y z'w run", "A=~ run");
        check_command("A= run", "A= run");
        check_command("export KEY=a;run", "export KEY=~");
        check_command("rake x=1 y=2", "rake x=1 y=2");
    }

    #[test]
    fn options_and_headers() {
        check_command("x --password hunter2 --user me", "x --password ~ --user me");
        check_command(
            "x --token=abc -Dspring.datasource.password=p --secret-key-base=k",
            "x --token=~ -Dspring.datasource.password=~ --secret-key-base=~",
        );
        check_command("x --token --other", "x --token --other");
        check_command("x -p 22020 --auth-token 'a b' y", "x -p 22020 --auth-token ~ y");
        check_command("curl -H \"Authorization: Bearer abc\" https://h", "curl -H \"Authorization: ~\" https://h");
        check_command("curl -H 'X-Api-Key: abc def' h", "curl -H 'X-Api-Key: ~' h");
        check_command("curl Bearer abcdefgh x", "curl Bearer ~ x");
        check_command("take Basic plan", "take Basic plan");
        // Long enough for a token only once its value is replaced.
        check_command("curl Bearer A=?sig= x", "curl Bearer ~ x");
        check_command(r#"x '{"password":"p q"}' y"#, r#"x '{"password":~' y"#);
        check_command("rake auth:reset token:refresh author=me", "rake auth:reset token:refresh author=me");
    }

    #[test]
    fn urls() {
        check_command("x postgres://user:p@ss/w0rd@host:5432/db y", "x postgres://user:~@host:5432/db y");
        check_command("x redis://:secret@host:6379 https://h.example:443/a@b", "x redis://:~@host:6379 https://h.example:443/a@b");
        check_command("x https://0123456789abcdef0123@sentry.example/1", "x https://~@sentry.example/1");
        check_command("x https://me@git.example/a.git", "x https://me@git.example/a.git");
        check_command("x https://h/p?a=1&X-Amz-Signature=ff y", "x https://h/p?~ y");
        check_command("x 'https://h/p?sig=ff#f'", "x 'https://h/p?~'");
        check_command("x https://h/p?a=1&b=2", "x https://h/p?a=1&b=2");
        check_command("x h/p?token=abc", "x h/p?token=~");
    }

    #[test]
    fn tokens_by_their_looks() {
        check_command("x HRKU-01234567-89ab-cdef y", "x ~ y");
        check_command("x sk_live_0123456789abcdef,ghp_0123456789abcdefABCD", "x ~,~");
        check_command("x AKIAIOSFODNN7EXAMPLE xoxb-123456789012-abc", "x ~ ~");
        check_command("x eyJhbGciOi.eyJzdWIiOiIx.c2lnbmF0dXJl y", "x ~ y");
        check_command("x 0123456789abcdef0123456789abcdef y", "x ~ y");
        check_command("x wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1+0 y", "x ~ y");
        check_command("x 4b0adc25-f648-c9c5-0b09-537cc99a4b84 y", "x 4b0adc25-f648-c9c5-0b09-537cc99a4b84 y");
        check_command(
            "java -cp target/classes:target/dependency/* org.example.deeply.nested.HelloWorldApplication2",
            "java -cp target/classes:target/dependency/* org.example.deeply.nested.HelloWorldApplication2",
        );
    }

    #[test]
    fn who_says_it_decides_how_far_to_look() {
        let check = |source: &str, dyno: &str, text: &str, expected: &str| {
            assert_eq!(redacted(source, dyno, text), expected.replace('~', "[redacted]"), "{source} {dyno} {text}");
        };
        let all = "A=1 https://u:p@h/?sig=f ghp_0123456789abcdefABCD";
        check("app", "web.1", all, all);
        check("app", "release.9", all, "A=1 https://u:~@h/?~ ghp_0123456789abcdefABCD");
        check("heroku", "router", all, all);
        check("heroku", "release.9", all, "A=~ https://u:~@h/?~ ~");
        check("app", "api", all, "A=~ https://u:~@h/?~ ~");
        check("heroku", "web.1", "source=web.1 dyno=heroku.1.2 sample#a=1", "source=web.1 dyno=heroku.1.2 sample#a=1");
        let release = "Deploy 0123456789abcdef0123456789abcdef01234567 by user ann@example.com";
        check("app", "api", release, release);
        let failed = "Build failed -- check your build output: https://dashboard.heroku.com/apps/85ff57a3-3ac1-4bea-b9af-39de1c96f208";
        check("app", "api", failed, failed);
        check("app", "api", "Starting process with command `A=1 run` by user B=2", "Starting process with command `A=~ run` by user B=2");
        check("app", "api", "export A=1", "export A=~");
        check("heroku-runtime", "web-1234abcde-123ab", "Starting process with command `A=1`", "Starting process with command `A=~`");
        check(
            "heroku",
            "logplex",
            "Error L10 (output buffer overflow): 1 messages dropped",
            "Error L10 (output buffer overflow): 1 messages dropped",
        );
    }

    #[test]
    fn commands_without_an_end() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(command_range(text.as_bytes()).map(|range| &text[range]), expected, "{text}");
        };
        check("Starting process with command `a`", Some("a"));
        check("Starting process with command: `a", Some("a"));
        check("Starting process with command a", Some("a"));
        check("Starting process with command", Some(""));
        check("Starting process with command `", Some(""));
        check("Starting process", None);
    }

    /// Words that the rules look for, and bytes that end them.
    fn command() -> impl Strategy<Value = Vec<u8>> {
        let words = prop::sample::select(vec![
            "A=",
            "--token ",
            "--password=",
            "Authorization: ",
            "Bearer ",
            "https://",
            "user:",
            "@host/",
            "?sig=",
            "&b=",
            "\"",
            "'",
            "'\"'\"'",
            "\\\"",
            "\\",
            " ",
            "x",
            "\"password\":",
            "[redacted]",
            "ghp_0123456789abcdef",
            "0123456789abcdef0123456789abcdef",
            "`",
            ";",
            "\n",
            ":",
            "é",
            "#",
        ]);
        prop::collection::vec(words, 0..12).prop_map(|words| words.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn twice_is_once(command in command()) {
            for (source, dyno) in [("heroku", "web.1"), ("app", "release.1"), ("app", "api")] {
                if let Some(once) = redact(source.as_bytes(), dyno.as_bytes(), &command) {
                    let twice = redact(source.as_bytes(), dyno.as_bytes(), &once);
                    prop_assert_eq!(twice.as_deref().map(String::from_utf8_lossy), None, "{}", String::from_utf8_lossy(&once));
                }
            }
        }

        #[test]
        fn planted_secrets_never_survive(before in command(), after in command(), plant in 0..6_usize) {
            let secret = "hunter2";
            let planted = [
                format!(" TOKEN={secret} "), format!(" --password {secret} "), format!(" postgres://u:{secret}@h/ "), format!(" https://h/?sig={secret} "),
                format!(" -Ddb.password={secret} "), format!(" Bearer {secret}{secret} "),
            ];
            let text = [&before, planted[plant].as_bytes(), &after].concat();
            let redacted = redact(b"heroku", b"run.1", &text);
            prop_assert!(redacted.is_some_and(|text| memchr::memmem::find(&text, secret.as_bytes()).is_none()));
        }

        #[test]
        fn any_bytes(text in prop::collection::vec(any::<u8>(), 0..200)) {
            for (source, dyno) in [("heroku", "web.1"), ("app", "release.1")] {
                let redacted = redact(source.as_bytes(), dyno.as_bytes(), &text);
                prop_assert_ne!(redacted, Some(text.clone()));
            }
        }
    }
}
