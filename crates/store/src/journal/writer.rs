//! Puts records into segments, and decides what happens when the disk refuses: a half-written group is taken back, what may
//! be refused is, and what must be kept goes to the spare file or stays here. Knows no thread. Tests: `tests/it/journal.rs`.

use std::io;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::disk::{Disk, File};
use super::record::{Record, Release};
use super::segment::{HEADER, SPARE_NAME, header_of, name_of};
use super::ticket::Unwritten;
use super::{Position, Sizes, frame};

/// A record that waits to be written.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) record: Record,
    pub(super) told: Option<oneshot::Sender<Result<u64, Unwritten>>>,
}

#[derive(Debug)]
pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    sizes: Sizes,
    current: Option<Current>,
    next_segment: u64,
    /// How many records were written so far.
    count: u64,
    has_spare: bool,
}

#[derive(Debug)]
struct Current {
    segment: u64,
    file: Arc<dyn File>,
    offset: u64,
    is_spare: bool,
    /// A part of a group may lie behind its end, and could not be taken back.
    is_torn: bool,
}

/// What became of a group.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Outcome {
    /// Must be written later.
    pub(super) kept: Vec<Queued>,
    /// What is to be told to whom, once everybody can see what was done.
    pub(super) told: Vec<(Queued, Result<u64, Unwritten>)>,
    /// Files that were written to, and whether one of them is new.
    pub(super) touched: Vec<Arc<dyn File>>,
    pub(super) is_new: bool,
    /// Bytes by which the journal grew.
    pub(super) grew: u64,
    pub(super) failed: bool,
}

impl Queued {
    pub(super) fn tell(self, outcome: Result<u64, Unwritten>) {
        if let Some(told) = self.told {
            // Nobody may be waiting.
            let _ = told.send(outcome);
        }
    }
}

impl Writer {
    pub(super) fn new(disk: Arc<dyn Disk>, sizes: Sizes, next_segment: u64) -> Self {
        // The end of the process in the middle of making it leaves one that has less room than it promises.
        let is_whole = |last| disk.read_at(SPARE_NAME, last, 1).is_ok_and(|byte| !byte.is_empty());
        let has_spare = sizes.spare.checked_sub(1).is_some_and(is_whole);
        Self { disk, sizes, current: None, next_segment, count: 0, has_spare }
    }

    /// Where the next record will be, and how many there were.
    pub(super) fn end(&self) -> Option<(Position, u64)> {
        let current = self.current.as_ref()?;
        Some((Position { segment: current.segment, offset: current.offset }, self.count))
    }

    /// How many records were written so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Is there a segment to write to, without anything else to be done first?
    pub(super) fn is_ready(&self) -> bool {
        self.current.as_ref().is_some_and(|current| !current.is_spare && current.offset < self.sizes.segment)
    }

    /// Writes the group to the present segment. If the disk refuses, nothing more is done and the group comes back.
    pub(super) fn write_at_once(&mut self, group: Vec<Queued>) -> Result<Outcome, Vec<Queued>> {
        let mut outcome = Outcome::default();
        if self.put(&group, &mut outcome).is_err() {
            return Err(group);
        }
        self.done(group, &mut outcome);
        Ok(outcome)
    }

    /// Writes the group in one go.
    pub(super) fn write(&mut self, group: Vec<Queued>) -> Outcome {
        let mut outcome = Outcome::default();
        // It was given up because a group could not be taken back from it, here or by a caller.
        let torn = self.current.is_none();
        if self.ready(&mut outcome).and_then(|()| self.put(&group, &mut outcome)).is_ok() {
            self.done(group, &mut outcome);
            return outcome;
        }
        outcome.failed = true;
        let (mut must, may): (Vec<_>, Vec<_>) = group.into_iter().partition(|queued| queued.record.must_be_kept());
        // A group that could not be taken back may be read again after a crash. What is refused now never began.
        if torn || self.current.is_none() {
            must.extend(may.iter().filter_map(|queued| refused(&queued.record)));
        }
        outcome.told.extend(may.into_iter().map(|queued| (queued, Err(Unwritten::Disk))));
        if must.is_empty() {
            return outcome;
        }
        match self.spare_ready(&mut outcome).and_then(|()| self.put(&must, &mut outcome)) {
            Ok(()) => self.done(must, &mut outcome),
            Err(_) => outcome.kept = must,
        }
        outcome
    }

    /// The present segment is given up: a new one begins with the next record.
    pub(super) fn rotate(&mut self) {
        self.current = None;
    }

