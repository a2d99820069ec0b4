//! The list of streams, which the file `data/streams.toml` describes.

use std::sync::LazyLock;

use freshet_core::{LeftOut, StreamDef, TableDef};

use super::read::{Catalogue, read};

/// The catalogue, read when it is first asked for and kept for ever.
static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let read = read(include_str!("../../data/streams.toml"));
    assert!(read.is_ok(), "a test reads this very file: {:?}", read.as_ref().err().map(ToString::to_string));
    read.unwrap_or_default()
});

/// Every stream. Those that others hang below come first.
#[must_use]
pub fn streams() -> &'static [StreamDef] {
    &CATALOGUE.streams
}

/// The stream called `name`.
#[must_use]
pub fn stream(name: &str) -> Option<&'static StreamDef> {
    streams().iter().find(|stream| stream.name == name)
}

/// The resources of Heroku's schema that no stream reads although they can be listed, and why.
#[must_use]
pub fn left_out() -> &'static [LeftOut] {
    &CATALOGUE.left_out
}

/// Every table that streams fill, histories included.
pub fn tables() -> impl Iterator<Item = &'static TableDef> {
    streams().iter().flat_map(|stream| std::iter::once(stream.table).chain(stream.history))
}

/// A stream in a few words, as a reference page lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its name and its table's.
    pub name: &'static str,
    /// What one row is.
    pub about: &'static str,
    /// The columns that name a row.
    pub key: Vec<&'static str>,
    /// Where its objects are read.
    pub paths: Vec<&'static str>,
    /// Whether every version is kept.
    pub has_history: bool,
}

