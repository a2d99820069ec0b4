//! From the file of streams to what the rest of the program knows them by.

use freshet_core::{
    Ask, ColumnDef, ColumnType, Every, FieldDef, FieldKind, LeftOut, ListDef, Origin, Parent, Read, SecretDef, SecretRule, Shape,
    StreamDef, TableDef, TableKind, Trailing, Unit,
};

use super::section::{CatalogueError, Section, parse};

/// Everything the file says.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    /// The streams, in its order.
    pub(super) streams: Vec<StreamDef>,
    /// Resources of Heroku's schema that no stream reads.
    pub(super) left_out: Vec<LeftOut>,
}

/// The columns that every table of objects ends with.
const OF_EVERY_TABLE: [ColumnDef; 4] = [
    column("_synced_at", ColumnType::Timestamp, false, "When Freshet last read or was told of the object as it is here"),
    column("_deleted_at", ColumnType::Timestamp, true, "When Freshet found the object gone; NULL as long as it is there"),
    column(
        "_extra",
        ColumnType::Text,
        true,
        "JSON of fields that this version has no column for, or whose values are not of the column's type",
    ),
    column("_raw", ColumnType::Text, true, "JSON of the object as received, secrets replaced"),
];

/// The columns that a table of versions has besides.
const OF_EVERY_HISTORY: [ColumnDef; 3] = [
    column("valid_from", ColumnType::Timestamp, false, "From when the object was so"),
    column("valid_to", ColumnType::Timestamp, true, "Until when; NULL as long as it still is so"),
    column("is_current", ColumnType::Boolean, false, "Whether it still is so"),
];

/// What the table of a stream may hold.
const ENTRIES: [&str; 14] = [
    "about",
    "key",
    "lists",
    "read",
    "every",
    "history",
    "volatile",
    "forgets",
    "sdk",
    "secrets",
    "left_out",
    "from_parent",
    "from_request",
    "fields",
];

/// Reads the file. What it says is kept for ever: it is read once.
pub(super) fn read(source: &str) -> Result<Catalogue, CatalogueError> {
    let document = parse(source)?;
    let root = Section::root(&document);
    let mut catalogue = Catalogue::default();
    for name in root.names() {
        if name == "left_out" {
            catalogue.left_out = left_out(&root)?;
        } else {
            let stream = stream(name, &root.stream(name)?, &catalogue.streams)?;
            catalogue.streams.push(stream);
        }
    }
    Ok(catalogue)
}

fn stream(name: &str, section: &Section<'_>, above: &[StreamDef]) -> Result<StreamDef, CatalogueError> {
    section.only(&ENTRIES)?;
    let about = keep(section.text("about")?);
    let key = keep_texts(&section.texts("key")?);
    if key.is_empty() {
        return Err(section.error("key", "needs at least one field"));
    }
    let name = keep(name);
    let fields = keep_all(fields(section, key, above)?);
    let columns: Vec<_> = fields.iter().map(|field| field.column).chain(OF_EVERY_TABLE).collect();
    let table = table(name, about, keep_all(columns.clone()));
    let history = section.flag("history")?.then(|| {
        let versions = keep(&format!("{about}: one row for each version of it"));
        table_of_versions(name, versions, columns)
    });
    let lists = section.sections("lists")?.iter().map(|list| list_def(list, above)).collect::<Result<Vec<_>, _>>()?;
    let stream = StreamDef {
        name,
        about,
        key,
        lists: keep_all(lists),
        read: read_of(section)?,
        every: every(section)?,
        sdk: section.flag("sdk")?,
        forgets: section.flag("forgets")?,
        fields,
        volatile: keep_texts(&section.texts("volatile")?),
        secrets: keep_all(secrets(section)?),
        left_out: keep_all(left_out(section)?),
        table,
        history,
    };
    all_are_fields(section, "key", stream.key, &stream)?;
    all_are_fields(section, "volatile", stream.volatile, &stream)?;
    Ok(stream)
}

