//! Series by their labels, with bounds on both: a caller that invents model names, or an owner that changes the file for a
//! year, cannot make the gateway or its scraper grow without end. Knows no metric by name. Tests are below.
//!
//! Ours rather than `prometheus-client`, because that writes OpenMetrics only, while scrapers may ask for the older text,
//! and because one job is the only writer here: plain numbers under one lock, which it takes once for a batch, cost it
//! less than an atomic and a lock for each series.

use std::sync::Arc;

/// A dozen look-ups for each record: the standard library's hash would be half of what the records job costs.
type HashMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;

/// The most labels a family has.
pub const MOST_LABELS: usize = 6;
/// The most series a family has; what is beyond is added up in one whose labels all are `other`.
pub const MOST_SERIES: usize = 5000;

/// A label's value, as its place in [`Words`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Word(u32);

impl Word {
    /// No value: the label is left out.
    pub const NONE: Self = Self(0);
    /// Stands for all values beyond a bound.
    pub const OTHER: Self = Self(1);
}

/// The labels of a series, in the order of its family; [`Word::NONE`] where it has fewer.
pub type Labels = [Word; MOST_LABELS];

/// Every value a label has had.
#[derive(Debug)]
pub struct Words {
    places: HashMap<Arc<str>, Word>,
    words: Vec<Arc<str>>,
}

impl Default for Words {
    fn default() -> Self {
        let mut words = Self { places: HashMap::default(), words: Vec::new() };
        for first in ["", "other"] {
            words.of(first);
        }
        words
    }
}

impl Words {
    /// The word of a value. Only for values from a closed set; others go through a [`Bound`].
    pub fn of(&mut self, value: &str) -> Word {
        if let Some(word) = self.places.get(value) {
            return *word;
        }
        let word = Word(u32::try_from(self.words.len()).unwrap_or(Word::OTHER.0));
        let value: Arc<str> = value.into();
        self.words.push(Arc::clone(&value));
        self.places.insert(value, word);
        word
    }

    /// The value of a word.
    pub fn value(&self, word: Word) -> &str {
        self.words.get(word.0 as usize).map_or("other", |value| value)
    }
}

/// The values one label has had, and how many it may have.
#[derive(Debug)]
pub struct Bound {
    seen: HashMap<Arc<str>, Word>,
    most: usize,
}

impl Bound {
    pub fn new(most: usize) -> Self {
        Self { seen: HashMap::default(), most }
    }

    /// The word of a value; that of `other` if it is one too many.
    pub fn word(&mut self, words: &mut Words, value: &str) -> Word {
        if let Some(word) = self.seen.get(value) {
            return *word;
        }
        if self.seen.len() >= self.most {
            return Word::OTHER;
        }
        let word = words.of(value);
        self.seen.insert(value.into(), word);
        word
    }
}

/// What a family of series is called and says.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Without the `_total` of counters.
    pub name: &'static str,
    pub help: &'static str,
    pub labels: &'static [&'static str],
}

/// Series that differ in their labels.
#[derive(Debug)]
pub struct Family<V> {
    pub about: About,
    series: HashMap<Labels, V>,
}

impl<V: Default> Family<V> {
    pub fn new(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { about: About { name, help, labels }, series: HashMap::default() }
    }

    /// The series with these labels, new if there was none.
    pub fn at<const N: usize>(&mut self, labels: [Word; N]) -> &mut V {
        let mut key = Labels::default();
        for (place, label) in key.iter_mut().zip(labels) {
            *place = label;
        }
        if self.series.len() >= MOST_SERIES && !self.series.contains_key(&key) {
            key.iter_mut().take(N).for_each(|label| *label = Word::OTHER);
        }
        self.series.entry(key).or_default()
    }

    /// Every series in the order of its labels' words, which does not change from scrape to scrape.
    pub fn sorted(&self) -> Vec<(&Labels, &V)> {
        let mut series: Vec<_> = self.series.iter().collect();
        series.sort_unstable_by_key(|(labels, _)| labels.map(|label| label.0));
        series
    }

    pub fn len(&self) -> usize {
        self.series.len()
    }

    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_a_bound_is_other() {
        let mut words = Words::default();
        let mut bound = Bound::new(2);
        let seen: Vec<_> = ["a", "b", "c", "a", "d"].map(|value| bound.word(&mut words, value)).to_vec();
        assert_eq!(seen.iter().map(|word| words.value(*word)).collect::<Vec<_>>(), ["a", "b", "other", "a", "other"]);
    }

    #[test]
    fn a_family_stops_growing_and_loses_nothing() {
        let mut words = Words::default();
        let mut family: Family<u64> = Family::new("f", &["x", "y"], "");
        for number in 0..MOST_SERIES + 100 {
            *family.at([words.of(&number.to_string()), Word::NONE]) += 1;
        }
        assert_eq!(family.len(), MOST_SERIES + 1);
        assert_eq!(family.sorted().iter().map(|(_, count)| **count).sum::<u64>(), MOST_SERIES as u64 + 100);
        assert_eq!(*family.at([Word::OTHER, Word::OTHER]), 100);
    }
}