/// Every stream in a few words.
pub fn summaries() -> impl Iterator<Item = Summary> {
    streams().iter().map(|stream| Summary {
        name: stream.name,
        about: stream.about,
        key: stream.key.iter().filter_map(|part| stream.field(part)).map(|field| field.column.name).collect(),
        paths: stream.lists.iter().map(|list| list.path).collect(),
        has_history: stream.history.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use freshet_core::{ColumnType, FieldKind, Origin, Read, SecretRule, Shape, TableKind, Trailing};

    use super::*;

    #[test]
    fn what_the_contract_names_is_there() {
        assert!(streams().len() >= 45, "{}", streams().len());
        let names = "apps releases builds dynos formation addons addon_attachments collaborators domains log_drains pipelines pipeline_couplings \
                     review_apps teams team_members spaces invoices team_daily_usage audit_events webhook_events";
        for name in names.split_whitespace() {
            assert_eq!(stream(name).map(|stream| stream.table.name), Some(name));
        }
        let mut with_history: Vec<_> = streams().iter().filter_map(|stream| Some((stream.name, stream.history?.name))).collect();
        with_history.sort_unstable();
        let expected = ["addons", "apps", "domains", "dynos", "formation", "releases"];
        assert_eq!(with_history.iter().map(|(name, _)| *name).collect::<Vec<_>>(), expected);
        assert!(with_history.iter().all(|(name, history)| *history == format!("{name}_history")));
    }

    #[test]
    fn names_are_said_once_and_clash_with_no_other_table() {
        let mut seen: HashSet<&str> = crate::TABLES.iter().map(|table| table.name).collect();
        for table in tables() {
            assert!(seen.insert(table.name), "{} is there twice", table.name);
            assert_eq!(table.kind, TableKind::Platform);
            assert!(is_snake_case(table.name), "{}", table.name);
            assert!(!table.comment.is_empty());
            let mut columns = HashSet::new();
            for column in table.columns {
                assert!(columns.insert(column.name), "{}.{} is there twice", table.name, column.name);
                assert!(is_snake_case(column.name.trim_start_matches('_')), "{}.{}", table.name, column.name);
                assert!(!column.comment.is_empty(), "{}.{} needs a comment", table.name, column.name);
                assert!(!column.comment.ends_with('.'), "{}.{}: comments end without a full stop", table.name, column.name);
            }
        }
    }

    #[test]
    fn tables_are_the_fields_and_what_every_platform_table_has() {
        for stream in streams() {
            let (fields, rest) = stream.table.columns.split_at(stream.fields.len());
            for (field, column) in stream.fields.iter().zip(fields) {
                assert_eq!(&field.column, column);
                assert_eq!(column.column_type, field.kind.column_type());
                assert_eq!(column.nullable, !stream.key.contains(&field.json), "{}.{}", stream.name, field.json);
            }
            let rest: Vec<_> = rest.iter().map(|column| (column.name, column.column_type, column.nullable)).collect();
            let text = ColumnType::Text;
            let expected = [
                ("_synced_at", ColumnType::Timestamp, false),
                ("_deleted_at", ColumnType::Timestamp, true),
                ("_extra", text, true),
                ("_raw", text, true),
            ];
            assert_eq!(rest, expected, "{}", stream.name);
            if let Some(history) = stream.history {
                let (same, own) = history.columns.split_at(stream.table.columns.len());
                assert_eq!(same, stream.table.columns);
                let own: Vec<_> = own.iter().map(|column| (column.name, column.column_type, column.nullable)).collect();
                let time = ColumnType::Timestamp;
                assert_eq!(own, [("valid_from", time, false), ("valid_to", time, true), ("is_current", ColumnType::Boolean, false)]);
            }
        }
    }

    #[test]
    fn parents_come_first_and_fill_the_one_placeholder() {
        for (index, stream) in streams().iter().enumerate() {
            assert!(!stream.lists.is_empty(), "{}", stream.name);
            let mut paths = HashSet::new();
            for list in stream.lists {
                assert!(paths.insert(list.path), "{} twice", list.path);
                assert!(list.path.starts_with('/') && list.path.matches('{').count() <= 1, "{}", list.path);
                assert_eq!(list.placeholder().is_some(), list.parent.is_some(), "{}", list.path);
                let Some(parent) = list.parent else { continue };
                let above = streams()[..index].iter().find(|above| above.name == parent.stream);
                let above = above.unwrap_or_else(|| panic!("{}: {} has to come before it", stream.name, parent.stream));
                assert!(above.field(parent.field).is_some_and(|field| field.kind == FieldKind::Text), "{}: {}", stream.name, parent.field);
                let placeholder = list.placeholder().unwrap().trim_matches(['{', '}']);
                let plural = format!("{placeholder}s");
                assert_eq!(plural, parent.stream, "{}", list.path);
            }
            assert!(stream.key.iter().all(|part| stream.field(part).is_some_and(|field| field.kind != FieldKind::Json)), "{}", stream.name);
        }
    }

    #[test]
    fn what_is_read_again_can_be_told_by_its_field() {
        for stream in streams() {
            match stream.read {
                Read::Full => {}
                Read::Since { field, range, trailing } => {
                    assert!(stream.lists.iter().any(|list| list.ranges.contains(&range)), "{}: no list knows {range}", stream.name);
                    let kind = stream.field(field).map(|field| field.kind);
                    let expected = match trailing {
                        Trailing::Objects(count) => (count > 0).then_some(FieldKind::Integer),
                        Trailing::Hours(hours) => (hours > 0).then_some(FieldKind::Time),
                    };
                    assert!(kind.is_some() && kind == expected, "{}: {field}", stream.name);
                }
                Read::Window { trailing, first, .. } | Read::Days { trailing, first } => {
                    assert!(0 < trailing && trailing <= first, "{}", stream.name);
                }
            }
            assert!(stream.volatile.iter().all(|name| stream.field(name).is_some()), "{}: {:?}", stream.name, stream.volatile);
            assert!(!stream.volatile.iter().any(|name| stream.key.contains(name)), "{}", stream.name);
            for list in stream.lists {
                assert!(list.lacks.iter().all(|name| stream.field(name).is_some()), "{}", list.path);
                assert!(list.shape == Shape::Many || list.ranges.is_empty(), "{}", list.path);
            }
        }
    }

    #[test]
    fn secrets_are_no_columns_unless_what_is_secret_is_replaced() {
        for stream in streams() {
            for secret in stream.secrets.iter().filter(|secret| secret.rule == SecretRule::Remove) {
                assert!(stream.field(secret.path).is_none(), "{}.{}", stream.name, secret.path);
            }
            for left_out in stream.left_out {
                assert!(stream.field(left_out.what).is_none(), "{}.{}", stream.name, left_out.what);
                assert!(!left_out.reason.is_empty());
            }
        }
    }

    /// Names under which Heroku hands out what opens something. A field that is called so is either no column or masked.
    #[test]
    fn nothing_that_sounds_secret_is_a_plain_column() {
        let sounds = [
            "token",
            "secret",
            "password",
            "headers",
            "stream_url",
            "blob_url",
            "attach_url",
            "command",
            "pre_shared_key",
            "endpoint",
            "value",
        ];
        // A drain's token is its name, and every log row has it.
        let harmless = [("log_drains", "token"), ("domains", "sni_endpoint.id"), ("domains", "sni_endpoint.name")];
        for stream in streams() {
            for field in stream.fields.iter().filter(|field| field.origin == Origin::Object) {
                let is_masked = stream.secrets.iter().any(|secret| secret.path == field.json);
                let sounds_secret = sounds.iter().any(|sound| field.column.name.contains(sound));
                let is_harmless = harmless.contains(&(stream.name, field.json));
                assert!(!sounds_secret || is_masked || is_harmless, "{}.{}", stream.name, field.json);
            }
        }
    }

    #[test]
    fn what_is_known_is_told_from_drift() {
        let apps = stream("apps").unwrap();
        for (path, knows, leads) in [
            ("owner.id", true, false),
            ("owner", false, true),
            ("owner.nickname", false, false),
            ("owner_id", false, false),
            ("organization", true, false),
            ("organization.id", true, false),
            ("buildpacks", true, false),
            ("colour", false, false),
        ] {
            assert_eq!((apps.knows(path), apps.leads_to(path)), (knows, leads), "{path}");
        }
        assert!(stream("log_drains").unwrap().field("space_id").is_some());
        assert!(!stream("log_drains").unwrap().knows("space_id"), "it is the parent's, not the object's");
    }

    #[test]
    fn summaries_name_columns() {
        let usage = summaries().find(|summary| summary.name == "space_members").unwrap();
        assert_eq!((usage.key, usage.paths), (vec!["space_id", "user_id"], vec!["/spaces/{space}/members"]));
        assert_eq!(summaries().count(), streams().len());
    }

    fn is_snake_case(name: &str) -> bool {
        let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        plain && name.starts_with(|first: char| first.is_ascii_lowercase()) && !name.contains("__") && !name.ends_with('_')
    }
}
