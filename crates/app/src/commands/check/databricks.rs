//! Databricks: who we are there, whether the warehouse is, and whether we may do in the schema what loads do. No statement is run, so no
//! warehouse wakes and nothing is to be paid for.

use std::sync::Arc;
use std::time::Duration;

use freshet_destinations::databricks::{
    Grant, Managed, ManagedOptions, Securable, TableName, Warehouse, WarehouseState, Workspace, WorkspaceError, WorkspaceLimits, Zerobus,
    ZerobusOptions,
};

use super::finding::Finding;
use super::{Subject, bounded, lake};
use crate::config::{DatabricksMode, DatabricksSettings, format_duration};
use crate::exit::Exit;
use crate::lake::LOAD_AGE_BY_WAREHOUSE;
use crate::web;

/// What loads do in a schema that is there already.
const IN_SCHEMA: [&str; 4] = ["USE SCHEMA", "CREATE TABLE", "SELECT", "MODIFY"];

/// What loads do in one whose tables lie in somebody's own bucket.
const EXTERNALLY: [&str; 5] = ["USE SCHEMA", "CREATE TABLE", "SELECT", "MODIFY", "EXTERNAL USE SCHEMA"];

/// What is put into the volume and taken away again.
const PROBE_FILE: &str = "check/probe";

/// The table for which Zerobus is asked.
const PROBED: &str = "logs";

/// What is looked at.
struct Place<'a> {
    workspace: Workspace,
    /// Who we are.
    principal: String,
    catalog: &'a str,
    schema: &'a str,
    volume: &'a str,
}

/// The probes of this section.
pub(super) async fn probe(subject: Arc<Subject>) -> Vec<Finding> {
    let Some(settings) = &subject.settings.databricks else { return Vec::new() };
    let (workspace, way) = match workspace(settings) {
        Ok(found) => found,
        Err(error) => {
            let fix = "put it right under [destination] or in the environment; docs/databricks.md has all ways to log in";
            return vec![Finding::failed_with(Exit::BadConfig, "login", error.to_string(), fix)];
        }
    };
    let principal = match tokio::time::timeout(super::PROBE_WITHIN, workspace.who()).await {
        Ok(Ok(principal)) => principal,
        Ok(Err(error)) => return vec![of_error("login", &error)],
        Err(_) => return vec![super::slow("login")],
    };
    let login = Finding::good("login", format!("{principal} at {}, by {way}", workspace.host()));
    let place = Place { workspace, principal, catalog: &settings.catalog, schema: &settings.schema, volume: &settings.volume };
    let is_managed = settings.mode.is_managed();
    // By Zerobus lines come without it.
    let load_every = (settings.mode == DatabricksMode::Managed).then(|| subject.settings.load_age_max.unwrap_or(LOAD_AGE_BY_WAREHOUSE));
    let (warehouse, schema, volume) = tokio::join!(
        bounded("warehouse", place.warehouse(is_managed, load_every)),
        bounded("schema", place.schema(is_managed)),
        bounded("volume", place.volume(is_managed)),
    );
    let mut findings = vec![login, warehouse, schema];
    if is_managed {
        findings.push(volume);
    } else {
        findings.extend(lake::probe(Arc::clone(&subject)).await);
    }
    if let DatabricksMode::Zerobus(options) = &settings.mode {
        findings.push(bounded("zerobus", place.zerobus(options)).await);
    }
    findings
}

/// The workspace, asked as a person wants to wait, and the way to log in there.
fn workspace(settings: &DatabricksSettings) -> anyhow::Result<(Workspace, &'static str)> {
    let mut options = settings.options()?;
    let way = options.login.name();
    options.limits = WorkspaceLimits {
        web: web::limits(),
        upload_within: web::limits().request_within,
        tries_max: 2,
        patience: Duration::from_secs(2),
        ..WorkspaceLimits::default()
    };
    Ok((Workspace::connect(options)?, way))
}

