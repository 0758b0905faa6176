//! The two threads of a journal: one writes what is queued in groups, one asks the disk to keep what was written. They end
//! with the journal. Tests: `tests/it/journal.rs`.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::{oneshot, watch};

use super::disk::{Disk, File};
use super::record::Record;
use super::segment::{name_of, number_of};
use super::ticket::{State, Synced, Ticket, Unwritten};
use super::writer::{Outcome, Queued, Writer};
use super::{JournalError, Options, Position};

/// No more holds and checkpoints wait than this.
const QUEUE: usize = 65_536;
/// How often it does so when the journal is to be closed.
const LAST_TRIES: u32 = 5;

/// What callers and threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) options: Options,
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
    /// The disk did not keep what it took: go on in another file.
    distrusted: AtomicBool,
    segment: AtomicU64,
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
    pub(super) fn new(disk: Arc<dyn Disk>, end: Position, size: u64, options: Options) -> Self {
        Self {
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
            distrusted: AtomicBool::new(false),
            segment: AtomicU64::new(end.segment),
        }
    }

    pub(super) fn append(&self, record: Record) -> Ticket {
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
        let state = refused.map_or(State::Waiting(waiting), |why| State::Done(Err(why)));
        Ticket { state, synced: self.synced.subscribe(), durability: self.options.durability }
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

    /// The next group, and whether it is the last. Waits for one unless something is kept that must be tried again.
    fn next_group(&self, kept: &mut Vec<Queued>) -> (Vec<Queued>, bool) {
        let mut queue = lock(&self.queue);
        if kept.is_empty() {
            while queue.records.is_empty() && !queue.closed {
                queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        } else if queue.records.is_empty() {
            let (guard, _) =
                self.wake.wait_timeout(queue, self.options.retry_every).unwrap_or_else(PoisonError::into_inner);
            queue = guard;
        }
        let mut group = std::mem::take(kept);
        group.append(&mut queue.records);
        (group, queue.closed)
    }

    fn publish(&self, outcome: Outcome, end: Option<(Position, u64)>) -> Vec<Queued> {
        self.size.fetch_add(outcome.grew, Ordering::Relaxed);
        self.waiting.store(outcome.kept.len(), Ordering::Relaxed);
        self.failing.store(outcome.failed, Ordering::Relaxed);
        if let Some((position, _)) = end {
            self.segment.store(position.segment, Ordering::Release);
        }
        if !outcome.touched.is_empty() {
            let mut unsynced = lock(&self.unsynced);
            for file in outcome.touched {
                if !unsynced.files.iter().any(|other| Arc::ptr_eq(other, &file)) {
                    unsynced.files.push(file);
                }
            }
            unsynced.is_new |= outcome.is_new;
            unsynced.end = end.or(unsynced.end);
            drop(unsynced);
            self.wake_syncer.notify_one();
        }
        outcome.told.into_iter().for_each(|(queued, how)| queued.tell(how));
        outcome.kept
    }

    fn write_all(&self, mut writer: Writer) {
        let mut kept = Vec::new();
        let mut tries = 0;
        loop {
            let (group, closed) = self.next_group(&mut kept);
            if closed && (group.is_empty() || tries == LAST_TRIES) {
                break;
            }
            if self.distrusted.swap(false, Ordering::AcqRel) {
                writer.rotate();
            }
            let outcome = writer.write(group);
            let end = writer.end();
            kept = self.publish(outcome, end);
            tries += u32::from(closed);
        }
        let last = writer.end();
        let touched = writer.seal().into_iter().collect();
        let never = self.publish(Outcome { touched, kept, ..Outcome::default() }, last);
        never.into_iter().for_each(|queued| queued.tell(Err(Unwritten::Closed)));
    }

    fn sync_all(&self) {
        let mut before = 0;
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
                self.synced.send_modify(|synced| {
                    synced.upto = count;
                    if done.is_err() {
                        synced.doubtful = (before, count);
                    }
                });
                before = count;
            }
            if closed && lock(&self.unsynced).files.is_empty() {
                return;
            }
        }
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
    pub(super) fn start(shared: &Arc<Shared>, next_segment: u64) -> io::Result<Self> {
        let writer = Writer::new(Arc::clone(&shared.disk), shared.options.sizes, next_segment);
        let (writing, syncing) = (Arc::clone(shared), Arc::clone(shared));
        let writer = thread::Builder::new().name("journal".into()).spawn(move || writing.write_all(writer))?;
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
