//! What the gateway tells of itself: metrics, traces and the access log. All of it is made from settled records,
//! by the records job, off the request path; gauges of the moment are read when somebody asks. Decides nothing about a
//! request. Tests: `it/metrics.rs`, `it/traces.rs`, `it/logs.rs`.

pub mod access_log;
pub mod convention;
pub mod histogram;
pub mod live;
pub mod metrics;
pub mod otlp;
pub mod process;
pub mod prometheus;
pub mod registry;
pub mod spans;
pub mod trace_header;
pub mod wall;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use waypost_core::error::{KINDS, Kind};

use crate::alerts;
use crate::logbook::RowCounts;

pub use metrics::Metrics;
pub use trace_header::trace_header;
pub use wall::{Wall, rfc_3339};

/// Everything that is counted or told, for the life of the process.
pub struct Telemetry {
    pub metrics: Metrics,
    /// Spans that were sent, and those that were not.
    pub spans: Arc<SpanCounts>,
    /// Rows of the database's log that were written, and those that were not.
    pub log_rows: Arc<RowCounts>,
    /// Lines of the access log that were lost to a pipe nobody reads.
    pub log_lines_dropped: Arc<AtomicU64>,
    /// Alerts that were told.
    pub alerts: Arc<alerts::Counts>,
    /// What may be worth an alert.
    pub sight: Arc<alerts::Sight>,
    refusals: [AtomicU64; KINDS.len()],
}

/// What became of spans.
#[derive(Debug, Default)]
pub struct SpanCounts {
    pub exported: AtomicU64,
    pub dropped: AtomicU64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            metrics: Metrics::default(),
            spans: Arc::default(),
            log_rows: Arc::default(),
            log_lines_dropped: Arc::default(),
            alerts: Arc::default(),
            sight: Arc::default(),
            refusals: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Telemetry {
    /// A request was refused before it was admitted.
    pub fn count_refusal(&self, kind: Kind) {
        if let Some(count) = self.refusals.get(kind as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Refusals by the kind's label.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        KINDS.iter().map(|row| row.label).zip(self.refusals.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}
