//! Flags of `drains`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Verbs of `drains`.
#[derive(Debug, Subcommand)]
pub(crate) enum DrainsVerb {
    /// Show every app's log drains, which are ours, and whether they are right
    List(DrainsLookArgs),
    /// Make a drain to this Freshet for each app that has none
    ///
    /// Doing it again changes nothing. Before anything is made, an empty frame is sent to the public address, to see whether the
    /// Freshet there takes the secret: Logplex drops what is answered with 401.
    Add {
        /// Which apps, and where to.
        #[command(flatten)]
        what: DrainsChangeArgs,
        /// Make the drain secret, where none is configured, and write it to this file; one that is there is used
        #[arg(long, value_name = "FILE")]
        write_secret: Option<PathBuf>,
        /// Do not try the secret at the public address first
        #[arg(long)]
        unprobed: bool,
    },
    /// Compare the drains that there should be with those that there are, and see when each last delivered
    ///
    /// The exit code is 0 when all is well, 3 when some apps have a problem, and 1 when all have.
    Verify {
        /// Which apps, and where to.
        #[command(flatten)]
        what: DrainsLookArgs,
        /// A drain that has delivered nothing for so long counts as dead; 0s asks nothing of the lake
        #[arg(long, value_name = "TIME", default_value = "1d")]
        silent_after: String,
    },
    /// Move drains to the present secret: the new one is added, then the old one is removed
    ///
    /// First set the new secret as drain_secret and the old one as drain_secret_old, and restart `freshet run`: it takes both.
    /// Then rotate, and in the end take drain_secret_old away. Heroku cannot change a drain in place. While an app has both
    /// drains each line comes twice, under two drain tokens; with --remove-first the lines of a moment are lost instead.
    Rotate {
        /// Which apps, and where to.
        #[command(flatten)]
        what: DrainsChangeArgs,
        /// How long an app has both drains, so that the new one is in force and the old one is empty
        #[arg(long, value_name = "TIME", default_value = "5s")]
        overlap: String,
        /// Remove the old drain before the new one is made: no line twice, but those in between are lost
        #[arg(long, conflicts_with = "overlap")]
        remove_first: bool,
        /// Do not try the secret at the public address first
        #[arg(long)]
        unprobed: bool,
    },
    /// Remove the drains to this Freshet
    Remove {
        /// Which apps, and where to.
        #[command(flatten)]
        what: DrainsChangeArgs,
    },
}

/// Flags of what only looks.
#[derive(Args, Debug)]
pub(crate) struct DrainsLookArgs {
    /// The apps, by name or by a pattern such as shop-*. Default: the configuration's, else all that the token can see
    #[arg(value_name = "APP")]
    pub(crate) apps: Vec<String>,
    /// The address by which Heroku reaches this Freshet, instead of the configuration's `public_url`
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

/// Flags of what changes something.
#[derive(Args, Debug)]
pub(crate) struct DrainsChangeArgs {
    /// The apps, by name or by a pattern such as shop-*
    #[arg(value_name = "APP", required_unless_present = "all")]
    pub(crate) apps: Vec<String>,
    /// All apps: the configuration's, else all that the token can see
    #[arg(long, conflicts_with = "apps")]
    pub(crate) all: bool,
    /// The address by which Heroku reaches this Freshet, instead of the configuration's `public_url`
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Show what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}