impl Place<'_> {
    /// Whether statements can be run, and what that costs when they come every `load_every`.
    async fn warehouse(&self, is_needed: bool, load_every: Option<Duration>) -> Finding {
        let warehouse = match self.workspace.warehouse().await {
            Ok(warehouse) => warehouse,
            Err(WorkspaceError::Missing { message, .. }) => {
                return Finding::failed("warehouse", message, "correct `warehouse` under [destination]: its page in Databricks has the id");
            }
            // External tables do without.
            Err(error @ WorkspaceError::Settings(_)) if !is_needed => return Finding::skipped("warehouse", error.to_string()),
            Err(error) => return of_error("warehouse", &error),
        };
        of_warehouse(&warehouse, load_every)
    }

    /// Whether tables can be made and filled.
    async fn schema(&self, is_managed: bool) -> Finding {
        let name = "schema";
        let needed = if is_managed { &IN_SCHEMA[..] } else { &EXTERNALLY };
        let (on_catalog, on_schema) = (self.on_catalog(), self.on_schema());
        match self.workspace.has_catalog(self.catalog).await {
            Ok(true) => {}
            Ok(false) => {
                let found = format!("there is no catalog {}, or we may not see it", self.catalog);
                let fix = format!("correct `catalog`, or let its owner run:  {}", self.grant("USE CATALOG", on_catalog));
                return Finding::failed(name, found, fix);
            }
            Err(error) => return of_error(name, &error),
        }
        match self.workspace.schema(self.catalog, self.schema).await {
            Ok(Some(schema)) if schema.owner.as_deref() == Some(self.principal.as_str()) => {
                Finding::good(name, format!("{}, which is ours", schema.full_name))
            }
            Ok(Some(schema)) => self.rights(name, &schema.full_name, &on_schema, needed, "").await,
            Ok(None) => {
                let needed = ["USE CATALOG", "CREATE SCHEMA"];
                self.rights(name, &format!("{}.{}", self.catalog, self.schema), &on_catalog, &needed, " (made with the first load)").await
            }
            Err(error) => of_error(name, &error),
        }
    }

    /// Whether files can be put where the warehouse reads them.
    async fn volume(&self, is_managed: bool) -> Finding {
        let name = "volume";
        if !is_managed {
            return Finding::skipped(name, "external tables need none");
        }
        let full = format!("{}.{}.{}", self.catalog, self.schema, self.volume);
        match self.workspace.volume(self.catalog, self.schema, self.volume).await {
            Ok(Some(_)) => {}
            Ok(None) => return self.rights(name, &full, &self.on_schema(), &["CREATE VOLUME"], " (made with the first load)").await,
            Err(error) => return of_error(name, &error),
        }
        let file = format!("/Volumes/{}/{}/{}/{PROBE_FILE}", self.catalog, self.schema, self.volume);
        let put = self.workspace.put_file(&file, "freshet check".into()).await;
        let tried = match put {
            Ok(()) => self.workspace.delete_file(&file).await,
            Err(error) => Err(error),
        };
        match tried {
            Ok(()) => Finding::good(name, format!("{full}: put, delete")),
            Err(error) => of_error(name, &error),
        }
    }

    /// Whether Zerobus answers, and gives us a token for a table.
    async fn zerobus(&self, options: &ZerobusOptions) -> Finding {
        let name = "zerobus";
        let managed = Managed::new(self.workspace.clone(), ManagedOptions::new(self.catalog, self.schema));
        let zerobus = match Zerobus::new(managed, options) {
            Ok(zerobus) => zerobus,
            Err(error) => return of_error(name, &error),
        };
        if let Err(error) = zerobus.reach().await {
            return Finding::failed(name, error.to_string(), "correct `zerobus_endpoint` under [destination], and see to the network");
        }
        match self.workspace.table(&TableName::new(self.catalog, self.schema, PROBED)).await {
            Ok(Some(_)) => {}
            Ok(None) => {
                return Finding::good(name, format!("{} answers; whether it takes rows shows when tables are there", options.endpoint));
            }
            Err(error) => return of_error(name, &error),
        }
        match zerobus.log_in(PROBED).await {
            Ok(()) => Finding::good(name, format!("{} answers; a token for {PROBED} is given out", options.endpoint)),
            Err(error) => of_error(name, &error),
        }
    }

    /// Whether we have the rights `needed` on `on`, as far as Databricks tells.
    async fn rights(&self, name: &'static str, what: &str, on: &Securable, needed: &[&str], yet: &str) -> Finding {
        let Ok(had) = self.workspace.privileges(on, &self.principal).await else {
            return Finding::good(name, format!("{what}{yet}; our rights there are not told, so the first load will show them"));
        };
        let missing: Vec<&str> = needed.iter().copied().filter(|privilege| !had.have(privilege)).collect();
        if missing.is_empty() {
            return Finding::good(name, format!("{what}{yet}: {}", needed.join(", ")));
        }
        let grants: Vec<String> = missing.iter().map(|privilege| self.grant(privilege, on.clone())).collect();
        // Rights that come by a group are not always among those that are told.
        Finding::warning(
            name,
            format!("{what}{yet}: not among our own rights: {}", missing.join(", ")),
            format!("unless they come by a group, let its owner run:\n{}", grants.join("\n")),
        )
    }

    fn grant(&self, privilege: &str, on: Securable) -> String {
        Grant::new(privilege, on).statement(Some(&self.principal))
    }

    fn on_catalog(&self) -> Securable {
        Securable::Catalog(self.catalog.to_owned())
    }

    fn on_schema(&self) -> Securable {
        Securable::Schema(format!("{}.{}", self.catalog, self.schema))
    }
}

