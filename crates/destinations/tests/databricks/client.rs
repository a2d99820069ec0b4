//! The client against a server that says exactly what a test wants, on a time that passes only by waiting.

mod catalog;
mod files;
mod login;
mod server;
mod statements;
mod time;

use std::sync::Arc;
use std::time::Duration;

use freshet_core::Secret;
use freshet_destinations::databricks::login::Login;
use freshet_destinations::databricks::{Workspace, WorkspaceError, WorkspaceOptions};

use server::Server;
use time::JumpingTimer;

/// Long enough, and nowhere else in any answer.
const TOKEN: &str = "dapi-5ecr3t-token";

/// A workspace on a time that passes only by its own waits.
struct Bench {
    workspace: Workspace,
    timer: Arc<JumpingTimer>,
}

impl Bench {
    fn new(server: &Server, adjust: impl FnOnce(&mut WorkspaceOptions)) -> Self {
        let timer = Arc::new(JumpingTimer::default());
        let mut options = WorkspaceOptions {
            seed: 7,
            timer: timer.clone(),
            ..WorkspaceOptions::new(&server.url(), Some("wh1".to_owned()), Login::Token(Secret::new(TOKEN.to_owned())))
        };
        adjust(&mut options);
        Self { workspace: Workspace::connect(options).unwrap(), timer }
    }

    fn plain(server: &Server) -> Self {
        Self::new(server, |_| ())
    }

    fn waited(&self) -> Duration {
        self.timer.waits().iter().sum()
    }
}

/// What was said of an error must help, and never show a secret.
fn check_words(error: &WorkspaceError, words: &str) {
    let text = format!("{error}\n{error:?}");
    assert!(text.contains(words), "{words:?} is not in {text}");
    assert!(!text.contains("5ecr3t"), "{text}");
}
