//! `freshet databricks assets`: the verb around the bundle.

use std::path::Path;

use serde_json::json;

use super::bundle::{self, Target};
use super::folder::{Folder, Plan, State};
use crate::cli::{AssetsArgs, Global};
use crate::exit::{Exit, Failure};
use crate::output::{Paint, Printer, counted, left, right, shell_word};

/// Runs the verb.
///
/// # Errors
/// A flag makes no sense, files that people have changed are in the way, or a file cannot be written.
pub(crate) fn run(global: &Global, args: &AssetsArgs) -> anyhow::Result<Exit> {
    let target = Target::new(&args.catalog, &args.schema, args.warehouse.as_deref(), args.location.as_deref())
        .map_err(|why| Failure::error(Exit::Usage, why))?;
    let folder = Folder::open(&args.directory)?;
    let plan = folder.plan(bundle::files(&target))?;
    let changed = plan.changed();
    let refused = !changed.is_empty() && !args.force;
    let printer = Printer::new(global);
    if !refused && !args.dry_run {
        folder.write(&plan)?;
    }
    if !refused || args.dry_run {
        show(printer, args, &plan)?;
    }
    if refused {
        let list: Vec<String> = changed.iter().map(|path| format!("  {path}")).collect();
        let what = if args.dry_run {
            "these files are not as Freshet wrote them"
        } else {
            "nothing was written, because these files are not as Freshet wrote them"
        };
        let message = format!("{what}:\n{}\nKeep them elsewhere and merge, or overwrite them with --force", list.join("\n"));
        return Err(Failure::error(Exit::Failed, message));
    }
    Ok(Exit::Ok)
}

/// What there is now, and what comes next.
fn show(printer: Printer, args: &AssetsArgs, plan: &Plan) -> anyhow::Result<()> {
    let next = next(&args.directory, args.warehouse.is_some());
    if !printer.is_text() {
        let files: Vec<_> =
            plan.files.iter().map(|file| json!({ "path": file.path, "state": file.state.name(), "bytes": file.text.len() })).collect();
        return printer.json(&json!({
            "directory": args.directory.display().to_string(),
            "mode": if args.location.is_some() { "external" } else { "managed" },
            "dry_run": args.dry_run,
            "files": files,
            "left_over": plan.left_over,
            "next": next,
        }));
    }
    let rows = plan
        .files
        .iter()
        .map(|file| vec![file.path.clone(), file.holds.to_owned(), file.text.len().to_string(), file.state.name().to_owned()]);
    printer.table(&[left("file"), left("holds"), right("bytes"), left("state")], rows)?;
    for path in &plan.left_over {
        printer.note(&format!("{path} is from an earlier run and not needed any more; delete it"));
    }
    let written = plan.files.iter().filter(|file| file.state != State::Same).count() as u64;
    let place = args.directory.display();
    if args.dry_run {
        let refused = !plan.changed().is_empty() && !args.force;
        let would = if refused { "Nothing".to_owned() } else { counted(written, "file") };
        return printer.line(&format!("{would} would be written to {place}."));
    }
    printer.line(&printer.painted(Paint::Green, &format!("Wrote {} to {place}.", counted(written, "file"))))?;
    printer.line("\nNext, with the Databricks CLI:\n")?;
    for command in &next {
        printer.line(&format!("  {command}"))?;
    }
    Ok(())
}

/// The commands to go on with.
fn next(directory: &Path, has_warehouse: bool) -> [String; 2] {
    let variable = if has_warehouse { "" } else { " --var warehouse_id=ID" };
    let place = shell_word(&directory.to_string_lossy());
    [
        format!("cd {place} && databricks bundle deploy --target prod{variable}"),
        format!("databricks bundle run freshet_setup --target prod{variable}    # when the first rows are there"),
    ]
}
