//! The token that the Heroku CLI keeps after `heroku login`, in `~/.netrc`.

use std::path::PathBuf;

use freshet_core::Secret;

/// The file: `$NETRC`, else `~/.netrc`.
pub(super) fn path() -> Option<PathBuf> {
    let named = std::env::var_os("NETRC").map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".netrc")))
}

/// The password of `machine` in a netrc's `text`; a machine's own entry counts before the default one.
pub(super) fn password(text: &str, machine: &str) -> Option<Secret> {
    let mut of_default = None;
    let mut current: Option<&str> = None;
    let mut is_default = false;
    let mut words = text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(str::split_whitespace);
    while let Some(word) = words.next() {
        match word {
            "machine" => (current, is_default) = (words.next(), false),
            "default" => (current, is_default) = (None, true),
            "password" => match words.next() {
                Some(password) if current == Some(machine) => return Some(Secret::new(password.to_owned())),
                Some(password) if is_default => of_default = of_default.or_else(|| Some(Secret::new(password.to_owned()))),
                _ => {}
            },
            "login" | "account" => {
                words.next();
            }
            _ => {}
        }
    }
    of_default
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_its_own_password() {
        let text = "machine git.heroku.com\n  login me@example.com\n  password one\nmachine api.heroku.com\n  login password\n  password two\n# machine x password y\n";
        let check = |text: &str, machine: &str, expected: Option<&str>| {
            assert_eq!(
                password(text, machine).as_ref().map(Secret::reveal).map(|secret| secret.to_string()).as_deref(),
                expected,
                "{machine}"
            );
        };
        check(text, "api.heroku.com", Some("two"));
        check(text, "git.heroku.com", Some("one"));
        check(text, "x", None);
        check("default login a password b", "api.heroku.com", Some("b"));
        check("machine api.heroku.com login a password", "api.heroku.com", None);
        check("", "api.heroku.com", None);
    }
}
