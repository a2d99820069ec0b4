//! `postgres_logs`: a PostgreSQL server's own log lines.

use freshet_parse::Line;

use crate::event::Event;
use crate::router_requests::unique;
use crate::table::{Table, table, table_methods};

table! {
    log table TABLE as PostgresLogs, "postgres_logs", "One line of a Heroku Postgres server's own log" {
        pid: Int, "Process id of the backend";
        line: Int, "Number of the log entry within the backend";
        part: Int, "Part of the entry, from 1: long entries come in several lines";
        tag: Text, "Colour or follower name of the database";
        sql_error_code: Text, "SQLSTATE; 00000 is success";
        level: Text, "LOG, ERROR, FATAL, STATEMENT, DETAIL, HINT, NOTICE, ...";
        text: Text, "What the server said";
        fields: TextMap, "The key=value pairs before the level";
    }
}

impl Table for PostgresLogs {
    table_methods!(TABLE, shared.ts);

    fn wants(&self, event: &Event<'_>) -> bool {
        matches!(event, Event::Message(_, Line::PostgresLog(_)))
    }

    fn add(&mut self, event: &Event<'_>) {
        let Event::Message(message, Line::PostgresLog(log)) = event else { return };
        self.shared.push(message);
        self.pid.push(log.pid);
        self.line.push(log.line);
        self.part.push(log.part);
        self.tag.push_field(log.tag);
        self.sql_error_code.push_field(log.sql_error_code);
        self.level.push_field(log.level);
        self.text.push_field(log.text);
        self.fields.push(unique(&log.fields));
    }
}
