//! A catalog that governs a lake: it knows the tables, and hands out keys to their folders that hold for an hour or so.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use freshet_core::{Clock, DestinationError, Micros, Secret};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use object_store::azure::AzureCredential;
use object_store::gcp::GcpCredential;
use tokio::sync::Mutex;

use super::describe::Shape;

/// Keys are fetched anew so long before their end, or at half of their time where that is less.
const BEFORE_END: Duration = Duration::from_secs(300);

/// Who governs a lake. All methods may be called again after an error.
#[async_trait]
pub trait Catalog: fmt::Debug + Send + Sync {
    /// The names of the tables that it has in this lake.
    ///
    /// # Errors
    /// When it cannot be asked.
    async fn tables(&self) -> Result<Vec<String>, DestinationError>;

    /// Keys to the folder of table `name`, which need not be there yet.
    ///
    /// # Errors
    /// When it has none for us, or cannot be asked.
    async fn keys(&self, name: &str) -> Result<Keys, DestinationError>;

    /// Tells it of table `name`, which its log describes as `shape`. Cheap when it knows.
    ///
    /// # Errors
    /// When it has another table of this name, or does not want ours.
    async fn publish(&self, name: &str, shape: &Shape) -> Result<(), DestinationError>;
}

/// Keys to a folder, for a while.
#[derive(Clone, Debug)]
pub struct Keys {
    /// What a request is signed with.
    pub kind: KeyKind,
    /// When they end.
    pub end: Micros,
}

/// The kinds of keys that stores take.
#[derive(Clone, Debug)]
pub enum KeyKind {
    /// Amazon S3, and R2.
    Aws {
        /// The key's id.
        access_key_id: String,
        /// The key.
        secret_access_key: Secret,
        /// What says until when it holds.
        session_token: Option<Secret>,
    },
    /// A shared access signature of Azure: the query that is added to each request.
    AzureSas(Secret),
    /// A token of Entra's.
    AzureToken(Secret),
    /// A token of Google's.
    GoogleToken(Secret),
}

impl KeyKind {
    fn name(&self) -> &'static str {
        match self {
            Self::Aws { .. } => "S3",
            Self::AzureSas(_) | Self::AzureToken(_) => "Azure",
            Self::GoogleToken(_) => "Google",
        }
    }
}

/// What a store's client makes of keys; nothing when they are another store's.
pub(super) trait FromKeys: fmt::Debug + Send + Sync + Sized + 'static {
    fn from_keys(kind: &KeyKind) -> Option<Self>;
}

impl FromKeys for AwsCredential {
    fn from_keys(kind: &KeyKind) -> Option<Self> {
        let KeyKind::Aws { access_key_id, secret_access_key, session_token } = kind else { return None };
        Some(Self {
            key_id: access_key_id.clone(),
            secret_key: secret_access_key.reveal().to_owned(),
            token: session_token.as_ref().map(|token| token.reveal().to_owned()),
        })
    }
}

