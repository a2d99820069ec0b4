//! Streams that are due now, because something told so: a webhook is a hint that what it is about has changed.
//!
//! A hint costs nothing and promises nothing. A stream that was told of twice is due once, one that nobody tells of is read by the
//! schedule all the same, and hints that come before anybody waits are kept.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use freshet_tables::platform::streams;
use tokio::sync::Notify;

/// The streams that are due. Clones share them. It never holds more than there are streams.
#[derive(Clone, Default)]
pub(crate) struct Due(Arc<Shared>);

#[derive(Default)]
struct Shared {
    streams: Mutex<BTreeSet<&'static str>>,
    more: Notify,
}

impl Due {
    /// Makes the streams due that list objects of `resource`, by the name that webhooks have for it. Does not block.
    pub(crate) fn tell(&self, resource: &str) {
        let found = of_resource(resource);
        if found.is_empty() {
            tracing::debug!(resource, "webhook of a resource that no stream lists");
            return;
        }
        self.streams().extend(found);
        self.0.more.notify_one();
    }

    /// Waits until streams are due, and takes them: their names, sorted. For one waiter. When the future is dropped, nothing is lost.
    pub(crate) async fn next(&self) -> BTreeSet<&'static str> {
        loop {
            let due = std::mem::take(&mut *self.streams());
            if !due.is_empty() {
                return due;
            }
            self.0.more.notified().await;
        }
    }

    fn streams(&self) -> MutexGuard<'_, BTreeSet<&'static str>> {
        self.0.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The streams with a list of `resource`. Webhooks say `addon` where the API's schema says `add-on`.
fn of_resource(resource: &str) -> BTreeSet<&'static str> {
    let plain = |name: &str| name.replace('-', "");
    let wanted = plain(resource);
    let lists_it = |lists: &[freshet_core::ListDef]| lists.iter().any(|list| plain(list.resource) == wanted);
    streams().iter().filter(|stream| lists_it(stream.lists)).map(|stream| stream.name).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_entity_of_webhooks_has_its_stream() {
        fn check(resource: &str, stream: &str) {
            assert!(of_resource(resource).contains(stream), "{resource}: {:?}", of_resource(resource));
        }
        check("addon-attachment", "addon_attachments");
        check("addon", "addons");
        check("app", "apps");
        check("build", "builds");
        check("collaborator", "collaborators");
        check("domain", "domains");
        check("dyno", "dynos");
        check("formation", "formation");
        check("release", "releases");
        check("sni-endpoint", "sni_endpoints");
        assert_eq!(of_resource("release").len(), 1);
        assert!(of_resource("weather").is_empty() && of_resource("").is_empty());
    }

    #[tokio::test]
    async fn what_was_told_is_due_once() {
        let due = Due::default();
        for resource in ["release", "weather", "dyno", "release"] {
            due.tell(resource);
        }
        assert_eq!(due.next().await, BTreeSet::from(["dynos", "releases"]));
        let none = tokio::time::timeout(Duration::from_millis(20), due.next()).await;
        assert!(none.is_err(), "{none:?}");
        let waiting = tokio::spawn({
            let due = due.clone();
            async move { due.next().await }
        });
        tokio::task::yield_now().await;
        due.tell("app");
        assert!(waiting.await.unwrap().contains("apps"));
    }
}
