//! A server that answers as it is told: as Heroku's API, or as whatever stands before a Freshet.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// The token that [`Api`] takes.
pub(crate) const TOKEN: &str = "HRKU-0000-t0ken";

/// A request, as far as anybody looks at it.
pub(crate) struct Request {
    pub(crate) line: String,
    headers: Vec<String>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find_map(|header| header.split_once(": ").filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value))
    }
}

/// An answer: status, headers of its own, body.
pub(crate) type Reply = (u16, Vec<(&'static str, String)>, String);

/// A listening server; its threads end with the test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                std::thread::spawn(move || serve(&stream, &*answer, &log));
            }
        });
        Self { address, seen }
    }

    /// The same answer to everything.
    pub(crate) fn always(status: u16, headers: Vec<(&'static str, String)>, body: &'static str) -> Self {
        Self::start(move |_| (status, headers.clone(), body.to_owned()))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The request lines so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, answer: &dyn Fn(&Request) -> Reply, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    while let Some(line) = lines.next() {
        let headers = lines.by_ref().take_while(|header| !header.is_empty()).collect();
        log.lock().unwrap().push(line.clone());
        let (status, headers, body) = answer(&Request { line, headers });
        let own: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let text = format!("HTTP/1.1 {status} Status\r\n{own}Content-Length: {}\r\n\r\n{body}", body.len());
        // The binary may have had enough.
        let mut writer = stream;
        if writer.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

/// A Platform API with one account, as far as `freshet check` asks it.
#[derive(Clone)]
pub(crate) struct Api {
    /// The caller's own apps.
    pub(crate) apps: Vec<&'static str>,
    /// The apps of its one team.
    pub(crate) team_apps: Vec<&'static str>,
    /// Apps on one page.
    pub(crate) page: usize,
    /// Requests left.
    pub(crate) remaining: u64,
    /// Scopes, where it tells.
    pub(crate) scopes: Option<Vec<&'static str>>,
    /// Seconds that its clock is before ours.
    pub(crate) clock_ahead_s: i64,
    /// An error in place of the account.
    pub(crate) account_error: Option<(u16, &'static str)>,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            apps: vec!["billing", "shop-eu", "shop-us"],
            team_apps: vec!["team-app"],
            page: 1000,
            remaining: 4321,
            scopes: None,
            clock_ahead_s: 0,
            account_error: None,
        }
    }
}

impl Api {
    pub(crate) fn start(self) -> Server {
        Server::start(move |request| self.answer(request))
    }

    fn answer(&self, request: &Request) -> Reply {
        let path = request.line.split(' ').nth(1).unwrap();
        let now = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(self.clock_ahead_s);
        let mut headers = vec![("Date", now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())];
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let accept = request.header("accept");
        assert_eq!(accept, Some("application/vnd.heroku+json; version=3"));
        let (status, body) = match path {
            // An API that is badly made repeats what it was sent.
            _ if token != Some(TOKEN) => {
                (401, json!({ "id": "unauthorized", "message": format!("Invalid credentials provided: {token:?}.") }))
            }
            "/account" => match self.account_error {
                Some((status, id)) => (status, json!({ "id": id, "message": "An explanation." })),
                None => (200, json!({ "email": "jane@example.com", "id": "1" })),
            },
            "/oauth/authorizations/~" => match &self.scopes {
                Some(scopes) => (200, json!({ "scope": scopes, "access_token": { "token": TOKEN } })),
                None => (404, json!({ "id": "not_found", "message": "Couldn't find that OAuth authorization." })),
            },
            "/account/rate-limits" => (200, json!({ "remaining": self.remaining })),
            "/teams" => (200, json!([{ "id": "7-a", "name": "team" }])),
            "/teams/7-a/apps" => (200, apps(&self.team_apps)),
            "/apps" => self.apps_page(request.header("range").unwrap(), &mut headers),
            _ => (404, json!({ "id": "not_found", "message": "The requested API endpoint was not found." })),
        };
        (status, headers, body.to_string())
    }

    fn apps_page(&self, range: &str, headers: &mut Vec<(&'static str, String)>) -> (u16, Value) {
        let from: usize = match range {
            "id ..; max=1000" => 0,
            _ => range.strip_prefix("id ]").and_then(|rest| rest.split_once("..; max=1000")).expect(range).0.parse().expect(range),
        };
        let to = self.apps.len().min(from + self.page);
        let whole = to == self.apps.len();
        if !whole {
            headers.push(("Next-Range", format!("id ]{to}..; max=1000")));
        }
        (if whole { 200 } else { 206 }, apps(&self.apps[from..to]))
    }
}

fn apps(names: &[&str]) -> Value {
    names.iter().map(|name| json!({ "name": name, "id": format!("id-of-{name}") })).collect()
}
