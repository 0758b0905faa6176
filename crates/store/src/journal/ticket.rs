//! The wait for a record to be written, and for the disk to have it. Tests: `tests/it/journal.rs`.

use std::fmt;

use tokio::sync::{oneshot, watch};

use super::Durability;

/// A record on its way. Dropping it changes nothing for the record.
#[derive(Debug)]
#[must_use = "nothing may leave before the record is written"]
pub struct Ticket {
    pub(super) state: State,
    pub(super) synced: watch::Receiver<Synced>,
    pub(super) durability: Durability,
}

#[derive(Debug)]
pub(super) enum State {
    Waiting(oneshot::Receiver<Result<u64, Unwritten>>),
    Done(Result<u64, Unwritten>),
}

/// Why a record is not in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwritten {
    /// The disk did not take it.
    Disk,
    /// Too many records wait already.
    Busy,
    /// The journal is closed.
    Closed,
}

/// How many records the disk was asked to keep.
#[derive(Debug, Default)]
pub(super) struct Synced {
    pub(super) upto: u64,
    /// Stretches of which the disk would not say that it has them, in order: behind the first, up to the second.
    doubtful: Vec<(u64, u64)>,
}

/// No more stretches are told apart.
const STRETCHES: usize = 64;

impl Synced {
    /// The disk was asked to keep the records up to this one, and did or did not say that it has them.
    pub(super) fn reach(&mut self, upto: u64, is_kept: bool) {
        let from = std::mem::replace(&mut self.upto, upto);
        if is_kept {
            return;
        }
        // Whoever waits for a record may look long after it was told of.
        match self.doubtful.last_mut() {
            Some(last) if last.1 == from => last.1 = upto,
            Some(_) | None => self.doubtful.push((from, upto)),
        }
        if let [first, second, ..] = *self.doubtful
            && self.doubtful.len() > STRETCHES
        {
            // What lies between them is doubted too: rather that than the other way round.
            self.doubtful.splice(..2, [(first.0, second.1)]);
        }
    }

    fn is_doubtful(&self, number: u64) -> bool {
        self.doubtful.iter().any(|(after, upto)| number > *after && number <= *upto)
    }
}

impl Ticket {
    /// Waits until the operating system has the record. A settlement that the disk does not take waits on.
    pub async fn written(&mut self) -> Result<(), Unwritten> {
        self.number().await.map(drop)
    }

    /// Waits until the disk has the record.
    pub async fn synced(&mut self) -> Result<(), Unwritten> {
        let number = self.number().await?;
        let seen = self.synced.wait_for(|synced| synced.upto >= number).await;
        let synced = seen.map_err(|_| Unwritten::Closed)?;
        if synced.is_doubtful(number) { Err(Unwritten::Disk) } else { Ok(()) }
    }

    /// Whether there is nothing to wait for: the record is as durable as the journal promises.
    pub fn is_durable(&self) -> bool {
        self.durability == Durability::Process && matches!(self.state, State::Done(Ok(_)))
    }

    /// Waits as long as the journal's durability asks for.
    pub async fn durable(&mut self) -> Result<(), Unwritten> {
        match self.durability {
            Durability::Process => self.written().await,
            Durability::Power => self.synced().await,
        }
    }

    async fn number(&mut self) -> Result<u64, Unwritten> {
        if let State::Waiting(waiting) = &mut self.state {
            self.state = State::Done(waiting.await.unwrap_or(Err(Unwritten::Closed)));
        }
        match self.state {
            State::Done(done) => done,
            State::Waiting(_) => Err(Unwritten::Closed),
        }
    }
}

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disk => "the disk of the journal does not take what is written",
            Self::Busy => "the journal cannot keep up",
            Self::Closed => "the journal is closed",
        })
    }
}

impl std::error::Error for Unwritten {}
