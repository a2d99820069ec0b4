//! A profile in `~/.databrickscfg`.

use std::path::{Path, PathBuf};

use ini::Ini;

use super::Environment;

/// The profile that is meant where none is named.
const DEFAULT: &str = "DEFAULT";

/// A profile.
#[derive(Clone, Default)]
pub(super) struct Profile {
    /// Its name.
    pub(super) name: String,
    /// What it says, by key.
    values: Vec<(String, String)>,
}

impl Profile {
    /// The profile `named`, else the usual one if there is one.
    ///
    /// # Errors
    /// The file cannot be read, or has no profile of that name.
    pub(super) fn read(named: Option<&str>, environment: Environment<'_>) -> Result<Option<Self>, String> {
        let Some(path) = path(environment) else {
            return named.map_or(Ok(None), |name| Err(format!("there is no profile {name}: it is not known where the home directory is")));
        };
        if !path.exists() {
            return match named {
                Some(name) => Err(format!("there is no profile {name}: there is no {}", path.display())),
                None => Ok(None),
            };
        }
        Self::read_from(&path, named)
    }

    fn read_from(path: &Path, named: Option<&str>) -> Result<Option<Self>, String> {
        // The message of a broken file would show a part of it.
        let file = Ini::load_from_file_noescape(path).map_err(|_| format!("{} cannot be read as a file of profiles", path.display()))?;
        let name = named.unwrap_or(DEFAULT);
        let Some(section) = file.section(Some(name)) else {
            return match named {
                Some(name) => {
                    let others: Vec<&str> = file.sections().flatten().collect();
                    Err(format!("{} has no profile {name}; it has: {}", path.display(), others.join(", ")))
                }
                None => Ok(None),
            };
        };
        let values = section.iter().map(|(key, value)| (key.trim().to_ascii_lowercase(), value.trim().to_owned()));
        Ok(Some(Self { name: name.to_owned(), values: values.filter(|(_, value)| !value.is_empty()).collect() }))
    }

    /// What it says for `key`.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.values.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// Where profiles are.
fn path(environment: Environment<'_>) -> Option<PathBuf> {
    let home = || environment("HOME").or_else(|| environment("USERPROFILE")).filter(|home| !home.is_empty());
    match environment("DATABRICKS_CONFIG_FILE").filter(|path| !path.is_empty()) {
        Some(path) => match path.strip_prefix("~/") {
            Some(below) => Some(Path::new(&home()?).join(below)),
            None => Some(path.into()),
        },
        None => Some(Path::new(&home()?).join(".databrickscfg")),
    }
}
