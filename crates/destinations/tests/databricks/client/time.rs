//! A time in which every wait is over at once.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use freshet_web::Timer;

/// Who waits is there when the others have had a turn, and so is everybody's time.
#[derive(Default)]
pub struct JumpingTimer {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    now: Duration,
    waits: Vec<Duration>,
}

impl JumpingTimer {
    /// Every wait so far.
    pub fn waits(&self) -> Vec<Duration> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).waits.clone()
    }

    /// Lets time pass without anybody waiting.
    pub fn pass(&self, duration: Duration) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).now += duration;
    }
}

#[async_trait]
impl Timer for JumpingTimer {
    fn now(&self) -> Duration {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).now
    }

    async fn sleep(&self, duration: Duration) {
        let until = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.waits.push(duration);
            state.now + duration
        };
        tokio::task::yield_now().await;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now = state.now.max(until);
    }
}
