//! The few things a journal asks of a disk, so that a test can say no to each of them, and the real one.
//! Tests: `tests/it/journal.rs`.

use std::fmt::Debug;
use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder of files.
pub trait Disk: Send + Sync + Debug {
    /// Names of the files there are.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Up to so many bytes of a file from an offset on.
    fn read_at(&self, name: &str, offset: u64, most: usize) -> io::Result<Vec<u8>>;
    /// Makes a file that is not there, or empties it.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// The folder itself is on the disk: names of new files outlive a power cut.
    fn sync(&self) -> io::Result<()>;
}

/// One open file.
pub trait File: Send + Sync + Debug {
    /// Writes all of the bytes, or fails and may have written some.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// What was written is on the disk.
    fn sync(&self) -> io::Result<()>;
    fn truncate(&self, length: u64) -> io::Result<()>;
}

/// A folder of the file system, of which this process is the only user while it is open.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Locked for as long as it is open. Absent if it is only looked at.
    _lock: Option<fs::File>,
}

impl Folder {
    /// Opens the folder, and makes it if it is not there. Fails if another process has it open.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let mut options = fs::OpenOptions::new();
        options.create(true).append(true);
        private(&mut options);
        let lock = options.open(path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_path_buf(), _lock: Some(lock) }),
            Err(fs::TryLockError::WouldBlock) => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!(
                    "another process uses {}; stop it first, or give this one a database of its own",
                    path.display()
                ),
            )),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Folder {
    /// A folder that another process may have open. Only to be read.
    pub(super) fn look(path: &Path) -> Self {
        Self { path: path.to_path_buf(), _lock: None }
    }
}

/// Who spends how much is nobody else's business.
fn private(options: &mut fs::OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _ = options;
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect()
    }

    fn read_at(&self, name: &str, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let mut file = fs::File::open(self.path.join(name))?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(most as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        private(&mut options);
        Ok(Arc::new(Plain(options.open(self.path.join(name))?)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(Plain(fs::OpenOptions::new().write(true).open(self.path.join(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        #[cfg(unix)]
        fs::File::open(&self.path)?.sync_all()?;
        Ok(())
    }
}

#[derive(Debug)]
struct Plain(fs::File);

impl File for Plain {
    #[cfg(unix)]
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.0, bytes, offset)
    }

    #[cfg(not(unix))]
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        // One writes at a time, so the place in the file is its own.
        let mut file = &self.0;
        file.seek(SeekFrom::Start(offset))?;
        io::Write::write_all(&mut file, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()?;
        // What is written to a deleted file is nowhere.
        #[cfg(unix)]
        if std::os::unix::fs::MetadataExt::nlink(&self.0.metadata()?) == 0 {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the file was deleted while it was in use"));
        }
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
}
