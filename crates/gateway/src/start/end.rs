//! From the order to stop to the end: not ready but serving, then draining, then cut. A second order shortens all of it.
//! Decides the order of these steps; how a connection ends is the edge's. Tests: `it/drain.rs`.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::app::App;
use crate::serve::{Edge, Signals};

/// How long each step may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// How long requests are still served after readiness went, for balancers to notice.
    pub delay: Duration,
    /// How long what is in flight may go on after that.
    pub grace: Duration,
}

/// Ends serving; returns when no connection is left.
pub(super) async fn end(app: &App, edge: &Edge, signals: &mut Signals, patience: Patience) {
    app.begin_leaving();
    let hurried = tokio::select! {
        () = orderly(app, edge, patience) => return,
        () = signals.next() => edge.open_connections(),
    };
    app.begin_drain();
    tracing::warn!(connections = hurried, "told to stop a second time: ending at once");
    edge.drain(Instant::now()).await;
}

async fn orderly(app: &App, edge: &Edge, patience: Patience) {
    if !patience.delay.is_zero() {
        tracing::info!(delay_ms = patience.delay.as_millis() as u64, "stopping: not ready any more, still serving");
        sleep(patience.delay).await;
    }
    app.begin_drain();
    tracing::info!("stopping: requests in flight may finish");
    let cut = edge.drain(Instant::now() + patience.grace).await;
    if cut > 0 {
        tracing::warn!(connections = cut, "cut at the end of the grace period");
    }
}