impl FromKeys for AzureCredential {
    fn from_keys(kind: &KeyKind) -> Option<Self> {
        match kind {
            KeyKind::AzureSas(query) => {
                let query = query.reveal().trim_start_matches('?');
                Some(Self::SASToken(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
            }
            KeyKind::AzureToken(token) => Some(Self::BearerToken(token.reveal().to_owned())),
            KeyKind::Aws { .. } | KeyKind::GoogleToken(_) => None,
        }
    }
}

impl FromKeys for GcpCredential {
    fn from_keys(kind: &KeyKind) -> Option<Self> {
        let KeyKind::GoogleToken(token) = kind else { return None };
        Some(Self { bearer: token.reveal().to_owned() })
    }
}

/// The keys to one table, fetched anew before they end; one fetch for all who wait.
#[derive(Debug)]
pub(super) struct TableKeys<Credential> {
    catalog: Arc<dyn Catalog>,
    table: String,
    clock: DebugClock,
    kept: Mutex<Option<Kept<Credential>>>,
}

#[derive(Debug)]
struct Kept<Credential> {
    credential: Arc<Credential>,
    renew_at: Micros,
    end: Micros,
}

struct DebugClock(Arc<dyn Clock>);

impl fmt::Debug for DebugClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl<Credential: FromKeys> TableKeys<Credential> {
    pub(super) fn new(catalog: Arc<dyn Catalog>, table: &str, clock: Arc<dyn Clock>) -> Self {
        Self { catalog, table: table.to_owned(), clock: DebugClock(clock), kept: Mutex::default() }
    }

    async fn fetch(&self, now: Micros) -> Result<Kept<Credential>, DestinationError> {
        let keys = self.catalog.keys(&self.table).await?;
        let Some(credential) = Credential::from_keys(&keys.kind) else {
            return Err(DestinationError::Refused {
                problem: format!("the catalog hands out keys of {} for table {}, which lies elsewhere", keys.kind.name(), self.table),
            });
        };
        let lifetime = keys.end.0.saturating_sub(now.0).max(0);
        let before_end = i64::try_from(BEFORE_END.as_micros()).unwrap_or(i64::MAX).min(lifetime / 2);
        Ok(Kept { credential: Arc::new(credential), renew_at: Micros(keys.end.0.saturating_sub(before_end)), end: keys.end })
    }
}

#[async_trait]
impl<Credential: FromKeys> CredentialProvider for TableKeys<Credential> {
    type Credential = Credential;

    async fn get_credential(&self) -> object_store::Result<Arc<Credential>> {
        // Held while fetching: those who come meanwhile want the same keys.
        let mut kept = self.kept.lock().await;
        let now = self.clock.0.now();
        if let Some(kept) = kept.as_ref().filter(|kept| now < kept.renew_at) {
            return Ok(Arc::clone(&kept.credential));
        }
        match self.fetch(now).await {
            Ok(fetched) => Ok(Arc::clone(&kept.insert(fetched).credential)),
            Err(error) => match kept.as_ref().filter(|kept| now < kept.end) {
                Some(kept) => {
                    tracing::warn!(table = self.table, %error, "keys could not be renewed, the old ones still hold");
                    Ok(Arc::clone(&kept.credential))
                }
                None => Err(object_store_error(error)),
            },
        }
    }
}

/// In the words of a store, where only its own kind of error fits; [`super::failure::failure`] finds ours again.
pub(super) fn object_store_error(error: DestinationError) -> object_store::Error {
    object_store::Error::Generic { store: "catalog", source: error.into() }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

    use super::*;

    const MINUTE: i64 = 60_000_000;

    #[derive(Debug, Default)]
    struct Vending {
        now: AtomicI64,
        fetches: AtomicUsize,
        is_down: std::sync::atomic::AtomicBool,
        is_google: bool,
    }

    impl Clock for Vending {
        fn now(&self) -> Micros {
            Micros(self.now.load(Ordering::SeqCst))
        }
    }

    #[async_trait]
    impl Catalog for Vending {
        async fn tables(&self) -> Result<Vec<String>, DestinationError> {
            Ok(Vec::new())
        }

        async fn keys(&self, _: &str) -> Result<Keys, DestinationError> {
            if self.is_down.load(Ordering::SeqCst) {
                return Err(DestinationError::Refused { problem: "the catalog is down".to_owned() });
            }
            tokio::task::yield_now().await;
            let count = self.fetches.fetch_add(1, Ordering::SeqCst) + 1;
            let kind = if self.is_google {
                KeyKind::GoogleToken(Secret::new("token".to_owned()))
            } else {
                KeyKind::Aws { access_key_id: count.to_string(), secret_access_key: Secret::new("secret".to_owned()), session_token: None }
            };
            Ok(Keys { kind, end: Micros(self.now().0 + 60 * MINUTE) })
        }

        async fn publish(&self, _: &str, _: &Shape) -> Result<(), DestinationError> {
            Ok(())
        }
    }

    fn keys(vending: &Arc<Vending>) -> TableKeys<AwsCredential> {
        TableKeys::new(Arc::clone(vending) as _, "logs", Arc::clone(vending) as _)
    }

    #[tokio::test]
    async fn keys_are_fetched_once_for_all_and_anew_before_they_end() {
        let vending = Arc::new(Vending::default());
        let keys = keys(&vending);
        let all = futures::future::join_all((0..8).map(|_| keys.get_credential())).await;
        assert!(all.into_iter().all(|key| key.unwrap().key_id == "1"));
        for (minute, expected) in [(54, "1"), (55, "2"), (109, "2"), (111, "3")] {
            vending.now.store(minute * MINUTE, Ordering::SeqCst);
            assert_eq!(keys.get_credential().await.unwrap().key_id, expected, "after {minute} min");
        }
        assert_eq!(vending.fetches.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn while_the_catalog_is_down_keys_serve_until_their_end_and_no_longer() {
        let vending = Arc::new(Vending::default());
        let keys = keys(&vending);
        keys.get_credential().await.unwrap();
        vending.is_down.store(true, Ordering::SeqCst);
        vending.now.store(59 * MINUTE, Ordering::SeqCst);
        assert_eq!(keys.get_credential().await.unwrap().key_id, "1");
        vending.now.store(60 * MINUTE, Ordering::SeqCst);
        let error = keys.get_credential().await.unwrap_err();
        let failure = super::super::failure::failure("write to table logs", error);
        assert!(matches!(&failure, DestinationError::Refused { problem } if problem.contains("the catalog is down")), "{failure:?}");
        vending.is_down.store(false, Ordering::SeqCst);
        assert_eq!(keys.get_credential().await.unwrap().key_id, "2");
    }

    #[tokio::test]
    async fn keys_of_another_store_are_refused() {
        let vending = Arc::new(Vending { is_google: true, ..Vending::default() });
        let error = keys(&vending).get_credential().await.unwrap_err();
        assert!(super::super::failure::failure("x", error).to_string().contains("keys of Google for table logs"));
    }

    #[test]
    fn a_signature_is_taken_apart() {
        let kind = KeyKind::AzureSas(Secret::new("?sv=2024&sig=a%2Bb%3D".to_owned()));
        let Some(AzureCredential::SASToken(pairs)) = AzureCredential::from_keys(&kind) else { panic!("no signature") };
        assert_eq!(pairs, [("sv".to_owned(), "2024".to_owned()), ("sig".to_owned(), "a+b=".to_owned())]);
    }
}
