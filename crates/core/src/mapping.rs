//! What models are called at providers: rules in layers, the nearest first. A `*` on the left stands for any run of
//! characters, and for the same run on the right. Rules are not chained. Tests are below.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Rules from public names to upstream names, nearest first.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    layers: Vec<Layer>,
}

/// The rules of one place in the config.
#[derive(Clone, Debug, Default)]
struct Layer {
    exact: BTreeMap<Box<str>, Box<str>>,
    /// The longest left sides first.
    wild: Vec<(Box<str>, Box<str>)>,
}

impl Mapping {
    /// Rules that hold where none of those before does.
    #[must_use]
    pub fn then<'r>(mut self, rules: impl IntoIterator<Item = (&'r String, &'r String)>) -> Self {
        let mut layer = Layer::default();
        for (from, to) in rules {
            if is_wild(from) {
                layer.wild.push((from.as_str().into(), to.as_str().into()));
            } else {
                layer.exact.insert(from.as_str().into(), to.as_str().into());
            }
        }
        layer.wild.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
        self.layers.push(layer);
        self
    }

    /// The upstream name of a public name, if a rule has one.
    pub fn upstream(&self, name: &str) -> Option<Cow<'_, str>> {
        self.layers.iter().find_map(|layer| match layer.exact.get(name) {
            Some(to) => Some(Cow::Borrowed(&**to)),
            None => layer.wild.iter().find_map(|(from, to)| rewrite(name, from, to).map(Cow::Owned)),
        })
    }
}

fn is_wild(side: &str) -> bool {
    side.contains('*')
}

/// `name` as `to`, with what the `*` of `from` stands for in the place of that of `to`; `None` if it is not a `from`.
pub(crate) fn rewrite(name: &str, from: &str, to: &str) -> Option<String> {
    let Some((head, tail)) = from.split_once('*') else {
        return (name == from).then(|| to.to_owned());
    };
    let run = name.strip_prefix(head)?.strip_suffix(tail)?;
    Some(to.replacen('*', run, 1))
}

/// What is wrong with one rule, if anything is.
pub(crate) fn fault(from: &str, to: &str) -> Option<&'static str> {
    let stars = |side: &str| side.matches('*').count();
    match (from.is_empty() || to.is_empty(), stars(from), stars(to)) {
        (true, ..) => Some("a model's name is not empty"),
        (false, 0, 1..) => Some("a `*` on the right needs one on the left"),
        (false, 2.., _) | (false, _, 2..) => Some("each side takes one `*`"),
        (false, ..) => None,
    }
}

/// The left sides of rules that lead back to themselves, each ring told once, by its first name.
pub(crate) fn rings(rules: &BTreeMap<String, String>) -> Vec<&str> {
    let mut rings = Vec::new();
    let mut known = BTreeSet::new();
    for from in rules.keys() {
        let mut way = vec![from.as_str()];
        while let Some((next, _)) = way.last().and_then(|at| rules.get(*at)).and_then(|to| rules.get_key_value(to)) {
            // A name that stands for itself is no ring.
            if way.last() == Some(&next.as_str()) || known.contains(next.as_str()) {
                break;
            }
            if let Some(begin) = way.iter().position(|seen| seen == next) {
                rings.extend(way.iter().skip(begin).min().copied());
                break;
            }
            way.push(next);
        }
        known.extend(way);
    }
    rings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect()
    }

    #[test]
    fn the_nearest_layer_wins_and_within_it_the_exact_name_then_the_longest_pattern() {
        let near = rules(&[("gpt-4", "near"), ("gpt-4*", "near/gpt-4*"), ("gpt-*", "n/*")]);
        let far = rules(&[("gpt-4", "far"), ("gpt-4o", "far"), ("claude", "far-claude")]);
        let mapping = Mapping::default().then(&near).then(&far);
        let upstream = |name: &str| mapping.upstream(name).map(Cow::into_owned);
        assert_eq!(upstream("gpt-4").as_deref(), Some("near"));
        assert_eq!(upstream("gpt-4o").as_deref(), Some("near/gpt-4o"));
        assert_eq!(upstream("gpt-5").as_deref(), Some("n/5"));
        assert_eq!(upstream("claude").as_deref(), Some("far-claude"));
        assert_eq!(upstream("llama"), None);
    }

    #[test]
    fn a_star_may_stand_anywhere_or_be_dropped() {
        assert_eq!(rewrite("my-gpt-eu", "my-*-eu", "eu/*").as_deref(), Some("eu/gpt"));
        assert_eq!(rewrite("gpt-4", "gpt-*", "one").as_deref(), Some("one"));
        assert_eq!(rewrite("aba", "ab*ba", "*"), None);
    }

    #[test]
    fn rules_that_cannot_be_meant_are_told() {
        assert_eq!(fault("a", "b"), None);
        assert_eq!(fault("a-*", "b-*"), None);
        assert!(fault("a", "b-*").unwrap().contains("on the left"));
        assert!(fault("*-*", "b").is_some() && fault("a*", "**").is_some() && fault("", "b").is_some());
    }

    #[test]
    fn each_ring_is_told_once() {
        let rules =
            rules(&[("a", "b"), ("b", "c"), ("c", "b"), ("d", "d"), ("e", "a"), ("x", "y"), ("y", "x"), ("z", "q")]);
        assert_eq!(rings(&rules), ["b", "x"]);
    }
}
