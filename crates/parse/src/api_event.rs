//! Lines of the process `api`: `Release v5 created by user a@example.com`, `Scaled to web@3:Standard-1X by user …`.

use memchr::{memchr, memmem};

use crate::line::{ApiAction, ApiEvent};
use crate::number::leading_integer;
use crate::words::{filled, rsplit_once, split_once, split_word};

/// How many names, and how many process types, a line gives at most.
pub const API_NAMES_MAX: usize = 512;

/// How a sentence begins, and what was then done.
const BEGINNINGS: [(&[u8], ApiAction); 23] = [
    (b"Release v", ApiAction::Release),
    (b"Initial release", ApiAction::Release),
    (b"Deploy ", ApiAction::Deploy),
    (b"Build started", ApiAction::BuildStarted),
    (b"Build succeeded", ApiAction::BuildSucceeded),
    (b"Build failed", ApiAction::BuildFailed),
    (b"Scaled to ", ApiAction::Scale),
    (b"Scale to ", ApiAction::Scale),
    (b"Set ", ApiAction::ConfigSet),
    (b"Add ", ApiAction::ConfigSet),
    (b"Remove ", ApiAction::ConfigRemoved),
    (b"Unset ", ApiAction::ConfigRemoved),
    (b"Attach ", ApiAction::Attach),
    (b"Detach ", ApiAction::Detach),
    (b"Rollback to ", ApiAction::Rollback),
    (b"Rolled back to ", ApiAction::Rollback),
    (b"Running release ", ApiAction::Run),
    (b"Starting process with command", ApiAction::Run),
    (b"Stack changed from ", ApiAction::StackChanged),
    (b"Upgrade stack to ", ApiAction::StackChanged),
    (b"Update ", ApiAction::Other),
    (b"Promote ", ApiAction::Other),
    (b"Enable ", ApiAction::Other),
];

/// Reads a line of the API; any text that is not blank is one.
pub(crate) fn read(text: &[u8]) -> Option<ApiEvent<'_>> {
    let text = filled(text.trim_ascii())?;
    let (sentence, actor) = split_actor(text);
    let (action, rest) = BEGINNINGS
        .iter()
        .find_map(|(beginning, action)| Some((*action, sentence.strip_prefix(*beginning)?)))
        .unwrap_or((ApiAction::Other, b""));
    let mut event = ApiEvent { action, actor, release_version: None, commit: None, names: Vec::new(), formation: Vec::new() };
    match action {
        ApiAction::Release => event.release_version = leading_integer(rest),
        ApiAction::Deploy => event.commit = filled(split_word(rest).0),
        ApiAction::Rollback => event.release_version = version(rest),
        ApiAction::Run if sentence.starts_with(b"Running release ") => event.release_version = version(rest),
        ApiAction::Scale => event.formation = formation(rest),
        ApiAction::ConfigSet | ApiAction::ConfigRemoved => match split_once(rest, b" config") {
            Some((names, _)) => event.names = list(names),
            // Add-ons and domains are added and removed too.
            None => {
                event.action = ApiAction::Other;
                event.names = attachment(rest);
            }
        },
        ApiAction::Attach | ApiAction::Detach => event.names = attachment(rest),
        ApiAction::Other => event.names = filled(rest).filter(|rest| !rest.contains(&b' ')).into_iter().collect(),
        _ => {}
    }
    Some(event)
}

/// The sentence, and who it says did it. Lines from before 2015 lack the word `user`; in them only a last single word is
/// taken for a person.
fn split_actor(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    if let Some((sentence, actor)) = rsplit_once(text, b" by user ") {
        return (sentence, filled(actor.trim_ascii()));
    }
    match rsplit_once(text, b" by ") {
        Some((sentence, actor)) if !actor.is_empty() && !actor.iter().any(|byte| byte.is_ascii_whitespace() || *byte == b'`') => {
            (sentence, Some(actor))
        }
        _ => (text, None),
    }
}

/// The N of a leading `vN`.
fn version(text: &[u8]) -> Option<i32> {
    leading_integer(text.strip_prefix(b"v")?)
}

/// `A, B and C`.
fn list(names: &[u8]) -> Vec<&[u8]> {
    let words = names.split(|byte| *byte == b',' || byte.is_ascii_whitespace());
    words.filter(|word| !word.is_empty() && *word != b"and").take(API_NAMES_MAX).collect()
}

/// `DATABASE (@ref:postgresql-x)`: the attachment and the add-on. Older lines say `DATABASE resource`.
fn attachment(text: &[u8]) -> Vec<&[u8]> {
    let (name, rest) = split_word(text);
    let add_on = memmem::find(rest, b"@ref:").map(|at| &rest[at + b"@ref:".len()..]);
    let add_on = add_on.map(|name| &name[..memchr(b')', name).unwrap_or(name.len())]);
    filled(name).into_iter().chain(add_on.and_then(filled)).collect()
}

