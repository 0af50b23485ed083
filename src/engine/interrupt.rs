//! Ctrl-C: once, to stop after the running action; twice, to stop now.

use std::sync::Arc;

use tokio::sync::watch;

/// Counts the signals that ask for a stop. Cheap to clone; all clones count together.
#[derive(Debug, Clone)]
pub struct Interrupt {
    state: Arc<watch::Sender<(u32, i32)>>,
}

impl Default for Interrupt {
    fn default() -> Self {
        Self {
            state: Arc::new(watch::Sender::new((0, 0))),
        }
    }
}

impl Interrupt {
    /// A signal came.
    pub fn raise(&self, signal: i32) {
        self.state.send_modify(|(count, last)| {
            *count += 1;
            *last = signal;
        });
    }

    /// The signal, once at least `times` came.
    pub fn raised(&self, times: u32) -> Option<i32> {
        let (count, signal) = *self.state.borrow();
        (count >= times).then_some(signal)
    }

    /// Waits until at least `times` signals came; the last one's number.
    pub async fn wait(&self, times: u32) -> i32 {
        let mut receiver = self.state.subscribe();
        match receiver.wait_for(|(count, _)| *count >= times).await {
            Ok(state) => state.1,
            // The sender lives in self, so this cannot come about.
            Err(_) => std::future::pending().await,
        }
    }
}
