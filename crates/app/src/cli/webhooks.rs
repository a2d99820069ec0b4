//! The flags of `freshet webhooks`.

use clap::{Args, Subcommand, ValueEnum};

/// Verbs of `webhooks`.
#[derive(Debug, Subcommand)]
pub(crate) enum WebhooksVerb {
    /// Subscribe to apps; a subscription that is there already is brought up to date
    ///
    /// Deliveries are signed with the configuration's `webhook_secret`, which `freshet run` checks them by. The token needs the scope
    /// write-protected.
    Add(AddWebhooksArgs),
    /// Show the subscriptions and how their deliveries go
    List {
        /// The apps; without any, all that the configuration names
        #[arg(value_name = "APP")]
        apps: Vec<String>,
    },
    /// End the subscriptions that deliver here; others stay
    Remove(WebhookTarget),
}

/// Flags of `webhooks add`.
#[derive(Args, Debug)]
pub(crate) struct AddWebhooksArgs {
    /// Which apps, and where they deliver.
    #[command(flatten)]
    pub(crate) target: WebhookTarget,
    /// What to be told of: api:app, api:release, api:build, api:dyno, …
    #[arg(long, value_name = "ENTITY", value_delimiter = ',', default_values = ["api:app", "api:addon", "api:addon-attachment", "api:build",
        "api:collaborator", "api:domain", "api:dyno", "api:formation", "api:release", "api:sni-endpoint"])]
    pub(crate) include: Vec<String>,
    /// How hard Heroku tries
    #[arg(long, value_name = "LEVEL", default_value = "sync")]
    pub(crate) level: Level,
}

/// Which apps, and where they deliver.
#[derive(Args, Debug)]
pub(crate) struct WebhookTarget {
    /// The apps
    #[arg(value_name = "APP", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) apps: Vec<String>,
    /// Every app that the configuration names, or that the token can see where it names none
    #[arg(long)]
    pub(crate) all: bool,
    /// Where Heroku delivers; {app} stands for the app's name. Without it, the configuration's `public_url` and /webhooks/{app}
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Show what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// How hard Heroku tries to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// Once
    Notify,
    /// In order, until it is answered, for days
    Sync,
}

impl Level {
    /// As the API has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Notify => "notify",
            Self::Sync => "sync",
        }
    }
}
