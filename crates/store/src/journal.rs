//! An append-only file of what happened to money, which the end of the process cannot lose: holds before anything is sent
//! upstream, settlements before the last byte leaves. Decides how records lie on the disk, what is done when the disk does
//! not do its part, and what of a damaged file is kept. Knows no database. Tests: `tests/it/journal.rs`.

mod bytes;
mod disk;
mod faults;
mod frame;
mod open;
mod record;
mod segment;
mod thread;
mod ticket;
mod writer;

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

pub use disk::{Disk, File, Folder};
pub use faults::{Call, Fault, MemoryDisk};
pub use open::{Found, JournalError, Repair, last_anchor};
pub use record::{Anchor, Checkpoint, Counts, Opened, Parties, Record, Release, Settle};
pub use ticket::{Ticket, Unwritten};

pub(crate) use bytes::Out;
use frame::Frames;
pub(crate) use record::MOST;
use segment::{HEADER, name_of};
use thread::{Shared, Threads};

/// When an append counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The operating system has it: the end of the process loses nothing, a power cut about the last 50 ms.
    #[default]
    Process,
    /// The disk has it.
    Power,
}

/// How a journal behaves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub durability: Durability,
    pub repair: Repair,
    pub sizes: Sizes,
    /// How long the disk is left alone between two syncs, unless `durability` is `power`.
    pub sync_every: Duration,
    /// When a disk that refused a settlement is asked again.
    pub retry_every: Duration,
}

/// Sizes of files, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// A segment that is longer is followed by a new one.
    pub segment: u64,
    /// What is kept free for settlements on a full disk.
    pub spare: u64,
}

impl Default for Options {
    fn default() -> Self {
        let sizes = Sizes { segment: 8 << 20, spare: 8 << 20 };
        let sync_every = Duration::from_millis(50);
        let retry_every = Duration::from_millis(100);
        Self { durability: Durability::default(), repair: Repair::default(), sizes, sync_every, retry_every }
    }
}

/// A place in the journal. Places of later records are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The number of the segment, from 1.
    pub segment: u64,
    /// Bytes from the segment's beginning.
    pub offset: u64,
}

/// The journal of one process. Clones share it; it is closed with the last of them.
#[derive(Clone, Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    threads: Arc<Threads>,
}

/// How many bytes of a segment are looked at in one go.
const CHUNK: usize = 1 << 20;

impl Journal {
    /// Opens what is on the disk, cuts a torn tail back to the last whole record, and begins to take records. `after` is
    /// the last place that the database knows of: new records get later ones.
    pub fn open(disk: Arc<dyn Disk>, after: Position, options: Options) -> Result<(Self, Found), JournalError> {
        let found = open::open(&*disk, after, options.repair)?;
        let sync_every = if options.durability == Durability::Power { Duration::ZERO } else { options.sync_every };
        let options = Options { sync_every, ..options };
        let shared = Arc::new(Shared::new(disk, &found, options));
        let threads = Threads::start(&shared).map_err(JournalError::Thread)?;
        Ok((Self { shared, threads: Arc::new(threads) }, found))
    }

    /// Writes a record, or queues it behind others. Holds, checkpoints and anchors are refused when the disk refuses them; settlements and releases
    /// are kept in memory until it takes them.
    pub fn append(&self, record: Record) -> Ticket {
        self.shared.append(record)
    }

    /// Told whenever the disk has more: up to where [`Journal::read`] reads.
    pub fn end(&self) -> watch::Receiver<Position> {
        self.shared.end.subscribe()
    }

    /// Waits until [`Journal::read`] reads all that was written before.
    pub async fn synced(&self) {
        self.shared.synced().await;
    }

    /// Bytes of all segments.
    pub fn size(&self) -> u64 {
        self.shared.size.load(Ordering::Relaxed)
    }

    /// How many settlements and releases wait in memory because the disk does not take them.
    pub fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    /// How many requests ended, since the start, of which no hold is there: nobody was charged for them.
    pub fn unheld(&self) -> u64 {
        self.shared.unheld.load(Ordering::Relaxed)
    }

    /// Those of them that were not told yet. For the log.
    pub fn take_unheld(&self) -> Vec<Arc<str>> {
        std::mem::take(&mut *self.shared.untold.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn note_unheld(&self, requests: Vec<Arc<str>>) {
        self.shared.unheld.fetch_add(requests.len() as u64, Ordering::Relaxed);
        self.shared.untold.lock().unwrap_or_else(PoisonError::into_inner).extend(requests);
    }

    /// Looks whether its folder and its present file are still there. Where they are not, nothing is admitted until the
    /// folder can be written to again. For a job, every second.
    pub fn is_there(&self) -> bool {
        self.shared.is_there()
    }

    /// Whether the last write failed, or the folder was found to be gone.
    pub fn is_failing(&self) -> bool {
        self.shared.failing.load(Ordering::Relaxed)
    }

    /// The records from `from` on, about a megabyte of them, and where to go on. No records: there are no more for now.
    pub fn read(&self, from: Position) -> Result<(Vec<(Position, Record)>, Position), JournalError> {
        let end = *self.shared.end.borrow();
        let mut from = from;
        while from < end {
            let start = from.offset.max(HEADER as u64);
            let name = name_of(from.segment);
            let most = if from.segment == end.segment { end.offset.saturating_sub(start) } else { CHUNK as u64 };
            let most = usize::try_from(most).unwrap_or(CHUNK).min(CHUNK);
            let bytes = match self.shared.disk.read_at(&name, start, most) {
                Ok(bytes) => bytes,
                // A segment that was never begun, or is folded and gone.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(JournalError::Disk { name, error }),
            };
            let mut frames = Frames::new(from.segment, start, &bytes);
            let mut records = Vec::new();
            for (at, record) in frames.by_ref() {
                let Some(record) = record else { return Err(JournalError::Newer { name, at: at.offset }) };
                records.push((at, record));
            }
            let next = frames.next_offset();
            if next > start {
                return Ok((records, Position { offset: next, ..from }));
            }
            // Most segments simply end here.
            let behind =
                if bytes.is_empty() { None } else { self.behind(&name, Position { offset: start, ..from }, end)? };
            from = match behind {
                Some(_) if self.shared.options.repair == Repair::Refuse => {
                    return Err(JournalError::Broken { name, at: start });
                }
                Some(offset) => Position { offset, ..from },
                None if from.segment >= end.segment => break,
                None => Position { segment: from.segment + 1, offset: 0 },
            };
        }
        Ok((Vec::new(), from))
    }

    /// Where the next whole record of this segment lies behind what is broken at this place, however much that is.
    fn behind(&self, name: &str, broken: Position, end: Position) -> Result<Option<u64>, JournalError> {
        let most = if broken.segment == end.segment { end.offset.saturating_sub(broken.offset) } else { u64::MAX };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let bytes = self.shared.disk.read_at(name, broken.offset, most);
        let bytes = bytes.map_err(|error| JournalError::Disk { name: name.to_owned(), error })?;
        let mut frames = Frames::new(broken.segment, broken.offset, &bytes);
        Ok(if frames.is_blank() { None } else { frames.resync() })
    }

    /// Deletes the segments before this one; the one being written stays.
    pub fn forget_before(&self, segment: u64) -> Result<(), JournalError> {
        self.shared.forget_before(segment)
    }

    /// Waits until everything queued is written and synced, or until the disk has refused it; then takes no more.
    pub fn close(&self) {
        self.threads.stop();
    }
}
