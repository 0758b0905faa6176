//! Figures of one measurement, and the medians of many. Knows arithmetic only. Tests at the foot.

use std::collections::BTreeMap;

use super::table::{Row, Table};

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gateway {
    /// The upstream itself.
    Direct,
    Nginx,
    Waypost,
}

impl Gateway {
    pub(super) const ALL: [Self; 3] = [Self::Direct, Self::Nginx, Self::Waypost];
}

/// One measurement; times in microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Measured {
    pub(super) errors: u64,
    pub(super) per_second: f64,
    pub(super) cpu_per_request: f64,
    pub(super) cpu_per_chunk: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
}

impl Measured {
    /// From what the load said, in nanoseconds, and the microseconds of CPU the gateway spent meanwhile.
    pub(super) fn new(figures: &BTreeMap<String, u64>, cpu: u64) -> Self {
        let figure = |name: &str| figures.get(name).copied().unwrap_or(0) as f64;
        let per = |count: f64| if count > 0.0 { cpu as f64 / count } else { 0.0 };
        let seconds = figure("elapsed") / 1e9;
        Self {
            // A load that said nothing has failed.
            errors: figures.get("errors").copied().unwrap_or(1),
            per_second: if seconds > 0.0 { figure("requests") / seconds } else { 0.0 },
            cpu_per_request: per(figure("requests")),
            cpu_per_chunk: per(figure("chunks")),
            p50: figure("p50") / 1e3,
            p99: figure("p99") / 1e3,
        }
    }
}

/// A gateway under open streams.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) held: u64,
    pub(super) kb_per_stream: f64,
    pub(super) resident_mb: f64,
    pub(super) micros_per_chunk: f64,
}

/// Measurements by who was asked and what for.
#[derive(Debug, Default)]
pub(super) struct Samples(BTreeMap<(Gateway, String), Vec<Measured>>);

impl Samples {
    pub(super) fn add(&mut self, gateway: Gateway, kind: &str, measured: Measured) {
        self.0.entry((gateway, kind.to_owned())).or_default().push(measured);
    }

    /// The rows of requests and streams, with their targets for a gateway with everything on.
    pub(super) fn fill(&self, table: &mut Table) {
        let cpu = |kind: &'static str| self.all(kind, |one| one.cpu_per_request);
        table.push(Row::new("CPU µs per 2 KB chat, 32 connections", cpu("chat")).ratio_at_most(1.6));
        table.push(Row::new("CPU µs per 100 KB chat, 32 connections", cpu("large")).ratio_at_most(1.0));
        let mut translated = cpu("chat");
        translated.waypost = self.median(Gateway::Waypost, "translated", |one| one.cpu_per_request);
        table.push(Row::new("CPU µs per translated 2 KB chat (to Anthropic)", translated).ratio_at_most(2.7));
        let chunks = self.all("stream", |one| one.cpu_per_chunk);
        table.push(Row::new("CPU µs per relayed stream event, 100 streams", chunks).ratio_at_most(1.3));
        table.push(Row::new("requests per second, 32 connections", self.all("chat", |one| one.per_second)));
        table.push(Row::new("requests per second per core of the gateway", self.per_core()).ratio_at_least(0.65));
        table.push(Row::new("p50 µs at 500/s", self.all("rate", |one| one.p50)).above_nginx_at_most(60.0));
        table.push(Row::new("p99 µs at 500/s", self.all("rate", |one| one.p99)).above_nginx_at_most(250.0));
    }

    /// The rows of timed chunks. The target is what is added to the upstream's own delay.
    pub(super) fn fill_chunks(&self, table: &mut Table) {
        table
            .push(Row::new("p50 µs of a stream's chunk", self.all("chunks", |one| one.p50)).above_direct_at_most(20.0));
        table.push(
            Row::new("p99 µs of a stream's chunk", self.all("chunks", |one| one.p99)).above_direct_at_most(150.0),
        );
    }

    fn per_core(&self) -> Three {
        let cpu = self.all("chat", |one| one.cpu_per_request);
        let inverse = |micros: f64| if micros > 0.0 { 1e6 / micros } else { 0.0 };
        Three { direct: 0.0, nginx: inverse(cpu.nginx), waypost: inverse(cpu.waypost) }
    }

    fn all(&self, kind: &str, figure: fn(&Measured) -> f64) -> Three {
        Three {
            direct: self.median(Gateway::Direct, kind, figure),
            nginx: self.median(Gateway::Nginx, kind, figure),
            waypost: self.median(Gateway::Waypost, kind, figure),
        }
    }

    fn median(&self, gateway: Gateway, kind: &str, figure: fn(&Measured) -> f64) -> f64 {
        let found = self.0.get(&(gateway, kind.to_owned()));
        median(found.into_iter().flatten().map(figure).collect())
    }
}

/// One figure of each; 0 where there is none.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Three {
    pub(super) direct: f64,
    pub(super) nginx: f64,
    pub(super) waypost: f64,
}

/// The middle value, of an even number the lower of the two; 0 of nothing.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_a_value_that_was_measured() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]).to_string(), "2");
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]).to_string(), "2");
        assert_eq!(median(vec![]).to_string(), "0");
    }

    #[test]
    fn a_load_that_said_nothing_has_failed() {
        assert_eq!(Measured::new(&BTreeMap::new(), 0).errors, 1);
    }
}