fn all_are_fields(section: &Section<'_>, entry: &str, names: &[&str], stream: &StreamDef) -> Result<(), CatalogueError> {
    match names.iter().find(|name| stream.field(name).is_none()) {
        Some(name) => Err(section.error(entry, format!("{name:?} is no field"))),
        None => Ok(()),
    }
}

fn table(name: &'static str, comment: &'static str, columns: &'static [ColumnDef]) -> &'static TableDef {
    Box::leak(Box::new(TableDef { name, comment, kind: TableKind::Platform, columns }))
}

fn table_of_versions(name: &str, comment: &'static str, mut columns: Vec<ColumnDef>) -> &'static TableDef {
    columns.extend(OF_EVERY_HISTORY);
    table(keep(&format!("{name}_history")), comment, keep_all(columns))
}

/// The fields in the order of the columns. What the objects do not have themselves comes first, for most of it is part of the key.
fn fields(section: &Section<'_>, key: &[&str], above: &[StreamDef]) -> Result<Vec<FieldDef>, CatalogueError> {
    let mut fields = Vec::new();
    let mut add = |section: &Section<'_>, json: &str, origin, kind: FieldKind, about: &str| {
        let name = column_name(json);
        if fields.iter().any(|field: &FieldDef| field.column.name == name) {
            return Err(section.error(json, format!("is the second column called {name}")));
        }
        let column = column(keep(&name), kind.column_type(), !key.contains(&json), keep(about));
        fields.push(FieldDef { json: keep(json), origin, kind, column });
        Ok(())
    };
    if let Some(section) = section.section("from_parent")? {
        for name in section.names() {
            let [path, about] = pair(&section, name)?;
            let (parent, kind) = parent(&section, name, path, above)?;
            add(&section, name, Origin::Parent(parent), kind, about)?;
        }
    }
    for (entry, origin) in [("from_request", Origin::Request), ("fields", Origin::Object)] {
        let Some(section) = section.section(entry)? else { continue };
        for json in section.names() {
            let [kind, about] = pair(&section, json)?;
            add(&section, json, origin, field_kind(&section, json, kind)?, about)?;
        }
    }
    Ok(fields)
}

fn pair<'a>(section: &Section<'a>, name: &str) -> Result<[&'a str; 2], CatalogueError> {
    let texts = section.texts(name)?;
    texts.try_into().map_err(|_| section.error(name, "has to be two texts: what it is, and what it tells"))
}

fn field_kind(section: &Section<'_>, json: &str, kind: &str) -> Result<FieldKind, CatalogueError> {
    Ok(match kind {
        "string" => FieldKind::Text,
        "integer" => FieldKind::Integer,
        "number" => FieldKind::Number,
        "boolean" => FieldKind::Boolean,
        "timestamp" => FieldKind::Time,
        "date" => FieldKind::Date,
        "json" => FieldKind::Json,
        _ => return Err(section.error(json, format!("{kind:?} is not one of string, integer, number, boolean, timestamp, date, json"))),
    })
}

/// `teams.id`: the stream and the field, with the field's kind.
fn parent(section: &Section<'_>, entry: &str, path: &str, above: &[StreamDef]) -> Result<(Parent, FieldKind), CatalogueError> {
    let found = path.split_once('.').and_then(|(stream, field)| {
        let stream = above.iter().find(|above| above.name == stream)?;
        let field = stream.field(field)?;
        Some((Parent { stream: stream.name, field: field.json }, field.kind))
    });
    found.ok_or_else(|| section.error(entry, format!("{path:?} is no field of a stream that stands before this one")))
}

