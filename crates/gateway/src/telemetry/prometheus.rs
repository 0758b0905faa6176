//! Metrics as text: Prometheus 0.0.4, or OpenMetrics 1.0 for those who ask. Decides the form only; numbers come in whole and
//! leave as decimals without passing through floating point. Tests: `it/metrics.rs` and below.

use std::fmt::Write as _;

use http::HeaderValue;

use super::histogram::{Histogram, Scale};
use super::registry::{About, Labels, Word, Words};

/// Which text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Prometheus,
    OpenMetrics,
}

impl Form {
    /// What an `Accept` asks for; the older form if it does not say.
    pub fn of(accept: Option<&str>) -> Self {
        let weight = |kind: &str| {
            let ranges = accept.unwrap_or_default().split(',').map(str::trim);
            let fitting = ranges.filter(|range| range.split(';').next().is_some_and(|name| name.trim() == kind));
            fitting.map(quality).max()
        };
        match (weight("application/openmetrics-text"), weight("text/plain")) {
            (Some(open), plain) if open > 0 && plain.is_none_or(|plain| open >= plain) => Self::OpenMetrics,
            (Some(_) | None, _) => Self::Prometheus,
        }
    }

    pub fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        })
    }
}

/// The `q` of a media range, in thousandths.
fn quality(range: &str) -> u32 {
    let said = range.split(';').find_map(|part| part.trim().strip_prefix("q="));
    let Some(said) = said else { return 1000 };
    let (whole, fraction) = said.split_once('.').unwrap_or((said, ""));
    let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
    whole.parse::<u32>().unwrap_or(0) * 1000 + thousandths.parse::<u32>().unwrap_or(0)
}

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Counter,
    Gauge,
    Histogram,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A page of metrics being written, family by family.
pub struct Page {
    form: Form,
    text: String,
    about: About,
    kind: Type,
}

const NOTHING: About = About { name: "", help: "", labels: &[] };

impl Page {
    pub fn new(form: Form) -> Self {
        Self { form, text: String::with_capacity(16 << 10), about: NOTHING, kind: Type::Gauge }
    }

    /// Begins a family; the samples that follow are its.
    pub fn family(&mut self, about: &About, kind: Type) {
        (self.about, self.kind) = (*about, kind);
        // OpenMetrics names a counter without the ending that its samples have.
        let ending = if kind == Type::Counter && self.form == Form::Prometheus { "_total" } else { "" };
        let (name, kind) = (about.name, kind.name());
        let _ = writeln!(self.text, "# HELP {name}{ending} {}", about.help);
        let _ = writeln!(self.text, "# TYPE {name}{ending} {kind}");
    }

    /// A sample of a family that is counted.
    pub fn sample(&mut self, words: &Words, labels: &Labels, value: u64) {
        self.begin(self.ending());
        self.words(words, labels, None);
        let _ = writeln!(self.text, " {value}");
    }

    /// A sample whose labels are at hand as text.
    pub fn told(&mut self, values: &[&str], value: u64) {
        self.told_scaled(values, value, 1);
    }

    /// The same, of a value that has `per_unit` to the unit that is shown.
    pub fn told_scaled(&mut self, values: &[&str], value: u64, per_unit: u64) {
        self.begin(self.ending());
        let mut open = false;
        for (name, value) in self.about.labels.iter().zip(values) {
            label(&mut self.text, &mut open, name, value);
        }
        close(&mut self.text, open);
        self.text.push(' ');
        decimal(&mut self.text, value, per_unit);
        self.text.push('\n');
    }

    /// The samples of a histogram.
    pub fn histogram(&mut self, words: &Words, labels: &Labels, scale: &Scale, histogram: &Histogram) {
        let mut bound = String::new();
        let ends = scale.bounds.iter().map(Some).chain([None]);
        for (end, count) in ends.zip(histogram.cumulative()) {
            bound.clear();
            match end {
                None => bound.push_str("+Inf"),
                Some(end) => {
                    decimal(&mut bound, *end, scale.per_unit);
                    if self.form == Form::OpenMetrics && !bound.contains('.') {
                        bound.push_str(".0");
                    }
                }
            }
            self.begin("_bucket");
            self.words(words, labels, Some(&bound));
            let _ = writeln!(self.text, " {count}");
        }
        self.begin("_sum");
        self.words(words, labels, None);
        self.text.push(' ');
        decimal(&mut self.text, histogram.sum(), scale.per_unit);
        self.text.push('\n');
        self.begin("_count");
        self.words(words, labels, None);
        let _ = writeln!(self.text, " {}", histogram.count());
    }

    /// The whole page.
    pub fn finish(mut self) -> String {
        if self.form == Form::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn ending(&self) -> &'static str {
        match self.kind {
            Type::Counter => "_total",
            Type::Gauge | Type::Histogram => "",
        }
    }

    fn begin(&mut self, ending: &str) {
        self.text.push_str(self.about.name);
        self.text.push_str(ending);
    }

    fn words(&mut self, words: &Words, labels: &Labels, bound: Option<&str>) {
        let mut open = false;
        for (name, word) in self.about.labels.iter().zip(labels).filter(|(_, word)| **word != Word::NONE) {
            label(&mut self.text, &mut open, name, words.value(*word));
        }
        if let Some(bound) = bound {
            label(&mut self.text, &mut open, "le", bound);
        }
        close(&mut self.text, open);
    }
}

fn label(text: &mut String, open: &mut bool, name: &str, value: &str) {
    text.push(if std::mem::replace(open, true) { ',' } else { '{' });
    text.push_str(name);
    text.push_str("=\"");
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text.push('"');
}

fn close(text: &mut String, open: bool) {
    if open {
        text.push('}');
    }
}

/// A number of parts of a unit, in units. `per_unit` is a power of ten.
fn decimal(text: &mut String, value: u64, per_unit: u64) {
    let _ = write!(text, "{}", value / per_unit);
    let mut rest = value % per_unit;
    if rest == 0 {
        return;
    }
    text.push('.');
    let mut part = per_unit / 10;
    while rest > 0 && part > 0 {
        let _ = write!(text, "{}", rest / part);
        rest %= part;
        part /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_exactly() {
        for (value, per_unit, expected) in
            [(0, 1_000_000, "0"), (50, 1_000_000, "0.00005"), (1_280_000, 1_000_000, "1.28"), (7, 1, "7")]
        {
            let mut text = String::new();
            decimal(&mut text, value, per_unit);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn the_form_is_what_is_asked_for_most() {
        let scraper = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.2";
        for (accept, form) in [
            (None, Form::Prometheus),
            (Some("*/*"), Form::Prometheus),
            (Some(scraper), Form::OpenMetrics),
            (Some("application/openmetrics-text; version=1.0.0"), Form::OpenMetrics),
            (Some("application/openmetrics-text;q=0"), Form::Prometheus),
            (Some("application/openmetrics-text;q=0.3, text/plain;q=0.7"), Form::Prometheus),
        ] {
            assert_eq!(Form::of(accept), form, "{accept:?}");
        }
    }

    #[test]
    fn label_values_are_escaped() {
        let mut page = Page::new(Form::Prometheus);
        page.family(&About { name: "f", help: "Help.", labels: &["x"] }, Type::Gauge);
        page.told(&["a\"b\\c\nd"], 1);
        assert_eq!(page.finish(), "# HELP f Help.\n# TYPE f gauge\nf{x=\"a\\\"b\\\\c\\nd\"} 1\n");
    }
}
