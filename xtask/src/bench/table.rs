//! The one table: a figure for each, the ratio to nginx, the target and whether it is met. Tests at the foot.

use super::measure::{Gateway, Held, Three};

/// Rows in the order they were measured.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Row>);

/// One figure of each who was asked.
#[derive(Debug)]
pub(super) struct Row {
    name: String,
    figures: Three,
    target: Option<Target>,
}

#[derive(Debug, Clone, Copy)]
enum Target {
    RatioAtMost(f64),
    RatioAtLeast(f64),
    AboveNginx(f64),
    AboveDirect(f64),
    AtMost(f64),
    AtLeast(f64),
}

impl Row {
    pub(super) fn new(name: impl Into<String>, figures: Three) -> Self {
        Self { name: name.into(), figures, target: None }
    }

    /// A figure only Waypost has.
    pub(super) fn of_waypost(name: impl Into<String>, figure: f64) -> Self {
        Self::new(name, Three { waypost: figure, ..Three::default() })
    }

    /// No more than so many times nginx's.
    pub(super) fn ratio_at_most(self, most: f64) -> Self {
        self.target(Target::RatioAtMost(most))
    }

    /// No less than so many times nginx's.
    pub(super) fn ratio_at_least(self, least: f64) -> Self {
        self.target(Target::RatioAtLeast(least))
    }

    /// No more than so much above nginx's.
    pub(super) fn above_nginx_at_most(self, most: f64) -> Self {
        self.target(Target::AboveNginx(most))
    }

    /// No more than so much above the upstream's own.
    pub(super) fn above_direct_at_most(self, most: f64) -> Self {
        self.target(Target::AboveDirect(most))
    }

    /// No more than that.
    pub(super) fn at_most(self, most: f64) -> Self {
        self.target(Target::AtMost(most))
    }

    fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    fn met(&self) -> Option<bool> {
        let Three { direct, nginx, waypost } = self.figures;
        self.target.map(|target| match target {
            Target::RatioAtMost(most) => waypost <= most * nginx,
            Target::RatioAtLeast(least) => waypost >= least * nginx,
            Target::AboveNginx(most) => waypost <= nginx + most,
            Target::AboveDirect(most) => waypost <= direct + most,
            Target::AtMost(most) => waypost <= most,
            Target::AtLeast(least) => waypost >= least,
        })
    }

    fn cells(&self) -> [String; 7] {
        let Three { direct, nginx, waypost } = self.figures;
        let figure = |value: f64| match value {
            0.0 => "-".to_owned(),
            value if value >= 1000.0 => format!("{value:.0}"),
            value => format!("{value:.1}"),
        };
        let ratio = if nginx > 0.0 { format!("{:.2}", waypost / nginx) } else { "-".to_owned() };
        let target = match self.target {
            None => String::new(),
            Some(Target::RatioAtMost(most)) => format!("<= {most} x nginx"),
            Some(Target::RatioAtLeast(least)) => format!(">= {least} x nginx"),
            Some(Target::AboveNginx(most)) => format!("<= nginx + {most}"),
            Some(Target::AboveDirect(most)) => format!("<= direct + {most}"),
            Some(Target::AtMost(most)) => format!("<= {most}"),
            Some(Target::AtLeast(least)) => format!(">= {least}"),
        };
        let met = self.met().map_or("", |met| if met { "met" } else { "MISSED" });
        [self.name.clone(), figure(direct), figure(nginx), figure(waypost), ratio, target, met.to_owned()]
    }
}

impl Table {
    pub(super) fn push(&mut self, row: Row) {
        self.0.push(row);
    }

    /// The rows of so many open streams; both gateways are put side by side.
    pub(super) fn held(&mut self, gateway: Gateway, streams: u64, held: Held) {
        let rows = [
            (format!("KB per open stream, {streams} streams"), held.kb_per_stream, Some(Target::AtMost(40.0))),
            (format!("resident MB at {streams} streams"), held.resident_mb, None),
            (format!("CPU µs per event, {streams} streams at 1 event/s"), held.micros_per_chunk, None),
            (format!("streams that opened, of {streams}"), held.held as f64, Some(Target::AtLeast(streams as f64))),
        ];
        for (name, figure, target) in rows {
            let place = self.0.iter().position(|row| row.name == name).unwrap_or_else(|| {
                self.0.push(Row { name, figures: Three::default(), target });
                self.0.len() - 1
            });
            let Some(row) = self.0.get_mut(place) else { continue };
            match gateway {
                Gateway::Direct => row.figures.direct = figure,
                Gateway::Nginx => row.figures.nginx = figure,
                Gateway::Waypost => row.figures.waypost = figure,
            }
        }
    }

    /// A Markdown table, and how many targets were met.
    pub(super) fn render(&self) -> String {
        let head = ["figure", "direct", "nginx", "Waypost", "ratio", "target", "verdict"].map(str::to_owned);
        let rule = ["---", "---:", "---:", "---:", "---:", "---", "---"].map(str::to_owned);
        let lines = [head, rule].into_iter().chain(self.0.iter().map(Row::cells));
        let table: String = lines.map(|cells| format!("| {} |\n", cells.join(" | "))).collect();
        let verdicts: Vec<bool> = self.0.iter().filter_map(Row::met).collect();
        let met = verdicts.iter().filter(|met| **met).count();
        format!("\n{table}\n{met} of {} targets met.", verdicts.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row::new("x", Three { direct: 10.0, nginx: 20.0, waypost: 28.0 })
    }

    #[test]
    fn a_target_is_met_up_to_its_bound_and_not_beyond() {
        for (row, met) in [
            (row().ratio_at_most(1.4), true),
            (row().ratio_at_most(1.3), false),
            (row().ratio_at_least(1.5), false),
            (row().above_nginx_at_most(8.0), true),
            (row().above_nginx_at_most(7.0), false),
            (row().above_direct_at_most(18.0), true),
            (row().above_direct_at_most(17.0), false),
            (row().at_most(27.0), false),
        ] {
            assert_eq!(row.met(), Some(met), "{row:?}");
        }
    }

    #[test]
    fn the_table_counts_what_was_met() {
        let mut table = Table::default();
        table.push(row().ratio_at_most(1.4));
        table.push(row().ratio_at_most(1.0));
        table.push(row());
        let text = table.render();
        assert!(text.contains("| x | 10.0 | 20.0 | 28.0 | 1.40 | <= 1.4 x nginx | met |"), "{text}");
        assert!(text.ends_with("1 of 2 targets met."), "{text}");
    }
}
