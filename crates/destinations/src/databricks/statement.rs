//! One SQL statement from its submission to its last row.
//!
//! ```text
//! POST ─▶ PENDING ─▶ RUNNING ─▶ SUCCEEDED ─▶ chunk ─▶ chunk …
//!            │           │──▶ FAILED (with HTTP 200), CANCELED, CLOSED
//!            └─ a stopped warehouse starts, which takes minutes
//! ```
//!
//! There is no key by which a statement is known again when its answer is lost: it is submitted anew. So it must be one that may run
//! twice, also at the same time as itself.

use std::time::Duration;

use serde_json::{Value, json};

use super::Workspace;
use super::call::{Attempts, Call, is_passing, path_part};
use super::error::WorkspaceError;
use super::grants::Grant;

/// Where statements go.
const STATEMENTS: &str = "/api/2.0/sql/statements";

/// How long the first request waits for the statement to end.
const WAIT_TIMEOUT: &str = "30s";

/// The state, and the code, of a statement that somebody has cancelled.
const CANCELED: &str = "CANCELED";

/// Characters of a statement that stand for it in errors.
const SHOWN_CHARS: usize = 60;

/// Tags that Databricks takes.
const TAGS_MAX: usize = 20;

/// A statement that may run twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// SQL. At most 16 MiB.
    pub text: String,
    /// By what it is found in the workspace's query history. At most 20.
    pub tags: Vec<(String, String)>,
}

/// What a statement returned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The values as text, whatever their type; none for NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

impl Statement {
    /// The statement `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), tags: Vec::new() }
    }

    /// The same with a tag.
    #[must_use]
    pub fn tagged(mut self, name: &str, value: &str) -> Self {
        self.tags.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Its beginning, for people.
    fn shown(&self) -> String {
        let words: Vec<&str> = self.text.split_whitespace().take(16).collect();
        let line = words.join(" ").replace(": ", " ");
        let is_short = line.chars().count() <= SHOWN_CHARS;
        let start: String = line.chars().take(SHOWN_CHARS).collect();
        if is_short { start } else { format!("{start}…") }
    }
}

impl Rows {
    /// The values of the column `name`, if there is one.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<Vec<Option<&str>>> {
        let position = self.columns.iter().position(|column| column.eq_ignore_ascii_case(name))?;
        Some(self.rows.iter().map(|row| row.get(position).and_then(Option::as_deref)).collect())
    }

    /// The value of the first row's column `name`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.column(name)?.first().copied().flatten()
    }
}

/// A statement that has ended well, or how far it is.
enum Progress {
    Ended(Value),
    Runs { id: String, state: String },
}

impl Workspace {
    /// Runs a statement to its end and returns its rows. It may run more than once, also at the same time as itself: see
    /// [`Statement`]. When the future is dropped, the statement goes on in the warehouse.
    ///
    /// # Errors
    /// See [`WorkspaceError`].
    pub async fn run(&self, statement: &Statement) -> Result<Rows, WorkspaceError> {
        let warehouse = self.warehouse_id().await?;
        let doing = format!("run `{}`", statement.shown());
        let deadline = self.shared.timer.now() + self.limits().statement_within;
        let mut attempts = Attempts::none();
        loop {
            match self.run_once(statement, &warehouse, &doing, deadline).await {
                Ok(rows) => return Ok(rows),
                // What took all the time there was, or what somebody has cancelled, is not begun again at once.
                Err(error) if matches!(&error, WorkspaceError::Slow { .. }) || is_cancelled(&error) => return Err(error),
                Err(error) => {
                    self.pause(&mut attempts, error, None).await?;
                    tracing::info!(statement = statement.shown(), "statement runs again");
                }
            }
        }
    }

    async fn run_once(&self, statement: &Statement, warehouse: &str, doing: &str, deadline: Duration) -> Result<Rows, WorkspaceError> {
        let tags: Vec<Value> = statement.tags.iter().take(TAGS_MAX).map(|(key, value)| json!({ "key": key, "value": value })).collect();
        let body = json!({
            "statement": statement.text,
            "warehouse_id": warehouse,
            "wait_timeout": WAIT_TIMEOUT,
            "on_wait_timeout": "CONTINUE",
            "disposition": "INLINE",
            "format": "JSON_ARRAY",
            "query_tags": tags,
        });
        let mut answer = self.value(&Call::post(doing, STATEMENTS, body)).await?;
        let mut wait = self.limits().look_first;
        loop {
            match self.progress(doing, answer)? {
                Progress::Ended(ended) => return self.rows(doing, ended).await,
                Progress::Runs { id, state } => {
                    let left = deadline.saturating_sub(self.shared.timer.now());
                    if left.is_zero() {
                        return Err(self.cancel(doing, &id, state).await);
                    }
                    self.shared.timer.sleep(wait.min(left)).await;
                    wait = wait.mul_f64(1.5).min(self.limits().look_max);
                    answer = self.look(doing, &id).await?;
                }
            }
        }
    }

    /// How far the statement `id` is.
    async fn look(&self, doing: &str, id: &str) -> Result<Value, WorkspaceError> {
        match self.value(&Call::get(doing, &format!("{STATEMENTS}/{}", path_part(id)))).await {
            // The workspace has forgotten it, so nobody can say how it ended.
            Err(WorkspaceError::Missing { doing, message }) => {
                Err(WorkspaceError::Failed { doing, code: "NOT_FOUND".to_owned(), message, is_transient: true })
            }
            ended => ended,
        }
    }

