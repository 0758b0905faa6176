//! A disk in memory that does what a test wants: fails a call, is full, dies in the middle of a write, loses what was not
//! synced, keeps a call waiting. Tests of crashes run the real journal on it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, File};

/// What goes wrong, counted in calls that change something from the time it was set, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// This call fails, having done nothing; later ones work.
    Fail(u64),
    /// From this call on nothing works; a write does half of its work first.
    Die(u64),
    /// Files cannot grow.
    Full,
}

/// What a watcher is asked before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call<'a> {
    /// Something is written to a file.
    Write,
    /// What was written to a file is kept from power cuts.
    Sync,
    /// The file with this name goes.
    Remove(&'a str),
}

#[derive(Clone)]
struct Watcher(Arc<dyn Fn(Call<'_>) -> io::Result<()> + Send + Sync>);

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watcher")
    }
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Kept>,
    /// The names that a power cut leaves.
    durable: BTreeMap<String, Kept>,
    fault: Fault,
    calls: u64,
    watcher: Option<Watcher>,
}

type Kept = Arc<Mutex<Contents>>;

#[derive(Debug, Default)]
struct Contents {
    now: Vec<u8>,
    /// What a power cut leaves of it.
    durable: Vec<u8>,
}

impl Contents {
    fn kept(bytes: Vec<u8>) -> Kept {
        Arc::new(Mutex::new(Self { now: bytes.clone(), durable: bytes }))
    }
}

impl MemoryDisk {
    /// From now on, this goes wrong.
    pub fn set(&self, fault: Fault) {
        let mut state = self.lock();
        (state.fault, state.calls) = (fault, 0);
    }

    /// From now on `watcher` is asked before each of these calls: it may look on, wait, or refuse. Other calls go on meanwhile.
    pub fn watch(&self, watcher: impl Fn(Call<'_>) -> io::Result<()> + Send + Sync + 'static) {
        self.lock().watcher = Some(Watcher(Arc::new(watcher)));
    }

    fn ask(&self, call: Call<'_>) -> io::Result<()> {
        let watcher = self.lock().watcher.clone();
        watcher.map_or(Ok(()), |watcher| (watcher.0)(call))
    }

    /// Calls since the fault was set.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// The disk as a new process finds it: nothing that the old one still does is seen on it, and nobody watches it. With `power`
    /// lost, only what was synced is there.
    pub fn after_crash(&self, power: bool) -> Self {
        let state = self.lock();
        let kept = if power { &state.durable } else { &state.files };
        let copy = |(name, kept): (&String, &Kept)| {
            let contents = read(kept);
            let bytes = if power { contents.durable.clone() } else { contents.now.clone() };
            (name.clone(), Contents::kept(bytes))
        };
        let files: BTreeMap<String, Kept> = kept.iter().map(copy).collect();
        Self(Arc::new(Mutex::new(State { durable: files.clone(), files, ..State::default() })))
    }

    /// A file's bytes.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.lock().files.get(name).map(|kept| read(kept).now.clone())
    }

    /// Replaces a file's bytes.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        self.lock().files.insert(name.to_owned(), Contents::kept(bytes));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(kept: &Kept) -> MutexGuard<'_, Contents> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

fn error(kind: io::ErrorKind) -> io::Error {
    io::Error::new(kind, "as the test wants")
}

impl State {
    /// Counts a call; `Err(true)` if it has to fail half-way.
    fn call(&mut self) -> Result<(), bool> {
        self.calls += 1;
        match self.fault {
            Fault::Fail(at) if self.calls == at => Err(false),
            Fault::Die(at) if self.calls == at => Err(true),
            Fault::Die(at) if self.calls > at => Err(false),
            Fault::None | Fault::Fail(_) | Fault::Die(_) | Fault::Full => Ok(()),
        }
    }

    fn whole(&mut self) -> io::Result<()> {
        self.call().map_err(|_| error(io::ErrorKind::Other))
    }

    fn find(&self, name: &str) -> io::Result<Kept> {
        self.files.get(name).cloned().ok_or_else(|| error(io::ErrorKind::NotFound))
    }
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().files.keys().cloned().collect())
    }

    fn read_at(&self, name: &str, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let kept = self.lock().find(name)?;
        let bytes = &read(&kept).now;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = start.saturating_add(most).min(bytes.len());
        Ok(bytes.get(start..end).unwrap_or_default().to_vec())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut state = self.lock();
        state.whole()?;
        let kept = Kept::default();
        state.files.insert(name.to_owned(), Arc::clone(&kept));
        Ok(Arc::new(Handle { disk: self.clone(), kept }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let kept = self.lock().find(name)?;
        Ok(Arc::new(Handle { disk: self.clone(), kept }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.whole()?;
        let kept = state.files.remove(from).ok_or_else(|| error(io::ErrorKind::NotFound))?;
        state.files.insert(to.to_owned(), kept);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.ask(Call::Remove(name))?;
        let mut state = self.lock();
        state.whole()?;
        state.files.remove(name).map(drop).ok_or_else(|| error(io::ErrorKind::NotFound))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.whole()?;
        state.durable = state.files.clone();
        Ok(())
    }
}

#[derive(Debug)]
struct Handle {
    disk: MemoryDisk,
    kept: Kept,
}

impl File for Handle {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.ask(Call::Write)?;
        let mut state = self.disk.lock();
        let done = state.call();
        let kept = &mut read(&self.kept).now;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(bytes.len());
        let (bytes, failure) = match done {
            Ok(()) if state.fault == Fault::Full && end > kept.len() => {
                let fits = kept.len().saturating_sub(start);
                (bytes.get(..fits).unwrap_or_default(), Some(io::ErrorKind::StorageFull))
            }
            Ok(()) => (bytes, None),
            Err(true) => (bytes.get(..bytes.len() / 2).unwrap_or_default(), Some(io::ErrorKind::Other)),
            Err(false) => (&[][..], Some(io::ErrorKind::Other)),
        };
        if kept.len() < start.saturating_add(bytes.len()) && !bytes.is_empty() {
            kept.resize(start + bytes.len(), 0);
        }
        kept.iter_mut().skip(start).zip(bytes).for_each(|(to, from)| *to = *from);
        failure.map_or(Ok(()), |kind| Err(error(kind)))
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.ask(Call::Sync)?;
        self.disk.lock().whole()?;
        let contents = &mut *read(&self.kept);
        contents.durable.clone_from(&contents.now);
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.disk.lock().whole()?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        read(&self.kept).now.truncate(length);
        Ok(())
    }
}
