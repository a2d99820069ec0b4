//! Rights on what a catalog holds: which are missing, and the statement that gives them.

use std::collections::BTreeSet;

use super::Workspace;
use super::call::{Call, path_part};
use super::catalog::quoted;
use super::error::WorkspaceError;

/// What rights are given on. Names are as Databricks writes them, with dots and without quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Securable {
    /// A catalog.
    Catalog(String),
    /// `catalog.schema`.
    Schema(String),
    /// `catalog.schema.table`.
    Table(String),
    /// `catalog.schema.volume`.
    Volume(String),
    /// A path in a cloud's storage that the metastore knows.
    ExternalLocation(String),
}

impl Securable {
    fn parts(&self) -> (&'static str, &'static str, &str) {
        match self {
            Self::Catalog(name) => ("CATALOG", "catalog", name),
            Self::Schema(name) => ("SCHEMA", "schema", name),
            Self::Table(name) => ("TABLE", "table", name),
            Self::Volume(name) => ("VOLUME", "volume", name),
            Self::ExternalLocation(name) => ("EXTERNAL LOCATION", "external_location", name),
        }
    }

    /// What Databricks' own messages call `kind`.
    fn named(kind: &str, name: &str) -> Option<Self> {
        let name = name.replace('`', "");
        Some(match kind.to_ascii_lowercase().as_str() {
            "catalog" => Self::Catalog(name),
            "schema" | "database" => Self::Schema(name),
            "table" | "view" => Self::Table(name),
            "volume" => Self::Volume(name),
            "external location" => Self::ExternalLocation(name),
            _ => return None,
        })
    }
}

/// A right that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// As SQL names it, such as `USE SCHEMA`.
    pub privilege: String,
    /// On what.
    pub on: Securable,
}

impl Grant {
    /// The right `privilege` on `on`.
    #[must_use]
    pub fn new(privilege: &str, on: Securable) -> Self {
        Self { privilege: privilege.to_owned(), on }
    }

    /// The statement that gives it to `principal`.
    #[must_use]
    pub fn statement(&self, principal: Option<&str>) -> String {
        let (kind, _, name) = self.on.parts();
        let name = match &self.on {
            Securable::ExternalLocation(name) => quoted(name),
            _ => name.split('.').map(quoted).collect::<Vec<_>>().join("."),
        };
        format!("GRANT {} ON {kind} {name} TO {};", self.privilege, quoted(principal.unwrap_or("who Freshet logs in as")))
    }

    /// The rights that Databricks' own `message` says are missing: `User does not have USE SCHEMA on Schema 'main.heroku'`.
    #[must_use]
    pub fn in_message(message: &str) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for rest in message.split("not have ").skip(1) {
            let Some((privileges, rest)) = rest.split_once(" on ") else { continue };
            let Some((kind, rest)) = rest.split_once(['\'', '"']) else { continue };
            let Some((name, _)) = rest.split_once(['\'', '"']) else { continue };
            let Some(on) = Securable::named(kind.trim(), name) else { continue };
            for privilege in privileges.split([',', '+']).flat_map(|part| part.split(" or ").next()) {
                let privilege = privilege.trim().trim_start_matches("the ").trim_end_matches(" privilege").trim_matches(['`', '\'', '"']);
                let is_privilege =
                    !privilege.is_empty() && privilege.bytes().all(|byte| byte.is_ascii_uppercase() || b" _".contains(&byte));
                let grant = Self::new(&privilege.replace('_', " "), on.clone());
                if is_privilege && !found.contains(&grant) {
                    found.push(grant);
                }
            }
        }
        found
    }
}

/// The rights that somebody has on something, those from above included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Privileges(BTreeSet<String>);

impl Privileges {
    /// Whether `privilege` is among them, as SQL names it. `ALL PRIVILEGES` has all but those by which others' engines reach the data.
    #[must_use]
    pub fn have(&self, privilege: &str) -> bool {
        let is_outside = matches!(privilege, "EXTERNAL USE SCHEMA" | "EXTERNAL USE LOCATION" | "MANAGE");
        self.0.contains(privilege) || (!is_outside && self.0.contains("ALL PRIVILEGES"))
    }
}

impl Workspace {
    /// The rights that `principal` has on `on`, as far as the catalog tells: what comes by a group may not be among them.
    ///
    /// # Errors
    /// It does not tell.
    pub async fn privileges(&self, on: &Securable, principal: &str) -> Result<Privileges, WorkspaceError> {
        let (_, kind, name) = on.parts();
        let path = format!("/api/2.1/unity-catalog/effective-permissions/{kind}/{}", path_part(name));
        let call = Call::get(&format!("ask for the rights on {kind} {name}"), &path).with("principal", principal);
        let answer = self.value(&call).await?;
        let assignments = answer["privilege_assignments"].as_array().map(Vec::as_slice).unwrap_or_default();
        let privileges = assignments.iter().flat_map(|assignment| assignment["privileges"].as_array().into_iter().flatten());
        // The newer answers hold objects, the older ones plain names.
        let name = |privilege: &serde_json::Value| Some(privilege["privilege"].as_str().or(privilege.as_str())?.replace('_', " "));
        Ok(Privileges(privileges.filter_map(name).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_missing_right() {
        fn check(message: &str, expected: &[&str]) {
            let found: Vec<String> = Grant::in_message(message).iter().map(|grant| grant.statement(Some("svc"))).collect();
            assert_eq!(found, expected, "{message}");
        }
        check(
            "[INSUFFICIENT_PERMISSIONS] Insufficient privileges: User does not have USE SCHEMA on Schema 'main.heroku'. SQLSTATE: 42501",
            &["GRANT USE SCHEMA ON SCHEMA `main`.`heroku` TO `svc`;"],
        );
        check("User does not have USE CATALOG on Catalog 'odd`name'.", &["GRANT USE CATALOG ON CATALOG `oddname` TO `svc`;"]);
        check(
            "User does not have WRITE VOLUME on Volume 'main.heroku._freshet'.",
            &["GRANT WRITE VOLUME ON VOLUME `main`.`heroku`.`_freshet` TO `svc`;"],
        );
        check(
            "User does not have EXTERNAL_USE_LOCATION on External Location 'my-bucket'.",
            &["GRANT EXTERNAL USE LOCATION ON EXTERNAL LOCATION `my-bucket` TO `svc`;"],
        );
        check(
            "User does not have MODIFY, SELECT on Table 'a.b.c'.",
            &["GRANT MODIFY ON TABLE `a`.`b`.`c` TO `svc`;", "GRANT SELECT ON TABLE `a`.`b`.`c` TO `svc`;"],
        );
        check("You do not have permission to use the SQL Warehouse 'abc'.", &[]);
        check("does not have ", &[]);
        check("User does not have X on Galaxy 'm31'", &[]);
    }

    #[test]
    fn who_is_not_known_is_said_so() {
        let grant = Grant::new("SELECT", Securable::Table("a.b.c`d".to_owned()));
        assert_eq!(grant.statement(None), "GRANT SELECT ON TABLE `a`.`b`.`c``d` TO `who Freshet logs in as`;");
    }

    #[test]
    fn all_privileges_are_not_all() {
        let all = Privileges(["ALL PRIVILEGES".to_owned()].into());
        assert!(all.have("CREATE TABLE") && !all.have("EXTERNAL USE SCHEMA"));
        assert!(!Privileges::default().have("SELECT"));
    }
}
