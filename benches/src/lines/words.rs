//! The small shop that the logs tell of. Hosts and addresses are those set aside for documentation.

use crate::random::Random;
use crate::text::Text;

/// Web dynos.
pub const WEB: [&str; 4] = ["web.1", "web.2", "web.3", "web.4"];
/// Worker dynos.
pub const WORKERS: [&str; 2] = ["worker.1", "worker.2"];
/// One-off dynos.
pub const ONE_OFF: [&str; 4] = ["run.4821", "scheduler.7312", "release.1204", "run.9006"];
/// Backends of the database server.
pub const BACKENDS: [&str; 5] = ["postgres.1843", "postgres.1127530", "postgres.77", "postgres.204815", "postgres.2979"];
/// Where the shop answers.
pub const HOSTS: [&str; 3] = ["shop.example.com", "www.example.com", "shop-3f2a91c07d44.herokuapp.com"];
/// Who deploys.
pub const USERS: [&str; 3] = ["ada@example.com", "grace@example.com", "ci@example.com"];
/// What is sold.
pub const PRODUCTS: [&str; 8] = ["teapot", "lamp", "rug", "bookshelf", "kettle", "chair", "clock", "vase"];
/// What customers look for: percent-encoded, as a browser sends it.
pub const SEARCHES: [&str; 6] = ["teapot", "blue%20lamp", "wool+rug", "chair%20%26%20table", "caf%C3%A9", "clock&page=2"];
/// The app's number in its dynos' metrics.
pub const APP_ID: u64 = 214_905_337;

/// A page of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// A page without a number in its path.
    Named(&'static str),
    /// One product.
    Product(u64),
    /// One order, over the API.
    Order(u64),
    /// A search.
    Search(&'static str),
    /// A compiled asset.
    Asset(u64),
}

impl Page {
    /// A page as visitors choose them.
    pub fn any(random: &mut Random) -> Self {
        match random.below(100) {
            0..=9 => Self::Named("/"),
            10..=39 => Self::Product(random.between(1, 5_000)),
            40..=49 => Self::Search(random.pick(&SEARCHES)),
            50..=59 => Self::Named("/cart"),
            60..=69 => Self::Named("/checkout"),
            70..=84 => Self::Order(random.between(100_000, 999_999)),
            85..=94 => Self::Asset(random.below(12)),
            95..=97 => Self::Named("/healthz"),
            _ => Self::Named("/account/orders"),
        }
    }

    /// What a request for it does most often.
    #[must_use]
    pub fn method(self) -> &'static str {
        match self {
            Self::Named("/checkout" | "/cart") => "POST",
            _ => "GET",
        }
    }

    /// How long it usually takes, in milliseconds.
    #[must_use]
    pub fn typical_ms(self) -> u64 {
        match self {
            Self::Asset(_) | Self::Named("/healthz") => 2,
            Self::Product(_) | Self::Named("/") => 35,
            Self::Search(_) => 90,
            Self::Named("/checkout") => 140,
            Self::Named(_) | Self::Order(_) => 60,
        }
    }

    /// Writes its path, with the key in the query when keys are wanted.
    pub fn write(self, text: &mut Text) {
        let before_key = match self {
            Self::Search(_) => "&",
            _ => "?",
        };
        match self {
            Self::Named(path) => text.str(path),
            Self::Product(id) => text.str("/products/").number(id),
            Self::Order(id) => text.str("/api/orders/").number(id).str(".json"),
            Self::Search(words) => text.str("/search?q=").str(words),
            Self::Asset(id) => text.str("/assets/app-62f13e9f7cb78a2b3e436feaedd0").padded(id, 4).str(".css"),
        }
        .key(before_key);
    }
}

/// Writes an address of a visitor.
pub fn address(text: &mut Text, random: &mut Random) {
    const NETWORKS: [&str; 3] = ["192.0.2.", "198.51.100.", "203.0.113."];
    text.str(random.pick(&NETWORKS)).number(random.between(1, 255));
}
