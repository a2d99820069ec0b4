//! The kinds of apps a company has: what they are asked for, how long that takes, and how they talk about it.

/// A kind of app.
#[derive(Debug)]
pub(super) struct Kind {
    /// The second half of the app's name.
    pub(super) name: &'static str,
    /// How it logs.
    pub(super) voice: Voice,
    /// How a Saturday's traffic compares with the average day's.
    pub(super) weekend: f64,
    /// What it is asked for.
    pub(super) endpoints: &'static [Endpoint],
    /// The jobs of its workers; none when it has no workers.
    pub(super) jobs: &'static [&'static str],
    /// Jobs per request.
    pub(super) jobs_per_request: f64,
    /// Its add-ons.
    pub(super) addons: &'static [&'static str],
    /// What the scheduler starts; nothing when there is no scheduler.
    pub(super) scheduled: &'static str,
    /// Config vars that somebody changes now and then.
    pub(super) config: &'static [&'static str],
}

/// How an app logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    /// Rails as it comes, each line tagged with the request's id.
    Rails,
    /// Rails with lograge: one line of logfmt for each request.
    Lograge,
    /// JSON of pino, the logger of Node.
    Json,
    /// Plain words, as Python servers write them.
    Plain,
    /// l2met's measurements.
    L2met,
}

/// Something that an app is asked for.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) method: &'static str,
    /// The path: `#` stands for a number, `*` for a word.
    pub(super) path: &'static str,
    /// What serves it, as Rails names it. Nothing serves a file: the app does not log it.
    pub(super) action: &'static str,
    /// How often it is asked for, against the others.
    pub(super) weight: u32,
    /// The median of its service time in milliseconds.
    pub(super) service_ms: f64,
    /// See [`crate::world::Chance::around`].
    pub(super) spread: f64,
    /// The median of the size of its answer.
    pub(super) bytes: f64,
    /// The status of a good answer.
    pub(super) status: u16,
}

impl Endpoint {
    /// Whether the program serves it and not the server's own file handling.
    pub(super) fn is_served_by_program(&self) -> bool {
        !self.action.is_empty()
    }
}