    /// Ends the present segment as it should end.
    pub(super) fn seal(&mut self) -> Option<Arc<dyn File>> {
        let current = self.current.take()?;
        if current.is_torn {
            // A seal would break the first record of what lies there, and so make the others look as if it were missing. As it is
            // they are read, and what they say is written once more.
            return Some(current.file);
        }
        let mut bytes = Vec::new();
        frame::write(current.segment, current.offset, &Record::Seal, &mut bytes);
        // Without it the segment is read all the same.
        let _ = current.file.write_at(current.offset, &bytes);
        Some(current.file)
    }

    fn done(&mut self, group: Vec<Queued>, outcome: &mut Outcome) {
        for queued in group {
            self.count += 1;
            outcome.told.push((queued, Ok(self.count)));
        }
    }

    /// A segment that records of every kind may be written to.
    fn ready(&mut self, outcome: &mut Outcome) -> io::Result<()> {
        if self.is_ready() {
            return Ok(());
        }
        let segment = self.next_segment;
        let file = self.disk.create(&name_of(segment))?;
        self.next_segment += 1;
        if let Err(error) = file.write_at(0, &header_of(segment)) {
            let _ = self.disk.remove(&name_of(segment));
            self.next_segment -= 1;
            return Err(error);
        }
        outcome.touched.extend(self.seal());
        outcome.grew += HEADER as u64;
        self.begin(segment, file, false, outcome);
        self.make_spare();
        Ok(())
    }

    /// A segment whose room on the disk is already ours.
    fn spare_ready(&mut self, outcome: &mut Outcome) -> io::Result<()> {
        if self.current.as_ref().is_some_and(|current| current.is_spare && current.offset < self.sizes.spare) {
            return Ok(());
        }
        let segment = self.next_segment;
        let file = self.disk.open(SPARE_NAME)?;
        file.write_at(0, &header_of(segment))?;
        self.disk.rename(SPARE_NAME, &name_of(segment))?;
        self.next_segment += 1;
        self.has_spare = false;
        outcome.touched.extend(self.current.take().map(|current| current.file));
        outcome.grew += self.sizes.spare;
        self.begin(segment, file, true, outcome);
        Ok(())
    }

    fn begin(&mut self, segment: u64, file: Arc<dyn File>, is_spare: bool, outcome: &mut Outcome) {
        self.current = Some(Current { segment, file, offset: HEADER as u64, is_spare, is_torn: false });
        outcome.is_new = true;
    }

    fn make_spare(&mut self) {
        if self.has_spare {
            return;
        }
        const ZEROS: &[u8] = &[0; 16 << 10];
        let made = self.disk.create(SPARE_NAME).and_then(|file| {
            for offset in (0..self.sizes.spare).step_by(ZEROS.len()) {
                let length = usize::try_from(self.sizes.spare - offset).unwrap_or(usize::MAX).min(ZEROS.len());
                file.write_at(offset, ZEROS.get(..length).unwrap_or(ZEROS))?;
            }
            file.sync()
        });
        self.has_spare = made.is_ok();
        if made.is_err() {
            let _ = self.disk.remove(SPARE_NAME);
        }
    }

    fn put(&mut self, group: &[Queued], outcome: &mut Outcome) -> io::Result<()> {
        let Some(current) = &mut self.current else { return Err(io::ErrorKind::NotFound.into()) };
        let mut bytes = Vec::with_capacity(group.len() * 128);
        for queued in group {
            let at = current.offset + bytes.len() as u64;
            frame::write(current.segment, at, &queued.record, &mut bytes);
        }
        outcome.touched.push(Arc::clone(&current.file));
        if let Err(error) = current.file.write_at(current.offset, &bytes) {
            // The room of the spare is not given back: the same group is written over it, or read twice.
            current.is_torn = current.is_spare;
            if !current.is_spare && current.file.truncate(current.offset).is_err() {
                self.current = None;
            }
            return Err(error);
        }
        current.is_torn = false;
        current.offset += bytes.len() as u64;
        if !current.is_spare {
            outcome.grew += bytes.len() as u64;
        }
        Ok(())
    }
}

/// What says of a refused hold that it never began.
fn refused(record: &Record) -> Option<Queued> {
    match record {
        Record::Hold(opened) => {
            let release =
                Release { request: Arc::clone(&opened.request), at: opened.at, reason: "not_journaled".into() };
            Some(Queued { record: Record::Release(release), told: None })
        }
        Record::Checkpoint(_) | Record::Settle(_) | Record::Release(_) | Record::Anchor(_) | Record::Seal => None,
    }
}
