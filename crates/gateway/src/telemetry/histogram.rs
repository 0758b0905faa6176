//! Counts of values by size. All numbers are whole: lengths of time are microseconds, and become seconds only where they are
//! written down. Knows no name and no format. Tests are below.

/// How the values of a histogram are sorted and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Upper bounds, rising; what is above the last one is counted too.
    pub bounds: &'static [u64],
    /// How many of the values' units are one of the unit that is shown.
    pub per_unit: u64,
}

/// Microseconds, shown as seconds.
pub const SECONDS: u64 = 1_000_000;

/// How long requests take, as OpenTelemetry's conventions advise, and on to the ten minutes that a request may last.
pub const REQUEST: Scale = Scale {
    bounds: &[
        10_000,
        20_000,
        40_000,
        80_000,
        160_000,
        320_000,
        640_000,
        1_280_000,
        2_560_000,
        5_120_000,
        10_240_000,
        20_480_000,
        40_960_000,
        81_920_000,
        163_840_000,
        327_680_000,
        655_360_000,
    ],
    per_unit: SECONDS,
};

/// How long it takes to begin, as OpenTelemetry's conventions advise, and on to what reasoning models take.
pub const FIRST_TOKEN: Scale = Scale {
    bounds: &[
        1_000,
        5_000,
        10_000,
        20_000,
        40_000,
        60_000,
        80_000,
        100_000,
        250_000,
        500_000,
        750_000,
        1_000_000,
        2_500_000,
        5_000_000,
        7_500_000,
        10_000_000,
        30_000_000,
        60_000_000,
        120_000_000,
    ],
    per_unit: SECONDS,
};

/// How long a token takes, as OpenTelemetry's conventions advise.
pub const PER_TOKEN: Scale = Scale {
    bounds: &[
        10_000, 25_000, 50_000, 75_000, 100_000, 150_000, 200_000, 300_000, 400_000, 500_000, 750_000, 1_000_000,
        2_500_000,
    ],
    per_unit: SECONDS,
};

/// What the gateway itself takes.
pub const OVERHEAD: Scale = Scale {
    bounds: &[50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 1_000_000],
    per_unit: SECONDS,
};

/// How long requests wait in line.
pub const WAIT: Scale = Scale {
    bounds: &[
        1_000, 10_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 60_000_000,
    ],
    per_unit: SECONDS,
};

/// Tokens, as OpenTelemetry's conventions advise.
pub const TOKENS: Scale = Scale {
    bounds: &[1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864],
    per_unit: 1,
};

/// Values, counted by size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// By the first bound that is not below the value; one more for what is above all of them.
    counts: Vec<u64>,
    sum: u64,
}

impl Histogram {
    /// Counts a value. Always with the same scale.
    pub fn observe(&mut self, scale: &Scale, value: u64) {
        let place = scale.bounds.partition_point(|bound| *bound < value);
        if self.counts.len() <= scale.bounds.len() {
            self.counts.resize(scale.bounds.len() + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(value);
    }

    /// For each bound, how many values were not above it.
    pub fn cumulative(&self) -> impl Iterator<Item = u64> {
        self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        })
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub fn sum(&self) -> u64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_in_the_first_bound_that_is_not_below_it() {
        let scale = Scale { bounds: &[10, 20], per_unit: 1 };
        let mut histogram = Histogram::default();
        for value in [0, 10, 11, 20, 21, u64::MAX] {
            histogram.observe(&scale, value);
        }
        assert_eq!(histogram.cumulative().collect::<Vec<_>>(), [2, 4, 6]);
        assert_eq!((histogram.count(), histogram.sum()), (6, u64::MAX));
    }

    #[test]
    fn bounds_rise() {
        for scale in [REQUEST, FIRST_TOKEN, PER_TOKEN, OVERHEAD, WAIT, TOKENS] {
            assert!(scale.bounds.is_sorted_by(|one, next| one < next), "{scale:?}");
        }
    }
}
