//! What a user has spent, as they see it. Tests: `it/reports.rs`.

use schemars::JsonSchema;
use serde::Serialize;
use waypost_store::logbook::Sums;

use super::usage::SumsView;

/// What was used and what it cost.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "Billing")]
pub(in crate::http) struct BillingView {
    pub today: SumsView,
    pub last_30_days: SumsView,
    pub total: SumsView,
}

impl BillingView {
    /// Of today, of 30 days and of all days.
    pub(in crate::http) fn of(sums: &[Sums]) -> Self {
        let view = |place: usize| sums.get(place).map(SumsView::of).unwrap_or_default();
        Self { today: view(0), last_30_days: view(1), total: view(2) }
    }
}