    /// What an answer says of its statement.
    fn progress(&self, doing: &str, answer: Value) -> Result<Progress, WorkspaceError> {
        let status = &answer["status"];
        let state = status["state"].as_str().unwrap_or_default().to_owned();
        let failed = |code: &str, message: &str, is_transient| WorkspaceError::Failed {
            doing: doing.to_owned(),
            code: code.to_owned(),
            message: message.to_owned(),
            is_transient,
        };
        match state.as_str() {
            "SUCCEEDED" => Ok(Progress::Ended(answer)),
            "PENDING" | "RUNNING" => {
                let id = answer["statement_id"].as_str().filter(|id| !id.is_empty());
                let id = id.ok_or_else(|| WorkspaceError::broken(doing, "the answer has no `statement_id`"))?;
                Ok(Progress::Runs { id: id.to_owned(), state })
            }
            "FAILED" => {
                let code = status["error"]["error_code"].as_str().unwrap_or("FAILED");
                let message = self.shown(status["error"]["message"].as_str().unwrap_or("(without a reason)"));
                Err(self.failure(doing, code, message, status["sql_state"].as_str()))
            }
            CANCELED => Err(failed(CANCELED, "somebody cancelled it, or stopped the warehouse", true)),
            "CLOSED" => Err(failed("CLOSED", "it ended, but its result is gone", true)),
            _ => Err(WorkspaceError::broken(doing, "the answer has no `status.state`")),
        }
    }

    /// The error that a failed statement stands for.
    fn failure(&self, doing: &str, code: &str, message: String, sql_state: Option<&str>) -> WorkspaceError {
        let doing = doing.to_owned();
        if code == "PERMISSION_DENIED" || sql_state == Some("42501") || message.contains("INSUFFICIENT_PERMISSIONS") {
            return WorkspaceError::Denied { doing, grants: Grant::in_message(&message), message, principal: self.principal() };
        }
        WorkspaceError::Failed { doing, is_transient: is_passing(code, &message), code: code.to_owned(), message }
    }

    /// Cancels a statement that takes too long. Whether that succeeds matters to its cost only.
    async fn cancel(&self, doing: &str, id: &str, state: String) -> WorkspaceError {
        let call = Call::post(doing, &format!("{STATEMENTS}/{}/cancel", path_part(id)), json!({}));
        if let Err(error) = self.value(&call).await {
            tracing::warn!(%error, "a statement that takes too long could not be cancelled");
        }
        WorkspaceError::Slow { doing: doing.to_owned(), within_s: self.limits().statement_within.as_secs(), state }
    }

    /// The rows of a statement that succeeded, chunk by chunk.
    async fn rows(&self, doing: &str, mut ended: Value) -> Result<Rows, WorkspaceError> {
        let id = ended["statement_id"].as_str().unwrap_or_default().to_owned();
        let manifest = ended["manifest"].take();
        if manifest["truncated"] == json!(true) {
            return Err(WorkspaceError::broken(doing, "the result is too long and was cut off"));
        }
        let columns = manifest["schema"]["columns"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut rows = Rows {
            columns: columns.iter().map(|column| column["name"].as_str().unwrap_or_default().to_owned()).collect(),
            rows: Vec::new(),
        };
        let (mut chunk, mut bytes) = (ended["result"].take(), 0);
        for _ in 0..self.limits().pages_max {
            let Value::Array(arrays) = chunk["data_array"].take() else { break };
            for array in arrays {
                let Value::Array(values) = array else { return Err(WorkspaceError::broken(doing, "a row of the result is no list")) };
                let row: Vec<Option<String>> = values.into_iter().map(text).collect();
                bytes += row.iter().flatten().map(String::len).sum::<usize>();
                rows.rows.push(row);
            }
            if bytes > self.limits().rows_bytes_max {
                return Err(WorkspaceError::broken(doing, "the result has more rows than fit into memory"));
            }
            let Some(next) = chunk["next_chunk_index"].as_u64() else { break };
            let path = format!("{STATEMENTS}/{}/result/chunks/{next}", path_part(&id));
            chunk = match self.value(&Call::get(doing, &path)).await {
                Err(WorkspaceError::Missing { doing, message }) => {
                    return Err(WorkspaceError::Failed { doing, code: "NOT_FOUND".to_owned(), message, is_transient: true });
                }
                ended => ended?,
            };
        }
        match manifest["total_row_count"].as_u64() {
            Some(count) if count != rows.rows.len() as u64 => {
                Err(WorkspaceError::broken(doing, &format!("{} rows came, but there are {count}", rows.rows.len())))
            }
            _ => Ok(rows),
        }
    }
}

/// Whether somebody cancelled the statement, or stopped its warehouse.
fn is_cancelled(error: &WorkspaceError) -> bool {
    matches!(error, WorkspaceError::Failed { code, .. } if code == CANCELED)
}

/// A value as text. All are, by the format that was asked for.
fn text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_shown_by_its_beginning() {
        assert_eq!(Statement::new("SELECT\n  1").shown(), "SELECT 1");
        let long = Statement::new(format!("INSERT INTO t SELECT '{}'", "ä".repeat(100)));
        assert_eq!(long.shown().chars().count(), SHOWN_CHARS + 1);
    }

    #[test]
    fn columns_are_found_by_name() {
        let rows = Rows { columns: vec!["a".into(), "B".into()], rows: vec![vec![None, Some("1".into())], vec![Some("x".into()), None]] };
        assert_eq!(rows.column("b"), Some(vec![Some("1"), None]));
        assert_eq!((rows.value("a"), rows.value("b"), rows.value("c")), (None, Some("1"), None));
    }
}