/// What the state of a warehouse means.
fn of_warehouse(warehouse: &Warehouse, load_every: Option<Duration>) -> Finding {
    let name = "warehouse";
    let called = format!("{} ({})", warehouse.name, warehouse.id);
    let start = if warehouse.is_serverless { "some seconds" } else { "some minutes" };
    let state = match &warehouse.state {
        WarehouseState::Running => "runs".to_owned(),
        WarehouseState::Starting => "starts".to_owned(),
        WarehouseState::Stopped | WarehouseState::Stopping => {
            format!("is stopped and costs nothing; a load starts it, which takes {start}")
        }
        WarehouseState::Deleted => {
            return Finding::failed(name, format!("{called} was deleted"), "name another as `warehouse` under [destination]");
        }
        WarehouseState::Other(state) => format!("is {state:?}, which this version does not know"),
    };
    let Some(load_every) = load_every else { return Finding::good(name, format!("{called} {state}")) };
    let every = format_duration(load_every.as_secs_f64());
    match warehouse.auto_stop_minutes {
        None => Finding::warning(
            name,
            format!("{called} {state}. It never stops by itself, and costs all the time that it runs"),
            "set `Auto stop` on its page in Databricks",
        ),
        Some(minutes) if Duration::from_secs(minutes * 60) >= load_every => Finding::good(
            name,
            format!(
                "{called} {state}. It stops after {minutes} min without statements, and loads come every {every}: while lines come it will not"
            ),
        ),
        Some(minutes) => {
            Finding::good(name, format!("{called} {state}. It stops after {minutes} min without statements; loads come every {every}"))
        }
    }
}

/// What an error means, and what to do.
fn of_error(name: &'static str, error: &WorkspaceError) -> Finding {
    let text = error.to_string();
    // The statements that help stand on lines of their own.
    let (found, grants) = text.split_once('\n').unwrap_or((&text, ""));
    match error {
        WorkspaceError::Settings(_) => Finding::failed_with(Exit::BadConfig, name, text, "put it right under [destination]"),
        WorkspaceError::Login { .. } => Finding::failed_with(Exit::NotPermitted, name, text, "docs/databricks.md has all ways to log in"),
        WorkspaceError::Denied { .. } if grants.is_empty() => {
            Finding::failed_with(Exit::NotPermitted, name, text, "ask whoever administers the workspace")
        }
        WorkspaceError::Denied { .. } => Finding::failed_with(Exit::NotPermitted, name, found, grants),
        WorkspaceError::Unreachable { .. } => Finding::failed(name, text, "see to `host`, the network and the variable HTTPS_PROXY"),
        _ => Finding::failed(name, text, "see whether `host` is that of a workspace, and try again"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn a_warehouse_says_what_it_costs() {
        let warehouse = |state, auto_stop_minutes| Warehouse {
            id: "ab12".to_owned(),
            name: "Small".to_owned(),
            state,
            auto_stop_minutes,
            is_serverless: false,
        };
        let check = |state, stops, load_every: Option<u64>, expected: State, words: &str| {
            let finding = of_warehouse(&warehouse(state, stops), load_every.map(Duration::from_secs));
            assert!(finding.state == expected && finding.found.contains(words), "{finding:?}");
        };
        check(WarehouseState::Stopped, Some(5), Some(600), State::Good, "a load starts it, which takes some minutes. It stops after 5 min");
        check(WarehouseState::Running, Some(10), Some(600), State::Good, "while lines come it will not");
        check(WarehouseState::Running, None, Some(600), State::Warning, "never stops by itself");
        check(WarehouseState::Running, None, None, State::Good, "Small (ab12) runs");
        check(WarehouseState::Deleted, Some(10), Some(600), State::Failed(Exit::Failed), "was deleted");
    }

    #[test]
    fn missing_rights_are_what_to_do() {
        let denied = |grants: Vec<Grant>| WorkspaceError::Denied {
            doing: "look".to_owned(),
            message: "No.".to_owned(),
            grants,
            principal: Some("svc".to_owned()),
        };
        let finding = of_error("schema", &denied(vec![Grant::new("USE SCHEMA", Securable::Schema("c.s".to_owned()))]));
        assert_eq!(finding.state, State::Failed(Exit::NotPermitted));
        assert_eq!(
            finding.fix.as_deref(),
            Some("who owns it, or a metastore admin, runs:\n  GRANT USE SCHEMA ON SCHEMA `c`.`s` TO `svc`;")
        );
        assert_eq!(of_error("schema", &denied(Vec::new())).fix.as_deref(), Some("ask whoever administers the workspace"));
    }
}
