//! The text of a first configuration.

use std::path::PathBuf;

use toml_edit::{Array, Value};

/// What is known of the installation; the rest keeps its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answers {
    /// Names and patterns of apps; empty for all.
    pub(super) apps: Vec<String>,
    /// Where the tables lie.
    pub(super) lake: Option<String>,
    /// Address and port.
    pub(super) listen: Option<String>,
    /// The address from outside.
    pub(super) public_url: Option<String>,
    /// The Platform API, when it is not Heroku's own.
    pub(super) api_url: Option<String>,
    /// Where the drain secret is, when it is not in the environment.
    pub(super) secret_file: Option<PathBuf>,
}

/// The file. What is not known stands there as a comment, so that it can be found.
#[must_use]
pub(super) fn text(answers: &Answers) -> String {
    let apps = (!answers.apps.is_empty()).then(|| Value::Array(answers.apps.iter().map(String::as_str).collect::<Array>()).to_string());
    let secret =
        answers.secret_file.as_ref().map_or_else(|| "env:FRESHET_DRAIN_SECRET".to_owned(), |path| format!("file:{}", path.display()));
    let apps = setting("apps", apps, "[\"shop-*\", \"billing\"]");
    let api_url = setting("api_url", answers.api_url.as_deref().map(quoted), "\"https://api.heroku.com\"");
    let lake = quoted(answers.lake.as_deref().unwrap_or("./lake"));
    let listen = quoted(answers.listen.as_deref().unwrap_or("0.0.0.0:8080"));
    let public_url = setting("public_url", answers.public_url.as_deref().map(quoted), "\"https://logs.example.com\"");
    let secret = quoted(&secret);
    format!(
        "# Freshet's configuration. `freshet schema` explains every key, `freshet check` looks for mistakes.\n\
         \n\
         [heroku]\n\
         # A token for the Platform API: \"env:NAME\", \"file:PATH\", or the token itself. Log drains need none.\n\
         token = \"env:HEROKU_API_KEY\"\n\
         # The apps that `freshet check` looks for; `*` stands for any characters. Without this, all that the token can see.\n\
         {apps}\n\
         # Where the Platform API is.\n\
         {api_url}\n\
         \n\
         [destination.lake]\n\
         type = \"delta\"\n\
         # A folder with one Delta table per subfolder.\n\
         url = {lake}\n\
         \n\
         [receive]\n\
         # `$PORT`, where set, replaces the port.\n\
         listen = {listen}\n\
         # The address by which Heroku reaches the listener; `freshet check` tries it.\n\
         {public_url}\n\
         # The password in the drains' URL; letters, digits, `-`, `_`, `.` and `~` only.\n\
         drain_secret = {secret}\n\
         # With both, Freshet speaks HTTPS itself; without, a TLS front has to stand before it.\n\
         # tls_certificate = \"/etc/freshet/fullchain.pem\"\n\
         # tls_key = \"/etc/freshet/key.pem\"\n\
         \n\
         [spool]\n\
         # What may wait on this machine's disk while the lake is away. When it is full, Logplex has to wait.\n\
         # max_bytes = \"1GiB\"\n\
         \n\
         [load]\n\
         # Longest that a message waits before it is committed to its tables.\n\
         # max_age = \"30s\"\n"
    )
}

/// `name = value`, or as a comment with an example.
fn setting(name: &str, value: Option<String>, example: &str) -> String {
    value.map_or_else(|| format!("# {name} = {example}"), |value| format!("{name} = {value}"))
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::examine_text;

    #[test]
    fn what_is_written_can_be_read() {
        let all = Answers {
            apps: vec!["shop-*".into(), "billing".into()],
            lake: Some("/data/\"odd\" \\ läke".into()),
            listen: Some("127.0.0.1:9000".into()),
            public_url: Some("https://logs.example.com".into()),
            api_url: Some("http://127.0.0.1:5000".into()),
            secret_file: Some("/run/secret".into()),
        };
        let (settings, problems) = examine_text(&text(&all));
        assert_eq!(problems, [], "{}", text(&all));
        assert_eq!(settings.heroku.apps, all.apps);
        assert_eq!(Some(&settings.lake), all.lake.as_ref());
        assert_eq!(Some(settings.listen.to_string()), all.listen);
        assert_eq!((settings.public_url, Some(settings.heroku.api_url)), (all.public_url, all.api_url));
        assert!(
            text(&Answers { secret_file: Some("/run/secret".into()), ..Answers::default() })
                .contains("drain_secret = \"file:/run/secret\"")
        );

        let (settings, problems) = examine_text(&text(&Answers::default()));
        assert_eq!(problems, []);
        assert_eq!((settings.heroku.apps.len(), settings.lake.as_str(), settings.public_url), (0, "./lake", None));
    }

    #[test]
    fn comments_become_settings_without_their_mark() {
        // Everything that is offered as a comment is a key that exists, with a value that it takes.
        let uncommented: String = text(&Answers::default())
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(setting) if setting.split(' ').nth(1) == Some("=") => format!("{setting}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        assert!(uncommented.contains("\ntls_key ="), "{uncommented}");
        assert_eq!(examine_text(&uncommented).1, [], "{uncommented}");
    }
}
