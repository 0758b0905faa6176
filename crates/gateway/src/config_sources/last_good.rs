//! The last configuration that worked, kept as it was written: variables are not replaced in it, so it holds no secret that the
//! file does not hold. Only its owner may read it. Tests: `it/config_files.rs`.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use waypost_core::config::{Format, Text};

/// The copy of one configuration.
#[derive(Clone, Debug)]
pub struct LastGood(PathBuf);

#[derive(Serialize, Deserialize)]
struct Kept {
    name: String,
    json: bool,
    text: String,
}

impl LastGood {
    /// The copy of the configuration at `path`, in this folder.
    pub fn of(folder: &Path, path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        Some(Self(folder.join(format!("{name}.last-good"))))
    }

    pub fn file(&self) -> &Path {
        &self.0
    }

    /// Keeps these texts in place of the ones before.
    pub fn keep(&self, texts: &[Text]) -> io::Result<()> {
        let kept: Vec<Kept> = texts
            .iter()
            .map(|text| Kept { name: text.name.clone(), json: text.format == Format::Json, text: text.text.clone() })
            .collect();
        let bytes = serde_json::to_vec(&kept)?;
        if std::fs::read(&self.0).is_ok_and(|known| known == bytes) {
            return Ok(());
        }
        if let Some(folder) = self.0.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // Another process may keep its own at the same time; a reader finds one of them, whole.
        let draft = self.0.with_extension(format!("{}.draft", std::process::id()));
        // Not synced: a start does not wait for a disk, and half a copy is as good as none.
        let written = private(&draft).and_then(|mut file| {
            file.write_all(&bytes)?;
            std::fs::rename(&draft, &self.0)
        });
        if written.is_err() {
            // What is left of it is of no use.
            drop(std::fs::remove_file(&draft));
        }
        written
    }

    /// The texts, if any were kept and can be read.
    pub fn read(&self) -> Option<Vec<Text>> {
        let kept: Vec<Kept> = serde_json::from_slice(&std::fs::read(&self.0).ok()?).ok()?;
        let format = |json| if json { Format::Json } else { Format::Yaml };
        Some(
            kept.into_iter().map(|kept| Text { name: kept.name, format: format(kept.json), text: kept.text }).collect(),
        )
    }
}

/// A new file that nobody else may read.
fn private(path: &Path) -> io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
