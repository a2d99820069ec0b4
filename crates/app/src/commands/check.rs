//! `freshet check`: what is wrong with the configuration, and with the world that it names.

mod databricks;
mod disk;
mod finding;
mod front;
mod heroku;
mod lake;
mod port;
mod report;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use freshet_web::web_address;
use tokio::task::JoinHandle;

use crate::cli::{CheckArgs, Global};
use crate::commands::run::listen_address;
use crate::config::{Examination, Problem, Settings, examine};
use crate::exit::Exit;
use crate::lake::{self as lakes, Address, LakeAddress};
use crate::output::Printer;

use finding::Finding;
use report::Report;

/// Time that one probe may take.
const PROBE_WITHIN: Duration = Duration::from_secs(10);

/// What the probes look at.
struct Subject {
    settings: Settings,
    /// Where `freshet run` would listen.
    listen: SocketAddr,
    /// The address through the front, from the flag or the file.
    public_url: Option<String>,
    data_dir: PathBuf,
    tables: Address,
}

/// Runs the verb.
///
/// # Errors
/// Standard output is gone. What is found wrong is no error of this verb's, it is its result.
pub(crate) async fn run(global: &Global, args: &CheckArgs) -> anyhow::Result<Exit> {
    let Examination { name, settings, mut problems } = examine(global.config.as_deref());
    let subject = subject(global, args, settings, &mut problems);
    let mut report = Report::begin(Printer::new(global), name, &problems)?;
    if let (true, false, Some(subject)) = (problems.is_empty(), args.offline, subject) {
        let subject = Arc::new(subject);
        // All at once: none waits for another, and each has its own time limit. They are told in this order.
        let sections: [(&'static str, JoinHandle<Vec<Finding>>); 4] = [
            ("Heroku", tokio::spawn(heroku::probe(Arc::clone(&subject)))),
            ("Receiving", tokio::spawn(port::probe(Arc::clone(&subject)))),
            ("Data directory", tokio::spawn(disk::probe(Arc::clone(&subject)))),
            match &subject.tables {
                Address::Lake(LakeAddress { catalog: None, .. }) => ("Lake", tokio::spawn(lake::probe(subject))),
                Address::Lake(_) | Address::Databricks(_) => ("Databricks", tokio::spawn(databricks::probe(subject))),
            },
        ];
        for (title, probing) in sections {
            report.waiting_for(title);
            report.section(title, probing.await.unwrap_or_else(|_| vec![broken()]))?;
        }
    }
    report.end(args.offline)
}

/// What there is to look at; flags and variables that are wrong join the problems of the file.
fn subject(global: &Global, args: &CheckArgs, settings: Settings, problems: &mut Vec<Problem>) -> Option<Subject> {
    let mut problem = |message: String| problems.push(Problem { place: None, message });
    let tables = lakes::address(global, &settings).map_err(|error| problem(error.to_string())).ok();
    let public_url = match args.url.as_deref().map(web_address) {
        Some(Ok(url)) => Some(url),
        Some(Err(why)) => {
            problem(format!("--url {why}"));
            None
        }
        None => settings.public_url.clone(),
    };
    match listen_address(&settings, args.listen.as_deref()) {
        Ok(listen) => Some(Subject { settings, listen, public_url, data_dir: global.data_dir.clone(), tables: tables? }),
        Err(error) => {
            problem(error.to_string());
            None
        }
    }
}

/// What `probe` finds, or that it takes too long.
async fn bounded(name: &'static str, probe: impl Future<Output = Finding>) -> Finding {
    tokio::time::timeout(PROBE_WITHIN, probe).await.unwrap_or_else(|_| slow(name))
}

/// As [`bounded`], for work that blocks its thread.
async fn bounded_blocking(name: &'static str, probe: impl FnOnce() -> Vec<Finding> + Send + 'static) -> Vec<Finding> {
    match tokio::time::timeout(PROBE_WITHIN, tokio::task::spawn_blocking(probe)).await {
        Ok(Ok(findings)) => findings,
        Ok(Err(_)) => vec![broken()],
        Err(_) => vec![slow(name)],
    }
}

fn slow(name: &'static str) -> Finding {
    let found = format!("no result within {} s", PROBE_WITHIN.as_secs());
    Finding::failed(name, found, "find out what keeps it waiting: a disk or a network that hangs")
}

fn broken() -> Finding {
    Finding::failed("probe", "it broke off; this is a bug of Freshet", "please report it")
}
