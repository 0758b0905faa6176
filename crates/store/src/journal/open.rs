//! What is found on the disk at the start: every segment is read to its end. A tail that was torn by the end of the process
//! is cut off; anything broken before the end is an error, because records are missing. Tests: `tests/it/journal.rs`.

use std::fmt;
use std::io;
use std::path::Path;

use super::Position;
use super::disk::{Disk, Folder};
use super::frame::{self, Frames};
use super::record::{Anchor, Record};
use super::segment::{HEADER, is_headed, name_of, number_of};

/// What to do about records that are missing in the middle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repair {
    /// Refuse to open, and say where.
    #[default]
    Refuse,
    /// Go on with what can be read, and say how much was lost.
    Salvage,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The oldest record there is.
    pub first: Option<Position>,
    /// Behind the last record.
    pub end: Position,
    pub records: u64,
    /// Bytes of a torn tail that were cut off.
    pub cut: u64,
    /// Places that were skipped because [`Repair::Salvage`] was asked for.
    pub skipped: Vec<Position>,
    /// The latest link of the database's chain that the journal knows.
    pub anchor: Option<Anchor>,
    /// The last record ends its segment.
    sealed: bool,
    pub(super) next_segment: u64,
    pub(super) bytes: u64,
}

/// Why a journal cannot be used.
#[derive(Debug)]
pub enum JournalError {
    /// Records are missing at this place, though later ones are there.
    Broken {
        name: String,
        at: u64,
    },
    /// A segment is missing.
    Gap {
        name: String,
    },
    /// It ends before the place the database has records from.
    Behind {
        database: Position,
        journal: Position,
    },
    /// A record is whole, but of a newer version of this program.
    Newer {
        name: String,
        at: u64,
    },
    Disk {
        name: String,
        error: io::Error,
    },
    Thread(io::Error),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken { name, at } => write!(
                f,
                "the journal is damaged: {name} at byte {at}, with whole records behind it; restore the file, or start once \
                 with `ledger.salvage: true`"
            ),
            Self::Gap { name } => write!(
                f,
                "the journal is damaged: {name} is missing though there are segments before and behind it; restore the file, \
                 or start once with `ledger.salvage: true`"
            ),
            Self::Behind { database, journal } => write!(
                f,
                "the journal ends at {}:{}, but the database has records up to {}:{}; restore the journal that belongs to \
                 this database, or start once with `ledger.salvage: true`",
                journal.segment, journal.offset, database.segment, database.offset
            ),
            Self::Newer { name, at } => {
                write!(f, "the journal was written by a newer version: {name} at byte {at}; start that version once")
            }
            Self::Disk { name, .. } => write!(f, "the journal's file {name} cannot be used"),
            Self::Thread(_) => f.write_str("the journal's thread cannot be started"),
        }
    }
}

impl std::error::Error for JournalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk { error, .. } | Self::Thread(error) => Some(error),
            Self::Broken { .. } | Self::Gap { .. } | Self::Behind { .. } | Self::Newer { .. } => None,
        }
    }
}

/// Reads all segments, mends the last one and says where to go on.
pub(super) fn open(disk: &dyn Disk, after: Position, repair: Repair) -> Result<Found, JournalError> {
    let names = disk.list().map_err(|error| JournalError::Disk { name: ".".to_owned(), error })?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    let mut found = Found::default();
    for (place, number) in numbers.iter().enumerate() {
        let expected = numbers.get(place.wrapping_sub(1)).map_or(*number, |before| before + 1);
        if expected != *number && repair == Repair::Refuse {
            return Err(JournalError::Gap { name: name_of(expected) });
        }
        let is_last = place + 1 == numbers.len();
        read_segment(disk, *number, is_last, repair, &mut found)?;
    }
    let behind = !numbers.is_empty() && found.end < after;
    if behind && repair == Repair::Refuse {
        return Err(JournalError::Behind { database: after, journal: found.end });
    }
    found.next_segment = found.end.segment.max(after.segment) + 1;
    found.end = found.end.max(after);
    Ok(found)
}

/// The latest link of the database's chain that the journal in this folder knows, whoever has it open now.
pub fn last_anchor(folder: &Path) -> Option<Anchor> {
    let disk = Folder::look(folder);
    let mut numbers: Vec<u64> = disk.list().ok()?.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    numbers.into_iter().rev().find_map(|segment| {
        let bytes = disk.read_at(&name_of(segment), 0, usize::MAX).ok()?;
        let records = Frames::new(segment, HEADER as u64, bytes.get(HEADER..)?);
        let anchors = records.filter_map(|(_, record)| match record {
            Some(Record::Anchor(anchor)) => Some(anchor),
            Some(Record::Hold(_) | Record::Checkpoint(_) | Record::Settle(_) | Record::Release(_) | Record::Seal)
            | None => None,
        });
        anchors.last()
    })
}

fn read_segment(
    disk: &dyn Disk,
    segment: u64,
    is_last: bool,
    repair: Repair,
    found: &mut Found,
) -> Result<(), JournalError> {
    let name = name_of(segment);
    let failed = |error| JournalError::Disk { name: name_of(segment), error };
    let bytes = disk.read_at(&name, 0, usize::MAX).map_err(failed)?;
    let headed = is_headed(segment, &bytes);
    let mut frames = Frames::new(segment, HEADER as u64, bytes.get(HEADER..).unwrap_or_default());
    loop {
        for (at, record) in frames.by_ref() {
            let Some(record) = record else { return Err(JournalError::Newer { name, at: at.offset }) };
            found.first.get_or_insert(at);
            found.records += 1;
            found.sealed = record == Record::Seal;
            if let Record::Anchor(anchor) = record {
                found.anchor = Some(anchor);
            }
        }
        let at = frames.next_offset();
        let broken = !frames.is_blank() && frames.resync().is_some();
        if !broken {
            found.end = Position { segment, offset: at };
            break;
        }
        if repair == Repair::Refuse {
            return Err(JournalError::Broken { name, at });
        }
        found.skipped.push(Position { segment, offset: at });
    }
    if !headed && found.end.offset > HEADER as u64 && repair == Repair::Refuse {
        return Err(JournalError::Broken { name, at: 0 });
    }
    if is_last {
        mend(disk, segment, &bytes, found).map_err(failed)?;
    }
    found.bytes += bytes.len() as u64;
    Ok(())
}

/// Cuts what is behind the last whole record, and seals what is left: from now on a damage of it shows.
fn mend(disk: &dyn Disk, segment: u64, bytes: &[u8], found: &mut Found) -> io::Result<()> {
    let end = usize::try_from(found.end.offset).unwrap_or(usize::MAX);
    let tail = bytes.get(end..).unwrap_or_default();
    if tail.iter().any(|byte| *byte != 0) {
        found.cut = tail.len() as u64;
    }
    let file = disk.open(&name_of(segment))?;
    if !tail.is_empty() {
        file.truncate(found.end.offset)?;
    }
    if found.end.offset > HEADER as u64 && !found.sealed {
        let mut seal = Vec::new();
        frame::write(segment, found.end.offset, &Record::Seal, &mut seal);
        // Full: the seal can be spared.
        if file.write_at(found.end.offset, &seal).is_err() {
            file.truncate(found.end.offset)?;
        } else {
            found.end.offset += seal.len() as u64;
        }
    }
    file.sync()
}
