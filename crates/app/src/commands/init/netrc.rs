//! The token that the Heroku CLI keeps in `~/.netrc`.

use std::path::PathBuf;

use freshet_core::Secret;
use url::Url;

/// The password in `~/.netrc` for the host of `api_url`.
pub(super) fn token(api_url: &str) -> Option<Secret> {
    let host = Url::parse(api_url).ok()?.host_str()?.to_owned();
    let path = PathBuf::from(std::env::var_os("HOME")?).join(".netrc");
    password(&std::fs::read_to_string(path).ok()?, &host)
}

/// The password of `machine`; words may stand on one line or on many.
fn password(netrc: &str, machine: &str) -> Option<Secret> {
    let mut words = netrc.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(str::split_whitespace);
    let mut is_ours = false;
    while let Some(word) = words.next() {
        match word {
            "machine" => is_ours = words.next() == Some(machine),
            "default" => is_ours = false,
            "login" | "account" => drop(words.next()),
            "password" => {
                let value = words.next();
                if is_ours {
                    return value.map(|value| Secret::new(value.to_owned()));
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_of_the_right_machine() {
        fn check(netrc: &str, expected: Option<&str>) {
            assert_eq!(password(netrc, "api.heroku.com").as_ref().map(Secret::reveal), expected, "{netrc}");
        }
        check(
            "machine api.heroku.com\n  login a@b.c\n  password t0k\nmachine git.heroku.com\n  login a@b.c\n  password other\n",
            Some("t0k"),
        );
        check("machine git.heroku.com login x password other machine api.heroku.com login y password t0k", Some("t0k"));
        check("machine git.heroku.com login machine password api.heroku.com\n", None);
        check("# machine api.heroku.com password old\ndefault login x password y\n", None);
        check("machine api.heroku.com password", None);
        check("", None);
    }
}
