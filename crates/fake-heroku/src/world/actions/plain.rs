//! Objects of kinds that need no more than being there.

use serde_json::{Map, Value};

use super::super::World;
use super::super::event::{Actor, Refusal};
use super::reference;
use crate::catalogue::fields_of;

impl World {
    /// A new object of a kind that needs no more than being there (`domain`, `collaborator`, `log-drain`, `app-webhook`,
    /// `telemetry-drain`, `pipeline`, …): the blank of the catalogue with `fields` over it. One of its parents' app is filled in.
    ///
    /// # Errors
    ///
    /// 422 for a resource that has no fields of its own.
    pub fn create_plain(
        &mut self,
        by: &Actor,
        resource: &'static str,
        parents: Vec<String>,
        mut fields: Map<String, Value>,
    ) -> Result<Value, Refusal> {
        let known = fields_of(resource);
        if known.is_empty() {
            return Err(Refusal::invalid(format!("There is no such thing as a {resource}.")));
        }
        if !fields.contains_key("app")
            && known.iter().any(|field| field.name == "app")
            && let Some(app) = parents.iter().find_map(|parent| self.objects.get("app", parent))
        {
            fields.insert("app".to_owned(), reference(app));
        }
        let id = self.add(by, resource, parents, fields);
        self.shown(resource, &id)
    }

    /// Other values for fields of such an object, and a new `updated_at`.
    ///
    /// # Errors
    ///
    /// 404 for an object that does not exist.
    pub fn update_plain(&mut self, by: &Actor, resource: &'static str, id: &str, fields: Map<String, Value>) -> Result<Value, Refusal> {
        self.set(by, resource, id, fields);
        self.shown(resource, id)
    }

    /// Takes such an object away.
    ///
    /// # Errors
    ///
    /// 404 for an object that does not exist.
    pub fn destroy_plain(&mut self, by: &Actor, resource: &'static str, id: &str) -> Result<Value, Refusal> {
        self.remove(by, resource, id).ok_or_else(|| Refusal::not_found(resource))
    }
}
