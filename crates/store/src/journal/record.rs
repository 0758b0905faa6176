//! What the journal keeps, and how it is written as bytes. Knows no file. Tests are below.

use std::borrow::Cow;
use std::sync::Arc;

use waypost_core::ledger::{Account, Use};
use waypost_core::money::NanoUsd;

use super::bytes::{In, Out};

/// One thing that happened to money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Money is held for a request; it may be sent upstream.
    Hold(Opened),
    /// A request that runs has used so much so far.
    Checkpoint(Checkpoint),
    /// A request is over.
    Settle(Settle),
    /// A request ended before it used anything.
    Release(Release),
    /// The database's chain had reached this link.
    Anchor(Anchor),
    /// The segment ends here, as it should.
    Seal,
}

/// Tokens and other units by class, in the order they are shown.
pub type Counts = Vec<(Cow<'static, str>, u64)>;

/// A request that was admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub request: Arc<str>,
    /// Wall time in epoch milliseconds, like all times here.
    pub at: i64,
    pub payer: Account,
    /// The windows of budgets it counts in.
    pub uses: Vec<Use>,
    /// No more than the amount may be charged.
    pub bounded: bool,
    pub amount: NanoUsd,
    /// The version of the price that the amount was worked out by.
    pub prices: Arc<str>,
    pub parties: Parties,
}

/// Who and what a request belonged to, for the entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parties {
    pub key: Option<Arc<str>>,
    pub user: Option<Arc<str>>,
    pub team: Option<Arc<str>>,
    pub model: Option<Arc<str>>,
    pub deployment: Option<Arc<str>>,
}

/// What was delivered so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub request: Arc<str>,
    pub at: i64,
    pub usage: Counts,
    pub cost: NanoUsd,
    /// The version of the price that it cost so; empty if it has none. Absent: that of the hold, as in journals of before this
    /// was told.
    pub price: Option<Arc<str>>,
    pub deployment: Option<Arc<str>>,
}

/// How a request ended, and what it cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settle {
    pub request: Arc<str>,
    pub at: i64,
    pub usage: Counts,
    /// All of it, before payer and operator share it.
    pub cost: NanoUsd,
    /// The version of the price that it cost so; empty if it has none. Absent: that of the hold, as in journals of before this
    /// was told.
    pub price: Option<Arc<str>>,
    /// In one word: `complete`, `broken`, `abandoned`, `failed`, `unknown`.
    pub outcome: Arc<str>,
    /// The deployment that answered.
    pub deployment: Option<Arc<str>>,
}

/// A request that cost nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    pub request: Arc<str>,
    pub at: i64,
    pub reason: Arc<str>,
}

/// A link of the node's chain in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub number: i64,
    pub hash: Vec<u8>,
}

impl Record {
    /// Settlements and releases are never refused: somebody has had the answer.
    pub(super) fn must_be_kept(&self) -> bool {
        match self {
            Self::Settle(_) | Self::Release(_) => true,
            Self::Hold(_) | Self::Checkpoint(_) | Self::Anchor(_) | Self::Seal => false,
        }
    }

    pub(super) fn write(&self, out: &mut Out) {
        match self {
            Self::Hold(opened) => opened.write(out),
            Self::Checkpoint(it) => {
                out.byte(7);
                out.text(&it.request);
                out.signed(it.at);
                write_counts(out, &it.usage);
                out.signed(it.cost.get());
                out.maybe(it.price.as_deref());
                out.maybe(it.deployment.as_deref());
            }
            Self::Settle(it) => {
                out.byte(8);
                out.text(&it.request);
                out.signed(it.at);
                write_counts(out, &it.usage);
                out.signed(it.cost.get());
                out.maybe(it.price.as_deref());
                out.text(&it.outcome);
                out.maybe(it.deployment.as_deref());
            }
            Self::Release(it) => {
                out.byte(4);
                out.text(&it.request);
                out.signed(it.at);
                out.text(&it.reason);
            }
            Self::Anchor(it) => {
                out.byte(5);
                out.signed(it.number);
                out.bytes(&it.hash);
            }
            Self::Seal => out.byte(6),
        }
    }

    /// Reads what [`Record::write`] wrote.
    pub(super) fn read(input: &mut In<'_>) -> Option<Self> {
        let record = match input.byte()? {
            1 => Self::Hold(Opened::read(input)?),
            kind @ (2 | 7) => Self::Checkpoint(Checkpoint {
                request: input.text()?,
                at: input.signed()?,
                usage: read_counts(input)?,
                cost: NanoUsd(input.signed()?),
                price: if kind == 2 { None } else { input.maybe()? },
                deployment: input.maybe()?,
            }),
            kind @ (3 | 8) => Self::Settle(Settle {
                request: input.text()?,
                at: input.signed()?,
                usage: read_counts(input)?,
                cost: NanoUsd(input.signed()?),
                price: if kind == 3 { None } else { input.maybe()? },
                outcome: input.text()?,
                deployment: input.maybe()?,
            }),
            4 => Self::Release(Release { request: input.text()?, at: input.signed()?, reason: input.text()? }),
            5 => Self::Anchor(Anchor { number: input.signed()?, hash: input.bytes()?.to_vec() }),
            6 => Self::Seal,
            _ => return None,
        };
        input.0.is_empty().then_some(record)
    }
}