fn list_def(list: &Section<'_>, above: &[StreamDef]) -> Result<ListDef, CatalogueError> {
    list.only(&["path", "resource", "parent", "shape", "ranges", "lacks"])?;
    let path = list.text("path")?;
    let parent = match list.text_if_any("parent")? {
        Some(of) => Some(parent(list, "parent", of, above)?.0),
        None => None,
    };
    if path.matches('{').count() != usize::from(parent.is_some()) {
        return Err(list.error("path", "needs one {placeholder} with a parent, and none without"));
    }
    let shape = match list.text_if_any("shape")? {
        None => Shape::Many,
        Some("one") => Shape::One,
        Some(other) => return Err(list.error("shape", format!("{other:?} is not \"one\"; leave it out for a list"))),
    };
    Ok(ListDef {
        path: keep(path),
        parent,
        resource: keep(list.text("resource")?),
        shape,
        ranges: keep_texts(&list.texts("ranges")?),
        lacks: keep_texts(&list.texts("lacks")?),
    })
}

fn read_of(section: &Section<'_>) -> Result<Read, CatalogueError> {
    if let Ok(Some(text)) = section.text_if_any("read") {
        return if text == "full" { Ok(Read::Full) } else { Err(section.error("read", format!("{text:?} is not \"full\""))) };
    }
    let read = section.section("read")?.ok_or_else(|| section.error("read", "is missing"))?;
    let has = |name: &str| read.names().any(|known| known == name);
    if has("since") {
        read.only(&["since", "range", "trailing"])?;
        let (field, range) = (keep(read.text("since")?), keep(read.text("range")?));
        Ok(Read::Since { field, range, trailing: trailing(&read)? })
    } else if has("window") {
        read.only(&["window", "trailing", "first", "ask"])?;
        let unit = choice(&read, "window", [("days", Unit::Days), ("months", Unit::Months)])?;
        let ask = choice(&read, "ask", [("start,end", Ask::StartEnd), ("start,duration", Ask::StartDuration)])?;
        Ok(Read::Window { unit, trailing: read.count("trailing")?, first: read.count("first")?, ask })
    } else {
        read.only(&["days", "first"])?;
        Ok(Read::Days { trailing: read.count("days")?, first: read.count("first")? })
    }
}

/// `24 hours` or `20 objects`.
fn trailing(read: &Section<'_>) -> Result<Trailing, CatalogueError> {
    let text = read.text("trailing")?;
    let trailing = text.split_once(' ').and_then(|(count, unit)| match (count.parse().ok()?, unit) {
        (count, "objects") => Some(Trailing::Objects(count)),
        (count, "hour" | "hours") => Some(Trailing::Hours(count)),
        _ => None,
    });
    trailing.ok_or_else(|| read.error("trailing", format!("{text:?} is not like \"24 hours\" or \"20 objects\"")))
}

fn every(section: &Section<'_>) -> Result<Every, CatalogueError> {
    choice(section, "every", [("often", Every::Often), ("daily", Every::Daily)])
}

fn choice<T: Copy, const N: usize>(section: &Section<'_>, entry: &str, choices: [(&str, T); N]) -> Result<T, CatalogueError> {
    let text = section.text(entry)?;
    let chosen = choices.iter().find(|(name, _)| *name == text);
    let names = || choices.map(|(name, _)| name).join(" or ");
    chosen.map(|(_, value)| *value).ok_or_else(|| section.error(entry, format!("{text:?} is not {}", names())))
}

fn secrets(section: &Section<'_>) -> Result<Vec<SecretDef>, CatalogueError> {
    let Some(section) = section.section("secrets")? else { return Ok(Vec::new()) };
    let rules =
        [("remove", SecretRule::Remove), ("host", SecretRule::Host), ("address", SecretRule::Address), ("command", SecretRule::Command)];
    section.names().map(|path| Ok(SecretDef { path: keep(path), rule: choice(&section, path, rules)? })).collect()
}

fn left_out(section: &Section<'_>) -> Result<Vec<LeftOut>, CatalogueError> {
    let Some(section) = section.section("left_out")? else { return Ok(Vec::new()) };
    section.names().map(|what| Ok(LeftOut { what: keep(what), reason: keep(section.text(what)?) })).collect()
}