/// `web@3:Performance-L mailer@1:Standard-2X`, and the older `web=1, worker=2`. The size is empty where none is given.
fn formation(text: &[u8]) -> Vec<(&[u8], &[u8], &[u8])> {
    let dynos = text.split(|byte| *byte == b',' || byte.is_ascii_whitespace()).filter_map(|word| {
        let at = memchr::memchr2(b'@', b'=', word)?;
        let (process, rest) = (&word[..at], &word[at + 1..]);
        let (quantity, size) = rest.split_at(memchr(b':', rest).unwrap_or(rest.len()));
        (!process.is_empty() && !quantity.is_empty()).then_some((process, quantity, size.strip_prefix(b":").unwrap_or(size)))
    });
    dynos.take(API_NAMES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: ApiAction, actor: Option<&str>) -> ApiEvent<'_> {
        let actor = actor.map(str::as_bytes);
        ApiEvent { action, actor, release_version: None, commit: None, names: Vec::new(), formation: Vec::new() }
    }

    fn check(text: &str, expected: ApiEvent<'_>) {
        assert_eq!(read(text.as_bytes()), Some(expected), "{text}");
    }

    const ANN: Option<&str> = Some("ann@example.com");

    #[test]
    fn releases_and_builds() {
        let version = |action, version| ApiEvent { release_version: Some(version), ..event(action, ANN) };
        check("Release v5 created by user ann@example.com", version(ApiAction::Release, 5));
        check("Release v5 created by ann@example.com", version(ApiAction::Release, 5));
        check("Release v5 created by user ann@example.com\r", version(ApiAction::Release, 5));
        check("Initial release by user ann@example.com", event(ApiAction::Release, ANN));
        check("Rollback to v41 by user ann@example.com", version(ApiAction::Rollback, 41));
        check("Running release v99 commands by user ann@example.com", version(ApiAction::Run, 99));
        check("Deploy 199002c5 by user ann@example.com", ApiEvent { commit: Some(b"199002c5"), ..event(ApiAction::Deploy, ANN) });
        check("Deploy 0.0.1-SNAPSHOT by ann@example.com", ApiEvent { commit: Some(b"0.0.1-SNAPSHOT"), ..event(ApiAction::Deploy, ANN) });
        check("Build started by user ann@example.com", event(ApiAction::BuildStarted, ANN));
        check("Build succeeded", event(ApiAction::BuildSucceeded, None));
        check("Build failed -- check your build output: https://dashboard.heroku.com/apps/x", event(ApiAction::BuildFailed, None));
        check(
            "Release v5 created by user test user",
            ApiEvent { release_version: Some(5), ..event(ApiAction::Release, Some("test user")) },
        );
        check("Release v99999999999 created by user ann@example.com", event(ApiAction::Release, ANN));
    }

    #[test]
    fn formations() {
        check(
            "Scaled to web@3:Performance-L mailer@1:Standard-2X by user ann@example.com",
            ApiEvent {
                formation: vec![(b"web", b"3", b"Performance-L"), (b"mailer", b"1", b"Standard-2X")],
                ..event(ApiAction::Scale, ANN)
            },
        );
        check(
            "Scaled to web@1:Free by user ann@example.com",
            ApiEvent { formation: vec![(b"web", b"1", b"Free")], ..event(ApiAction::Scale, ANN) },
        );
        check(
            "Scale to web=1, worker=2 by ann@example.com",
            ApiEvent { formation: vec![(b"web", b"1", b""), (b"worker", b"2", b"")], ..event(ApiAction::Scale, ANN) },
        );
        check("Scaled to nothing by user ann@example.com", event(ApiAction::Scale, ANN));
    }

    #[test]
    fn names() {
        let named = |action, names| ApiEvent { names, ..event(action, ANN) };
        check("Set LANG, RACK_ENV config vars by user ann@example.com", named(ApiAction::ConfigSet, vec![b"LANG", b"RACK_ENV"]));
        check("Set A, B and C config vars by ann@example.com", named(ApiAction::ConfigSet, vec![b"A", b"B", b"C"]));
        check("Add A config by ann@example.com", named(ApiAction::ConfigSet, vec![b"A"]));
        check("Remove A config vars by user ann@example.com", named(ApiAction::ConfigRemoved, vec![b"A"]));
        check("Add redistogo:nano by ann@example.com", named(ApiAction::Other, vec![b"redistogo:nano"]));
        check(
            "Attach DATABASE (@ref:postgresql-flexible-35202) by user ann@example.com",
            named(ApiAction::Attach, vec![b"DATABASE", b"postgresql-flexible-35202"]),
        );
        check("Attach HEROKU_POSTGRESQL_JADE resource by ann@example.com", named(ApiAction::Attach, vec![b"HEROKU_POSTGRESQL_JADE"]));
        check("Detach DATABASE (@ref:postgresql-x) by user ann@example.com", named(ApiAction::Detach, vec![b"DATABASE", b"postgresql-x"]));
        check("Update REDIS by user ann@example.com", named(ApiAction::Other, vec![b"REDIS"]));
        check("Update REDIS plan to x by user ann@example.com", event(ApiAction::Other, ANN));
        check("Enable Logplex by user ann@example.com", named(ApiAction::Other, vec![b"Logplex"]));
    }

    #[test]
    fn the_rest() {
        check("Stack changed from heroku-22 to heroku-20 by user ann@example.com", event(ApiAction::StackChanged, ANN));
        check("Upgrade stack to heroku-20 by user ann@example.com", event(ApiAction::StackChanged, ANN));
        check("Starting process with command `php src/test.php` by user ann@example.com", event(ApiAction::Run, ANN));
        check("Starting process with command `sleep by night`", event(ApiAction::Run, None));
        check("python manage.py db upgrade", event(ApiAction::Other, None));
        check("fi'` by user ann@example.com", event(ApiAction::Other, ANN));
        check("Stopped by request of someone", event(ApiAction::Other, None));
        assert_eq!(read(b" \r\n"), None);
        assert_eq!(read(b""), None);
    }
}
