//! `router_requests`: one HTTP request seen by the router.

use freshet_parse::Line;

use crate::event::Event;
use crate::table::{Table, table, table_methods};

table! {
    log table TABLE as RouterRequests, "router_requests", "One HTTP request seen by the router; dyno is the dyno that served it" {
        at: Text, "info, warning or error";
        code: Text, "Heroku's error code, such as H12";
        desc: Text, "What the error code means, in Heroku's words";
        cause: Text, "More about the error";
        method: Text, "HTTP method";
        path: Text, "Request path with its query, as sent";
        host: Text, "Host header";
        request_id: Text, "X-Request-ID, also known to the app";
        fwd: Text, "X-Forwarded-For: the client's address, then proxies";
        connect_ms: Int, "Milliseconds to connect to the dyno";
        service_ms: Int, "Milliseconds from the dyno's connection to the end of its response";
        status: Int, "HTTP status; 499 when the client went away";
        bytes: Long, "Bytes sent to the client";
        protocol: Text, "http or https (old router); http1.1 or http2.0 (Router 2.0)";
        tls: Boolean, "Whether the client spoke TLS";
        tls_version: Text, "tls1.2, tls1.3 or unknown";
        sock: Text, "Whose socket failed: client or backend";
        queue_ms: Int, "queue= of routers before 2013, as sent";
        wait_ms: Int, "Milliseconds waited in that queue (old routers)";
        extra: TextMap, "Keys this version does not know";
    }
}

impl Table for RouterRequests {
    table_methods!(TABLE, shared.ts);

    fn wants(&self, event: &Event<'_>) -> bool {
        matches!(event, Event::Message(_, Line::Router(_)))
    }

    fn add(&mut self, event: &Event<'_>) {
        let Event::Message(message, Line::Router(router)) = event else { return };
        self.shared.push_for_dyno(message, router.dyno);
        self.at.push_field(router.at);
        self.code.push_field(router.code);
        self.desc.push_field(router.desc);
        self.cause.push_field(router.cause);
        self.method.push_field(router.method);
        self.path.push_field(router.path);
        self.host.push_field(router.host);
        self.request_id.push_field(router.request_id);
        self.fwd.push_field(router.fwd);
        self.connect_ms.push(router.connect_ms);
        self.service_ms.push(router.service_ms);
        self.status.push(router.status);
        self.bytes.push(router.bytes);
        self.protocol.push_field(router.protocol);
        self.tls.push(router.tls);
        self.tls_version.push_field(router.tls_version);
        self.sock.push_field(router.sock);
        self.queue_ms.push(router.queue_ms);
        self.wait_ms.push(router.wait_ms);
        self.extra.push(unique(&router.extra));
    }
}

/// The first of each key: a map with equal keys cannot be read by Spark. There are hardly ever more than two.
pub(crate) fn unique<'a>(pairs: &[(&'a [u8], &'a [u8])]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    pairs.iter().enumerate().filter(|(index, (key, _))| pairs[..*index].iter().all(|(earlier, _)| earlier != key)).map(|(_, pair)| *pair)
}