/// `ssl_cert.ca_signed?` is the column `ssl_cert_ca_signed`.
fn column_name(json: &str) -> String {
    json.chars().filter(|letter| *letter != '?').map(|letter| if matches!(letter, '.' | '-') { '_' } else { letter }).collect()
}

const fn column(name: &'static str, column_type: ColumnType, nullable: bool, comment: &'static str) -> ColumnDef {
    ColumnDef { name, column_type, nullable, comment }
}

fn keep(text: &str) -> &'static str {
    String::leak(text.to_owned())
}

fn keep_all<T>(values: Vec<T>) -> &'static [T] {
    Vec::leak(values)
}

fn keep_texts(texts: &[&str]) -> &'static [&'static str] {
    keep_all(texts.iter().map(|text| keep(text)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[teams]
about = "A team"
key = ["id"]
lists = [{ path = "/teams", resource = "team", ranges = ["name"] }]
read = "full"
every = "often"
[teams.fields]
"id" = ["string", "Id"]

[members]
about = "A member"
key = ["team_id", "user.id"]
lists = [{ path = "/teams/{team}/members", resource = "team-member", parent = "teams.id" }]
read = { since = "user.id", range = "id", trailing = "3 objects" }
every = "daily"
[members.from_parent]
team_id = ["teams.id", "Id of the team"]
[members.fields]
"user.id" = ["integer", "Id of the user"]
"#;

    #[test]
    fn a_short_file_becomes_two_streams() {
        let read = read(GOOD).unwrap();
        let [_, members] = &read.streams[..] else { panic!("{read:?}") };
        assert_eq!(members.lists[0].parent, Some(Parent { stream: "teams", field: "id" }));
        assert_eq!(members.lists[0].placeholder(), Some("{team}"));
        assert_eq!(members.read, Read::Since { field: "user.id", range: "id", trailing: Trailing::Objects(3) });
        let columns: Vec<_> = members.table.columns.iter().map(|column| (column.name, column.nullable)).collect();
        assert_eq!(columns[..3], [("team_id", false), ("user_id", false), ("_synced_at", false)]);
        assert_eq!(members.history, None);
    }

    #[test]
    fn a_mistake_is_named_with_line_stream_and_field() {
        for (good, bad, expected) in [
            (
                r#"["integer", "#,
                r#"["int", "#,
                "line 20: members user.id: \"int\" is not one of string, integer, number, boolean, timestamp, date, json",
            ),
            (r#", "Id of the user""#, "", "line 20: members user.id: has to be two texts: what it is, and what it tells"),
            (
                r#"parent = "teams.id" "#,
                r#"parent = "spaces.id" "#,
                "line 14: members parent: \"spaces.id\" is no field of a stream that stands before this one",
            ),
            (r#", parent = "teams.id" "#, "", "line 14: members path: needs one {placeholder} with a parent, and none without"),
            (r#""user.id"]"#, r#""user"]"#, "line 13: members key: \"user\" is no field"),
            (r#""daily""#, r#""weekly""#, "line 16: members every: \"weekly\" is not often or daily"),
            (r#""3 objects""#, r#""a while""#, "line 15: members trailing: \"a while\" is not like \"24 hours\" or \"20 objects\""),
            (r#"about = "A member""#, "", "line 11: members about: is missing"),
            (r#"about = "A member""#, "about = 1", "line 12: members about: has to be a text"),
            (
                "[members.fields]\n",
                "[members.fields]\nteam-id = [\"string\", \"Id\"]\n",
                "line 20: members team-id: is the second column called team_id",
            ),
            ("every = \"daily\"\n", "every = \"daily\"\nhistoric = true\n", "line 17: members historic: is not one of about, key, lists"),
        ] {
            assert_eq!(GOOD.matches(good).count(), 1, "{good}");
            let error = read(&GOOD.replace(good, bad)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("streams.toml {expected}")), "{error}");
        }
        let error = read("[teams\n").unwrap_err().to_string();
        assert!(error.starts_with("streams.toml line 1: the file: "), "{error}");
    }
}