type Row = (&'static str, &'static str, &'static str, u32, f64, f64, f64, u16);

const fn endpoints<const N: usize>(rows: [Row; N]) -> [Endpoint; N] {
    const NONE: Endpoint = Endpoint { method: "", path: "", action: "", weight: 0, service_ms: 0.0, spread: 0.0, bytes: 0.0, status: 0 };
    let mut endpoints = [NONE; N];
    let mut place = 0;
    while place < N {
        let (method, path, action, weight, service_ms, spread, bytes, status) = rows[place];
        endpoints[place] = Endpoint { method, path, action, weight, service_ms, spread, bytes, status };
        place += 1;
    }
    endpoints
}

static SHOP: [Endpoint; 9] = endpoints([
    ("GET", "/", "HomeController#index", 16, 55.0, 0.45, 15_225.0, 200),
    ("GET", "/products/#", "ProductsController#show", 30, 38.0, 0.5, 5_200.0, 200),
    ("GET", "/search?q=*&page=#", "SearchController#index", 12, 140.0, 0.6, 7_300.0, 200),
    ("POST", "/cart", "CartsController#update", 10, 62.0, 0.5, 1_900.0, 302),
    ("POST", "/checkout", "CheckoutsController#create", 9, 210.0, 0.5, 2_400.0, 302),
    ("GET", "/checkout", "CheckoutsController#new", 6, 150.0, 0.5, 6_100.0, 200),
    ("GET", "/orders/#", "OrdersController#show", 6, 70.0, 0.5, 4_400.0, 200),
    ("GET", "/assets/app-62f13e9f7cb78a2b3e436feaedd0#.css", "", 8, 2.0, 0.4, 11_000.0, 200),
    ("GET", "/healthz", "", 3, 1.5, 0.3, 2.0, 200),
]);
static SEARCH: [Endpoint; 5] = endpoints([
    ("GET", "/v1/search?q=*&page=#", "search.query", 55, 85.0, 0.6, 8_800.0, 200),
    ("GET", "/v1/suggest?q=*", "search.suggest", 30, 12.0, 0.5, 900.0, 200),
    ("POST", "/v1/documents", "documents.create", 10, 30.0, 0.5, 310.0, 201),
    ("DELETE", "/v1/documents/#", "documents.destroy", 2, 22.0, 0.4, 0.0, 204),
    ("GET", "/healthz", "", 3, 1.0, 0.3, 2.0, 200),
]);
static API: [Endpoint; 6] = endpoints([
    ("GET", "/api/orders/#.json", "Api::OrdersController#show", 40, 42.0, 0.45, 3_400.0, 200),
    ("GET", "/api/orders.json?page=#", "Api::OrdersController#index", 15, 120.0, 0.5, 28_000.0, 200),
    ("POST", "/api/orders.json", "Api::OrdersController#create", 15, 95.0, 0.5, 1_100.0, 201),
    ("GET", "/api/authors/*/books", "Api::BooksController#index", 15, 33.0, 0.5, 2_256.0, 200),
    ("PATCH", "/api/stock/#", "Api::StockController#update", 12, 48.0, 0.5, 240.0, 200),
    ("GET", "/api/healthz", "", 3, 1.5, 0.3, 2.0, 200),
]);
static ACCOUNTS: [Endpoint; 5] = endpoints([
    ("POST", "/sessions", "sessions.create", 22, 180.0, 0.35, 700.0, 201),
    ("GET", "/sessions/current", "sessions.show", 45, 9.0, 0.4, 520.0, 200),
    ("POST", "/tokens", "tokens.refresh", 20, 25.0, 0.4, 980.0, 200),
    ("PUT", "/users/#", "users.update", 8, 55.0, 0.5, 650.0, 200),
    ("GET", "/healthz", "", 5, 1.0, 0.3, 2.0, 200),
]);
static BILLING: [Endpoint; 5] = endpoints([
    ("GET", "/invoices/#", "InvoicesController#show", 40, 90.0, 0.5, 9_800.0, 200),
    ("GET", "/invoices/#.pdf", "InvoicesController#pdf", 14, 900.0, 0.6, 84_000.0, 200),
    ("POST", "/webhooks/payments", "PaymentsController#create", 30, 65.0, 0.5, 2.0, 200),
    ("GET", "/reports/#", "ReportsController#show", 8, 2_600.0, 0.8, 190_000.0, 200),
    ("GET", "/healthz", "", 8, 1.5, 0.3, 2.0, 200),
]);
static MEDIA: [Endpoint; 4] = endpoints([
    ("GET", "/images/#/large.webp", "images.large", 45, 75.0, 0.7, 180_000.0, 200),
    ("GET", "/images/#/small.webp", "images.small", 40, 28.0, 0.6, 14_000.0, 200),
    ("POST", "/images", "images.create", 10, 620.0, 0.7, 410.0, 201),
    ("GET", "/healthz", "", 5, 1.0, 0.3, 2.0, 200),
]);
static ADMIN: [Endpoint; 6] = endpoints([
    ("GET", "/", "dashboard", 25, 160.0, 0.5, 21_000.0, 200),
    ("GET", "/customers?q=*", "customers", 25, 240.0, 0.6, 33_000.0, 200),
    ("GET", "/customers/#", "customer", 25, 110.0, 0.5, 12_000.0, 200),
    ("POST", "/customers/#/refunds", "refund", 6, 380.0, 0.5, 900.0, 303),
    ("GET", "/reports/*", "report", 9, 3_800.0, 0.9, 260_000.0, 200),
    ("GET", "/static/admin-#.js", "", 10, 3.0, 0.4, 48_000.0, 200),
]);
static MAILER: [Endpoint; 3] = endpoints([
    ("POST", "/messages", "messages.create", 60, 18.0, 0.4, 120.0, 202),
    ("POST", "/webhooks/bounces", "bounces.create", 25, 14.0, 0.4, 2.0, 200),
    ("GET", "/messages/#", "messages.show", 15, 11.0, 0.4, 1_800.0, 200),
]);

/// The kinds, the one with the most traffic first.
pub(super) static KINDS: [Kind; 8] = [
    Kind {
        name: "shop",
        voice: Voice::Rails,
        weekend: 1.1,
        endpoints: &SHOP,
        jobs: &["ReceiptJob", "StockSyncJob", "AbandonedCartJob"],
        jobs_per_request: 0.12,
        addons: &["heroku-postgresql:standard-0", "heroku-redis:premium-0", "scheduler:standard"],
        scheduled: "bundle exec rake carts:sweep",
        config: &["CHECKOUT_V2", "CACHE_TTL", "RAILS_MAX_THREADS", "WEB_CONCURRENCY"],
    },
    Kind {
        name: "api",
        voice: Voice::Lograge,
        weekend: 0.9,
        endpoints: &API,
        jobs: &["ExportJob", "PartnerSyncJob"],
        jobs_per_request: 0.06,
        addons: &["heroku-postgresql:standard-2", "heroku-redis:premium-0"],
        scheduled: "",
        config: &["RATE_LIMIT", "LOG_LEVEL", "PARTNER_TIMEOUT_MS"],
    },
    Kind {
        name: "accounts",
        voice: Voice::Json,
        weekend: 1.0,
        endpoints: &ACCOUNTS,
        jobs: &[],
        jobs_per_request: 0.0,
        addons: &["heroku-postgresql:essential-1"],
        scheduled: "",
        config: &["SESSION_DAYS", "LOG_LEVEL"],
    },
    Kind {
        name: "search",
        voice: Voice::Json,
        weekend: 1.1,
        endpoints: &SEARCH,
        jobs: &["reindex"],
        jobs_per_request: 0.04,
        addons: &["heroku-redis:premium-0"],
        scheduled: "",
        config: &["INDEX_SHARDS", "SUGGEST_MAX", "LOG_LEVEL"],
    },
    Kind {
        name: "billing",
        voice: Voice::Rails,
        weekend: 0.5,
        endpoints: &BILLING,
        jobs: &["InvoiceJob", "DunningJob", "LedgerJob"],
        jobs_per_request: 0.5,
        addons: &["heroku-postgresql:standard-0", "scheduler:standard"],
        scheduled: "bundle exec rake invoices:send",
        config: &["INVOICE_FOOTER", "DUNNING_DAYS"],
    },
    Kind {
        name: "media",
        voice: Voice::L2met,
        weekend: 1.1,
        endpoints: &MEDIA,
        jobs: &["thumbnail"],
        jobs_per_request: 0.1,
        addons: &["heroku-redis:mini"],
        scheduled: "",
        config: &["WEBP_QUALITY", "CACHE_BYTES_MAX"],
    },
    Kind {
        name: "admin",
        voice: Voice::Plain,
        weekend: 0.3,
        endpoints: &ADMIN,
        jobs: &[],
        jobs_per_request: 0.0,
        addons: &["heroku-postgresql:essential-0", "scheduler:standard"],
        scheduled: "python manage.py clear_sessions",
        config: &["FEATURE_REFUNDS", "REPORT_DAYS_MAX"],
    },
    Kind {
        name: "mailer",
        voice: Voice::L2met,
        weekend: 0.8,
        endpoints: &MAILER,
        jobs: &["deliver", "digest", "unsubscribe"],
        jobs_per_request: 2.0,
        addons: &["heroku-redis:premium-0"],
        scheduled: "",
        config: &["SMTP_POOL", "DIGEST_HOUR"],
    },
];

/// What people look for.
pub(super) const WORDS: [&str; 16] = [
    "chair",
    "lamp",
    "kettle",
    "clock",
    "teapot",
    "rug",
    "mirror",
    "bookshelf",
    "candle",
    "vase",
    "desk",
    "cushion",
    "blanket",
    "stool",
    "bowl",
    "basket",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_can_be_asked_for_something_that_its_program_serves() {
        for kind in &KINDS {
            assert!(kind.endpoints.iter().any(|endpoint| endpoint.is_served_by_program() && endpoint.weight > 0), "{}", kind.name);
            assert_eq!(kind.jobs.is_empty(), kind.jobs_per_request == 0.0, "{}", kind.name);
            assert_eq!(kind.scheduled.is_empty(), !kind.addons.contains(&"scheduler:standard"), "{}", kind.name);
            assert!(kind.endpoints.iter().all(|endpoint| endpoint.path.starts_with('/') && endpoint.service_ms > 0.0));
        }
    }
}
