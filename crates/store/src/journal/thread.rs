//! Who writes to a journal. A caller does so itself while nobody else does and nothing stands in the way: a write to a file is
//! quicker than waking a thread for it. Whatever may take longer is left to a thread: a group of those who came at the same
//! time, a new segment, a disk that refuses. A second thread asks the disk to keep what was written. Both end with the
//! journal. Tests: `tests/it/journal.rs`.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};

use tokio::sync::{oneshot, watch};

use super::disk::{Disk, File};
use super::record::Record;
use super::segment::{name_of, number_of};
use super::ticket::{State, Synced, Ticket, Unwritten};
use super::writer::{Outcome, Queued, Writer};
use super::{Found, JournalError, Options, Position};

/// No more holds and checkpoints wait than this.
const QUEUE: usize = 65_536;
/// How often it does so when the journal is to be closed.
const LAST_TRIES: u32 = 5;

/// What callers and threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) options: Options,
    /// Whoever has it writes. Taken before `queue` by whoever takes both.
    writer: Mutex<Writer>,
    queue: Mutex<Queue>,
    wake: Condvar,
    unsynced: Mutex<Unsynced>,
    wake_syncer: Condvar,
    synced: watch::Sender<Synced>,
    /// Up to where the disk has it, and readers may read.
    pub(super) end: watch::Sender<Position>,
    pub(super) size: AtomicU64,
    pub(super) waiting: AtomicUsize,
    pub(super) failing: AtomicBool,
    /// What the fold found of requests without a hold: how many, and those nobody was told of.
    pub(super) unheld: AtomicU64,
    pub(super) untold: Mutex<Vec<Arc<str>>>,
    /// The disk did not keep what it took: go on in another file.
    distrusted: AtomicBool,
    segment: AtomicU64,
    /// How many records were written.
    written: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    records: Vec<Queued>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Unsynced {
    files: Vec<Arc<dyn File>>,
    is_new: bool,
    end: Option<(Position, u64)>,
    closed: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(disk: Arc<dyn Disk>, found: &Found, options: Options) -> Self {
        let (end, size) = (found.end, found.bytes);
        Self {
            writer: Mutex::new(Writer::new(Arc::clone(&disk), options.sizes, found.next_segment)),
            disk,
            options,
            queue: Mutex::default(),
            wake: Condvar::new(),
            unsynced: Mutex::default(),
            wake_syncer: Condvar::new(),
            synced: watch::Sender::default(),
            end: watch::Sender::new(end),
            size: AtomicU64::new(size),
            waiting: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            unheld: AtomicU64::new(0),
            untold: Mutex::default(),
            distrusted: AtomicBool::new(false),
            segment: AtomicU64::new(end.segment),
            written: AtomicU64::new(0),
        }
    }

    pub(super) fn append(&self, record: Record) -> Ticket {
        let state = self.write_at_once(record).unwrap_or_else(|record| self.queue(record));
        Ticket { state, synced: self.synced.subscribe(), durability: self.options.durability }
    }

    /// Writes what waits and this record behind it. Gives the record back if somebody else writes, or if it may take long.
    #[expect(clippy::result_large_err, reason = "the record goes back to where it came from, once in many times")]
    fn write_at_once(&self, record: Record) -> Result<State, Record> {
        let mut writer = match self.writer.try_lock() {
            Ok(writer) => writer,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(record),
        };
        if self.failing.load(Ordering::Relaxed) || self.distrusted.load(Ordering::Acquire) || !writer.is_ready() {
            return Err(record);
        }
        let mut group = {
            let mut queue = lock(&self.queue);
            if queue.closed {
                return Err(record);
            }
            std::mem::take(&mut queue.records)
        };
        group.push(Queued { record, told: None });
        match writer.write_at_once(group) {
            Ok(outcome) => {
                let (number, written) = (writer.count(), self.publish(outcome, &writer));
                drop(writer);
                written.tell();
                Ok(State::Done(Ok(number)))
            }
            Err(mut group) => {
                // What a disk that refuses is worth is the thread's business.
                let (told, waiting) = oneshot::channel();
                if let Some(own) = group.last_mut() {
                    own.told = Some(told);
                }
                lock(&self.queue).records.splice(..0, group);
                self.wake.notify_one();
                Ok(State::Waiting(waiting))
            }
        }
    }

    /// Waits until the disk was asked to keep what was written before.
    pub(super) async fn synced(&self) {
        let written = self.written.load(Ordering::Acquire);
        // Nobody is left to say so when the journal has ended, and nothing to wait for.
        let _ = self.synced.subscribe().wait_for(|synced| synced.upto >= written).await;
    }

    /// Leaves the record to the thread.
    fn queue(&self, record: Record) -> State {
        let (told, waiting) = oneshot::channel();
        let refused = {
            let mut queue = lock(&self.queue);
            if queue.closed {
                Some(Unwritten::Closed)
            } else if queue.records.len() >= QUEUE && !record.must_be_kept() {
                Some(Unwritten::Busy)
            } else {
                queue.records.push(Queued { record, told: Some(told) });
                None
            }
        };
        self.wake.notify_one();
        refused.map_or(State::Waiting(waiting), |why| State::Done(Err(why)))
    }

    /// Is what was written still where it was written to? If not, the disk is taken for one that refuses, and the next
    /// record is tried in another file.
    pub(super) fn is_there(&self) -> bool {
        let written = self.synced.borrow().upto > 0;
        let name = name_of(self.segment.load(Ordering::Acquire));
        let there = self.disk.list().is_ok_and(|names| !written || names.contains(&name));
        if !there {
            self.failing.store(true, Ordering::Relaxed);
            self.distrusted.store(true, Ordering::Release);
        }
        there
    }

    pub(super) fn forget_before(&self, segment: u64) -> Result<(), JournalError> {
        let failed = |name: &str, error| JournalError::Disk { name: name.to_owned(), error };
        let names = self.disk.list().map_err(|error| failed(".", error))?;
        let keep = segment.min(self.segment.load(Ordering::Acquire));
        let mut old: Vec<u64> = names.iter().filter_map(|name| number_of(name)).filter(|it| *it < keep).collect();
        // The oldest first, so that no gap is left by a crash.
        old.sort_unstable();
        for number in old {
            let name = name_of(number);
            let length = self.disk.read_at(&name, 0, usize::MAX).map_or(0, |bytes| bytes.len() as u64);
            self.disk.remove(&name).map_err(|error| failed(&name, error))?;
            let shrunk = |size: u64| Some(size.saturating_sub(length));
            let _ = self.size.fetch_update(Ordering::Relaxed, Ordering::Relaxed, shrunk);
        }
        Ok(())
    }

    /// Waits for something to write; not for long if something is kept that must be tried again. Is the journal closed?
    fn wait(&self, has_kept: bool) -> bool {
        let mut queue = lock(&self.queue);
        if has_kept {
            if queue.records.is_empty() {
                let pause = self.options.retry_every;
                queue = self.wake.wait_timeout(queue, pause).unwrap_or_else(PoisonError::into_inner).0;
            }
        } else {
            while queue.records.is_empty() && !queue.closed {
                queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        }
        queue.closed
    }

    /// Lets everybody see what was done. What is returned is to be told when the writer is free again.
    fn publish(&self, outcome: Outcome, writer: &Writer) -> Written {
        self.size.fetch_add(outcome.grew, Ordering::Relaxed);
        self.waiting.store(outcome.kept.len(), Ordering::Relaxed);
        self.failing.store(outcome.failed, Ordering::Relaxed);
        let end = writer.end();
        if let Some((position, count)) = end {
            self.segment.store(position.segment, Ordering::Release);
            self.written.store(count, Ordering::Release);
        }
        if !outcome.touched.is_empty() {
            let mut unsynced = lock(&self.unsynced);
            let rests = unsynced.files.is_empty();
            for file in outcome.touched {
                if !unsynced.files.iter().any(|other| Arc::ptr_eq(other, &file)) {
                    unsynced.files.push(file);
                }
            }
            unsynced.is_new |= outcome.is_new;
            unsynced.end = end.or(unsynced.end);
            drop(unsynced);
            if rests {
                self.wake_syncer.notify_one();
            }
        }
        Written { told: outcome.told, kept: outcome.kept }
    }

    fn write_all(&self) {
        let mut kept = Vec::new();
        let mut tries = 0;
        loop {
            let closed = self.wait(!kept.is_empty());
            let mut writer = lock(&self.writer);
            let mut group = std::mem::take(&mut kept);
            group.append(&mut lock(&self.queue).records);
            if closed && (group.is_empty() || tries == LAST_TRIES) {
                break;
            }
            if self.distrusted.swap(false, Ordering::AcqRel) {
                writer.rotate();
            }
            // Callers may have written it while this thread woke.
            if !group.is_empty() {
                let outcome = writer.write(group);
                let written = self.publish(outcome, &writer);
                drop(writer);
                kept = written.tell();
            }
            tries += u32::from(closed);
        }
        let mut writer = lock(&self.writer);
        let touched = writer.seal().into_iter().collect();
        let outcome = Outcome { touched, ..Outcome::default() };
        self.publish(outcome, &writer).tell();
    }

    fn sync_all(&self) {
        loop {
            let (files, is_new, end, closed) = {
                let mut unsynced = lock(&self.unsynced);
                while unsynced.files.is_empty() && !unsynced.closed {
                    unsynced = self.wake_syncer.wait(unsynced).unwrap_or_else(PoisonError::into_inner);
                }
                if !unsynced.closed && !self.options.sync_every.is_zero() {
                    let pause = self.options.sync_every;
                    let waited = self.wake_syncer.wait_timeout_while(unsynced, pause, |unsynced| !unsynced.closed);
                    unsynced = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                let files = std::mem::take(&mut unsynced.files);
                (files, std::mem::take(&mut unsynced.is_new), unsynced.end, unsynced.closed)
            };
            let mut done = files.iter().map(|file| file.sync()).fold(Ok(()), io::Result::and);
            if is_new {
                done = done.and(self.disk.sync());
            }
            if let (Some((position, count)), false) = (end, files.is_empty()) {
                if done.is_err() {
                    self.distrusted.store(true, Ordering::Release);
                }
                self.end.send_if_modified(|end| {
                    let later = position > *end;
                    *end = position.max(*end);
                    later
                });
                self.synced.send_modify(|synced| synced.reach(count, done.is_ok()));
            }
            if closed && lock(&self.unsynced).files.is_empty() {
                return;
            }
        }
    }
}

/// What is to be told of a group, and what of it is still to be written.
#[must_use]
struct Written {
    told: Vec<(Queued, Result<u64, Unwritten>)>,
    kept: Vec<Queued>,
}

impl Written {
    fn tell(self) -> Vec<Queued> {
        self.told.into_iter().for_each(|(queued, how)| queued.tell(how));
        self.kept
    }
}

/// The threads, until they are stopped.
#[derive(Debug)]
pub(super) struct Threads {
    writer: Mutex<Option<JoinHandle<()>>>,
    syncer: Mutex<Option<JoinHandle<()>>>,
    shared: Arc<Shared>,
}

impl Threads {
    pub(super) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let (writing, syncing) = (Arc::clone(shared), Arc::clone(shared));
        let writer = thread::Builder::new().name("journal".into()).spawn(move || writing.write_all())?;
        let syncer = thread::Builder::new().name("journal-sync".into()).spawn(move || syncing.sync_all());
        let threads = Self { writer: Mutex::new(Some(writer)), syncer: Mutex::default(), shared: Arc::clone(shared) };
        *lock(&threads.syncer) = Some(syncer?);
        Ok(threads)
    }

    pub(super) fn stop(&self) {
        lock(&self.shared.queue).closed = true;
        self.shared.wake.notify_all();
        join(&self.writer);
        lock(&self.shared.unsynced).closed = true;
        self.shared.wake_syncer.notify_all();
        join(&self.syncer);
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop();
    }
}

fn join(thread: &Mutex<Option<JoinHandle<()>>>) {
    if let Some(thread) = lock(thread).take() {
        // A thread that panicked has told its waiters by dropping their channels.
        let _ = thread.join();
    }
}
