//! The file or folder that holds the configuration. Decides names and their order; reads, and never writes.
//! Tests: `it/config_files.rs`.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use waypost_core::config::{Database, Format, Text};

use super::Mistakes;

/// What may hold channels, groups and keys.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A YAML file, or a folder of them.
    Yaml,
    /// A JSON file, or a folder of them.
    Json,
    /// A database in a file.
    Sqlite,
    /// A database on a server.
    Postgres,
    /// Whatever is there.
    Auto,
}

impl Mode {
    pub fn from_word(word: &str) -> Option<Self> {
        <Self as ValueEnum>::from_str(word, true).ok()
    }

    /// May the database hold a part of the configuration?
    pub fn has_catalog(self) -> bool {
        match self {
            Self::Sqlite | Self::Postgres | Self::Auto => true,
            Self::Yaml | Self::Json => false,
        }
    }

    /// Fails if this is not the database that the mode asks for.
    pub fn check(self, database: &Database) -> Result<(), Mistakes> {
        match (self, &database.url) {
            (Self::Sqlite, Some(_)) => Err(vec![
                "--mode sqlite: DATABASE_URL or database.url names a Postgres server; leave it out, or use --mode postgres"
                    .to_owned(),
            ]),
            (Self::Postgres, None) => Err(vec![
                "--mode postgres: no server is named; give its address in DATABASE_URL or database.url".to_owned(),
            ]),
            (Self::Sqlite | Self::Postgres | Self::Auto | Self::Yaml | Self::Json, _) => Ok(()),
        }
    }

    fn format(self) -> Option<Format> {
        match self {
            Self::Yaml => Some(Format::Yaml),
            Self::Json => Some(Format::Json),
            Self::Sqlite | Self::Postgres | Self::Auto => None,
        }
    }
}

/// Files that are looked for if none is named, in this order.
const USUAL_FILES: [&str; 5] =
    ["waypost.yaml", "waypost.yml", "waypost.json", "config/router_config.yaml", "config/router_config.json"];

/// The folder that is looked for after them. It counts if it has one of the layers, so that a folder of something else is left
/// alone.
const USUAL_FOLDER: &str = "config";
const LAYERS: [&str; 9] =
    ["system", "server", "providers", "channels", "model_groups", "models", "keys", "routing", "waypost"];

/// Larger files are no configurations.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Where a configuration is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    File(PathBuf, Format),
    /// Its files of one format, or of both.
    Folder(PathBuf, Option<Format>),
    Environment,
}

impl Place {
    /// The place that is named, else the first of the usual ones that is there.
    pub fn find(named: Option<PathBuf>, mode: Mode) -> Result<Self, Mistakes> {
        if let Some(path) = named {
            return Ok(Self::of(path, mode));
        }
        // A file counts beside a database only if somebody asks for it.
        if matches!(mode, Mode::Sqlite | Mode::Postgres) {
            return Ok(Self::Environment);
        }
        let usual = Self::candidates(mode).into_iter().find(|path| path.is_file() || is_layered(path, mode.format()));
        match usual {
            Some(path) => Ok(Self::of(path, mode)),
            None if mode == Mode::Auto => Ok(Self::Environment),
            None => {
                let names: Vec<_> = Self::candidates(mode).iter().map(|path| path.display().to_string()).collect();
                let word = if mode == Mode::Yaml { "yaml" } else { "json" };
                let names = names.join(", ");
                Err(vec![format!("--mode {word}: there is none of {names}; name the file with --config")])
            }
        }
    }

    /// What is looked for if nothing is named.
    pub fn candidates(mode: Mode) -> Vec<PathBuf> {
        let fits = |name: &&str| mode.format().is_none_or(|format| Format::of(name) == format);
        USUAL_FILES.iter().copied().filter(fits).chain([USUAL_FOLDER]).map(PathBuf::from).collect()
    }

    fn of(path: PathBuf, mode: Mode) -> Self {
        if path.is_dir() {
            return Self::Folder(path, mode.format());
        }
        let format = mode.format().unwrap_or_else(|| Format::of(&path.display().to_string()));
        Self::File(path, format)
    }

    /// What it is called.
    pub fn name(&self) -> String {
        match self {
            Self::File(path, _) | Self::Folder(path, _) => path.display().to_string(),
            Self::Environment => "environment".to_owned(),
        }
    }

    /// What stands there now; nothing in the environment.
    pub fn texts(&self) -> Result<Vec<Text>, Mistakes> {
        match self {
            Self::File(path, format) => read(path, *format).map(|text| vec![text]),
            Self::Folder(path, format) => {
                let files = files(path, *format).map_err(|error| unreadable(path, &error))?;
                if files.is_empty() {
                    let path = path.display();
                    return Err(vec![format!(
                        "{path}: holds no .yaml, .yml or .json file; name another one with --config"
                    )]);
                }
                files.iter().map(|file| read(file, Format::of(&file.display().to_string()))).collect()
            }
            Self::Environment => Ok(Vec::new()),
        }
    }
}

/// The files of a folder, by name; not those that begin with a dot.
fn files(folder: &Path, format: Option<Format>) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        let meant = match ending.as_deref() {
            Some("yaml" | "yml") => format != Some(Format::Json),
            Some("json") => format != Some(Format::Yaml),
            Some(_) | None => false,
        };
        let hidden = path.file_name().and_then(|name| name.to_str()).is_none_or(|name| name.starts_with('.'));
        if meant && !hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn is_layered(folder: &Path, format: Option<Format>) -> bool {
    let stem = |path: &PathBuf| path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
    let layer = |path: &PathBuf| stem(path).is_some_and(|stem| LAYERS.contains(&stem.as_str()));
    files(folder, format).is_ok_and(|files| files.iter().any(layer))
}

fn read(path: &Path, format: Format) -> Result<Text, Mistakes> {
    let about = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if about.len() > MAX_BYTES {
        return Err(vec![format!(
            "{}: too large for a configuration; name another file with --config",
            path.display()
        )]);
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    Ok(Text { name: path.display().to_string(), format, text })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Mistakes {
    vec![format!("{}: cannot be read: {error}; name another file with --config", path.display())]
}