impl Opened {
    fn write(&self, out: &mut Out) {
        out.byte(1);
        out.text(&self.request);
        out.signed(self.at);
        out.text(self.payer.as_str());
        out.number(self.uses.len().min(MOST) as u64);
        for it in self.uses.iter().take(MOST) {
            out.text(&it.budget);
            out.signed(it.start);
        }
        out.byte(u8::from(self.bounded));
        out.signed(self.amount.get());
        out.text(&self.prices);
        for party in self.parties.all() {
            out.maybe(party);
        }
    }

    fn read(input: &mut In<'_>) -> Option<Self> {
        let request = input.text()?;
        let at = input.signed()?;
        let payer = Account::parse(input.text()?).ok()?;
        let count = input.number().filter(|count| *count <= MOST as u64)?;
        let uses = (0..count).map(|_| Some(Use { budget: input.text()?, start: input.signed()? }));
        let uses = uses.collect::<Option<Vec<_>>>()?;
        let bounded = input.byte()? == 1;
        let amount = NanoUsd(input.signed()?);
        let prices = input.text()?;
        let parties = Parties {
            key: input.maybe()?,
            user: input.maybe()?,
            team: input.maybe()?,
            model: input.maybe()?,
            deployment: input.maybe()?,
        };
        Some(Self { request, at, payer, uses, bounded, amount, prices, parties })
    }
}

impl Parties {
    /// Key, user, team, model and deployment.
    pub fn all(&self) -> [Option<&str>; 5] {
        [&self.key, &self.user, &self.team, &self.model, &self.deployment].map(|party| party.as_deref())
    }
}

/// A record has no more budgets and no more classes of usage than this. Whoever holds for a request refuses more budgets.
pub(crate) const MOST: usize = 64;

fn write_counts(out: &mut Out, counts: &Counts) {
    out.number(counts.len().min(MOST) as u64);
    for (class, count) in counts.iter().take(MOST) {
        out.text(class);
        out.number(*count);
    }
}

fn read_counts(input: &mut In<'_>) -> Option<Counts> {
    let count = input.number().filter(|count| *count <= MOST as u64)?;
    (0..count).map(|_| Some((Cow::Owned(input.text()?), input.number()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record> {
        let (request, at): (Arc<str>, i64) = ("req_1".into(), 1_790_000_000_000);
        let usage: Counts = vec![("input".into(), 12), ("output".into(), u64::MAX)];
        let parties = Parties { key: Some("key_1".into()), model: Some("gpt".into()), ..Parties::default() };
        let uses = vec![Use { budget: "bud_1".into(), start: at }, Use { budget: "bud_2".into(), start: 0 }];
        let opened = Opened {
            request: Arc::clone(&request),
            at,
            payer: Account::user("usr_1"),
            uses,
            bounded: true,
            amount: NanoUsd(i64::MAX),
            prices: "2026-11-01".into(),
            parties,
        };
        let (cost, deployment) = (NanoUsd(7), Some("ch/gpt".into()));
        let price: Option<Arc<str>> = Some("file:ch/gpt@0#00".into());
        let checkpoint = Checkpoint {
            request: Arc::clone(&request),
            at,
            usage: usage.clone(),
            cost,
            price: price.clone(),
            deployment: deployment.clone(),
        };
        let outcome = "complete".into();
        let settle = Settle { request: Arc::clone(&request), at, usage, cost, price, outcome, deployment };
        vec![
            Record::Hold(opened),
            Record::Checkpoint(checkpoint),
            Record::Settle(settle),
            Record::Release(Release { request, at, reason: "refused".into() }),
            Record::Anchor(Anchor { number: 3, hash: vec![1; 32] }),
            Record::Seal,
        ]
    }

    #[test]
    fn what_was_written_before_prices_were_told_is_still_read() {
        let mut out = Out::default();
        out.byte(3);
        out.text("req_1");
        out.signed(5);
        write_counts(&mut out, &vec![("input".into(), 12)]);
        out.signed(7);
        out.text("complete");
        out.maybe(Some("ch/gpt"));
        let settle = Settle {
            request: "req_1".into(),
            at: 5,
            usage: vec![("input".into(), 12)],
            cost: NanoUsd(7),
            price: None,
            outcome: "complete".into(),
            deployment: Some("ch/gpt".into()),
        };
        assert_eq!(Record::read(&mut In(&out.0)), Some(Record::Settle(settle)));
    }

    #[test]
    fn records_are_read_as_they_were_written_and_never_from_a_part() {
        for record in records() {
            let mut out = Out::default();
            record.write(&mut out);
            assert_eq!(Record::read(&mut In(&out.0)).as_ref(), Some(&record));
            for end in 0..out.0.len() {
                assert_eq!(Record::read(&mut In(&out.0[..end])), None, "{record:?} cut at {end}");
            }
            out.byte(0);
            assert_eq!(Record::read(&mut In(&out.0)), None);
        }
    }
}
