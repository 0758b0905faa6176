//! A strict reader of Prometheus' text and of OpenMetrics: what it accepts, `promtool check metrics` accepts.

#![expect(clippy::panic, reason = "a page that cannot be read must fail the test, and say where")]

use std::collections::{BTreeMap, HashSet};

/// A page of metrics, family by family.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    pub(crate) families: BTreeMap<String, Family>,
}

#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

impl Exposition {
    /// Reads a page; panics at the first thing that is wrong with it.
    pub(crate) fn read(text: &str, open_metrics: bool) -> Self {
        let mut page = Self::default();
        let mut current: Option<(String, Family)> = None;
        let mut helped = String::new();
        assert!(text.ends_with('\n'), "the last line ends");
        let body = match open_metrics {
            true => text.strip_suffix("# EOF\n").expect("OpenMetrics ends with EOF"),
            false => text,
        };
        assert!(!body.contains("# EOF"));
        for line in body.lines() {
            assert!(!line.is_empty() && line.trim() == line, "{line:?}");
            if let Some(rest) = line.strip_prefix("# HELP ") {
                page.close(current.take());
                let (name, help) = rest.split_once(' ').expect("help has words");
                assert!(!help.is_empty() && !page.families.contains_key(name), "{line}");
                helped = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type has a kind");
                assert_eq!(name, helped, "HELP and TYPE go together");
                assert!(matches!(kind, "counter" | "gauge" | "histogram"), "{line}");
                assert!(is_name(name), "{name}");
                if kind == "counter" {
                    assert_eq!(name.ends_with("_total"), !open_metrics, "{line}");
                }
                current = Some((name.to_owned(), Family { kind: kind.to_owned(), samples: Vec::new() }));
            } else {
                assert!(!line.starts_with('#'), "{line}");
                let (_, family) = current.as_mut().unwrap_or_else(|| panic!("a sample without a family: {line}"));
                family.samples.push(sample(line));
            }
        }
        page.close(current);
        page
    }

    fn close(&mut self, family: Option<(String, Family)>) {
        let Some((name, family)) = family else { return };
        let mut seen = HashSet::new();
        for sample in &family.samples {
            assert!(seen.insert((sample.name.clone(), sample.labels.clone())), "{sample:?} stands twice");
            let base = name.trim_end_matches("_total");
            let endings: &[&str] = match family.kind.as_str() {
                "counter" => &["_total"],
                "gauge" => &[""],
                _ => &["_bucket", "_sum", "_count"],
            };
            assert!(endings.iter().any(|ending| sample.name == format!("{base}{ending}")), "{sample:?} in {name}");
            assert!(sample.value >= 0.0, "{sample:?}");
        }
        if family.kind == "histogram" {
            check_histogram(&name, &family);
        }
        assert!(self.families.insert(name.clone(), family).is_none(), "{name} stands twice");
    }

    /// The sum over the samples of this name whose labels are these, at least.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let samples = self.families.values().flat_map(|family| &family.samples);
        let fits = |sample: &&Sample| {
            let has = |(label, value): &(&str, &str)| sample.labels.get(*label).map(String::as_str) == Some(*value);
            sample.name == name && labels.iter().all(has)
        };
        samples.filter(fits).map(|sample| sample.value).sum()
    }

    /// Every value that a label has anywhere.
    pub(crate) fn values(&self, label: &str) -> HashSet<&str> {
        let samples = self.families.values().flat_map(|family| &family.samples);
        samples.filter_map(|sample| sample.labels.get(label).map(String::as_str)).collect()
    }
}

/// Bounds with their counts, the count of all, and how many sums there are.
type Series = (Vec<(f64, f64)>, f64, usize);

/// Buckets rise, end in +Inf, and agree with the count.
fn check_histogram(name: &str, family: &Family) {
    let mut series: BTreeMap<_, Series> = BTreeMap::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        let bound = labels.remove("le");
        let entry = series.entry(labels).or_default();
        match (sample.name.strip_prefix(name).expect("its own name"), bound) {
            ("_bucket", Some(bound)) => {
                let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().expect("a number") };
                entry.0.push((bound, sample.value));
            }
            ("_count", None) => entry.1 = sample.value,
            ("_sum", None) => entry.2 += 1,
            (ending, bound) => panic!("{name}{ending} with le {bound:?}"),
        }
    }
    for (labels, (buckets, count, sums)) in series {
        assert!(buckets.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1), "{name} {labels:?} {buckets:?}");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, count)), "{name} {labels:?}");
        assert_eq!(sums, 1, "{name} {labels:?}");
    }
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(plain)
}

fn sample(line: &str) -> Sample {
    let (head, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
    let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
    let Some((name, rest)) = head.split_once('{') else {
        assert!(is_name(head), "{line}");
        return Sample { name: head.to_owned(), labels: BTreeMap::new(), value };
    };
    assert!(is_name(name), "{line}");
    let mut rest = rest.strip_suffix('}').unwrap_or_else(|| panic!("{line}"));
    let mut labels = BTreeMap::new();
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
        assert!(is_name(label), "{line}");
        let (value, after) = quoted(after, line);
        assert!(!value.is_empty(), "an empty label is none: {line}");
        assert!(labels.insert(label.to_owned(), value).is_none(), "{label} stands twice: {line}");
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    Sample { name: name.to_owned(), labels, value }
}

fn quoted<'t>(text: &'t str, line: &str) -> (String, &'t str) {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &text[at + 1..]),
            '\\' => match letters.next().map(|(_, letter)| letter) {
                Some('n') => value.push('\n'),
                Some(letter @ ('\\' | '"')) => value.push(letter),
                other => panic!("`\\{other:?}` in {line}"),
            },
            letter => value.push(letter),
        }
    }
    panic!("an open label: {line}")
}
