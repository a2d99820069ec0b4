//! When each drain last delivered, by the lake.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use freshet_core::{Clock as _, Micros, SystemClock};
use freshet_query::Engine;

use crate::cli::Global;
use crate::config::Settings;
use crate::lake;

/// How far back the lake is asked at least: further is not read, whatever it holds.
const ASKED_BACK: Duration = Duration::from_secs(7 * 24 * 3600);

/// What the lake says.
pub(super) struct Deliveries {
    /// The last time that something came from a drain, by its token.
    pub(super) last: BTreeMap<String, Micros>,
    /// Now.
    pub(super) now: Micros,
    /// A drain that has delivered nothing for so long is silent.
    pub(super) silent_after: Duration,
}

/// Asks the lake.
///
/// # Errors
/// Nobody wants to know, or there is nothing to ask: in words.
pub(super) async fn ask(global: &Global, settings: &Settings, silent_after: Duration) -> Result<Deliveries, String> {
    if silent_after.is_zero() {
        return Err("it was not asked".to_owned());
    }
    let now = SystemClock.now();
    let words = |error: anyhow::Error| error.to_string().lines().next().unwrap_or_default().to_owned();
    let lake = lake::existing(global, settings).await.map_err(words)?;
    let back = i64::try_from(silent_after.max(ASKED_BACK).as_micros()).unwrap_or(i64::MAX);
    // Whole days: it is the column by which files are laid out.
    let since = Micros(now.0.saturating_sub(back)).days();
    let sql = format!(
        "SELECT arrow_cast(drain_token, 'Utf8'), arrow_cast(max(received_at), 'Int64') FROM logs \
         WHERE drain_token IS NOT NULL AND arrow_cast(date, 'Int32') >= {since} GROUP BY drain_token"
    );
    let last = async {
        let mut last = BTreeMap::new();
        for batch in Engine::new(lake).await?.query(&sql).await?.collect().await? {
            let (tokens, times) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
            last.extend(tokens.iter().zip(times.iter()).filter_map(|(token, time)| Some((token?.to_owned(), Micros(time?)))));
        }
        Ok::<_, freshet_query::QueryError>(last)
    };
    Ok(Deliveries { last: last.await.map_err(|error| error.to_string())?, now, silent_after })
}
