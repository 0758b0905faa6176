//! One configuration from all that speaks of it: files over one another, variables over files, arguments over variables.
//! Decides precedence and remembers where each value came from. Texts and values come in; nothing is read here.
//! Tests are in `sources/tests.rs`.

mod merge;
mod twice;

use std::cell::RefCell;
use std::collections::HashSet;

use super::catalog::{Catalog, row_name};
use super::convert::{self, Note};
use super::environment::{Environment, unread};
use super::error::{ConfigError, Mark};
use super::expand::{Lookup, expand};
use super::node::{Node, Places};
use super::read::read;
use super::variables::Variables;
use super::{Channel, Config, Format, Key, ModelEntry, json, yaml};
use crate::secret::Secret;
use twice::twice;

/// The caller's key in set-up, the same for everybody: behind it is nothing but the simulator.
const SETUP_KEY: &str = "wp-simulator";

/// A text of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The name to show in errors.
    pub name: String,
    pub format: Format,
    pub text: String,
}

/// An argument of the command line that is a setting.
#[derive(Clone, Debug)]
pub struct Argument {
    pub flag: &'static str,
    /// Where the setting stands.
    pub path: &'static [&'static str],
    pub value: String,
}

/// All that speaks of a configuration.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The files; none if only variables speak.
    pub texts: &'a [Text],
    pub variables: &'a Variables,
    pub arguments: &'a [Argument],
    /// What a database says, if one speaks; everything else comes before it.
    pub catalog: Option<&'a Catalog>,
    /// Must be unpredictable: they become the caller's key if there is an account to protect and nothing names one.
    pub dice: [u8; 24],
    /// Callers have keys elsewhere, or somebody is there who makes some: none is made.
    pub callers_elsewhere: bool,
    /// The names that set-up lists.
    pub simulated: &'a [&'a str],
}

/// A configuration with what its owner may want to know of it.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// What became of a file in another format.
    pub notes: Vec<Note>,
    /// What may not be as its owner thinks.
    pub warnings: Vec<ConfigError>,
    /// Variables that look as if they were meant for Waypost and are not read.
    pub unread: Vec<ConfigError>,
    /// The caller's key that was made, if none was given: to be shown once.
    pub made_key: Option<Secret>,
    /// There is no file and no account at any provider; the simulator serves until there is one.
    pub setup: bool,
}

/// Reads everything and puts it together, or says everything that is wrong with it.
pub fn load(inputs: &Inputs<'_>) -> Result<Loaded, Vec<ConfigError>> {
    let mut draft = Draft::default();
    let used = RefCell::new(HashSet::new());
    let lookup = |name: &str| {
        used.borrow_mut().insert(name.to_owned());
        inputs.variables.get(name).map(str::to_owned)
    };
    let mut root = draft.read_texts(inputs.texts, &lookup)?;
    let mut environment = Environment {
        variables: inputs.variables,
        sources: &mut draft.sources,
        errors: std::mem::take(&mut draft.errors),
    };
    if inputs.texts.is_empty() {
        environment.add_accounts(&mut root);
    }
    environment.add_settings(&mut root);
    draft.errors = environment.errors;
    for argument in inputs.arguments {
        let mark = draft.sources.add(Place::Argument(argument.flag));
        root.set(argument.path, Node::plain(mark, argument.value.as_str()));
    }
    let mut shadowed = Vec::new();
    if let Some(catalog) = inputs.catalog {
        shadowed = catalog.add_to(&mut root, &mut draft.sources, &mut draft.errors);
    }
    let mut unread = unread(inputs.variables, !inputs.texts.is_empty());
    unread.retain(|warning| warning.file.as_ref().is_none_or(|name| !used.borrow().contains(bare(name))));
    let (mut config, notes) = draft.finish(root)?;
    let setup = inputs.texts.is_empty() && config.channels.is_empty();
    if setup {
        let models = inputs.simulated.iter().copied().chain(["sim/*"]).map(ModelEntry::named).collect();
        config.channels.push(Channel { models: Some(models), ..Channel::new("simulator", "simulator") });
    }
    let made_key = add_caller(&mut config, setup, inputs);
    let mut warnings = twice(&config);
    warnings.extend(shadowed);
    Ok(Loaded { config, notes, warnings, unread, made_key, setup })
}

/// `.env:3: NAME` is `NAME`.
fn bare(place: &str) -> &str {
    place.rsplit(' ').next().unwrap_or(place)
}

/// One text alone, as [`Config::parse`] reads it.
pub(super) fn parse(text: &Text, lookup: Lookup<'_>) -> Result<Config, Vec<ConfigError>> {
    let mut draft = Draft::default();
    let root = draft.read_texts(std::slice::from_ref(text), lookup)?;
    draft.finish(root).map(|(config, _)| config)
}

/// Somebody must be able to call: makes a key if nothing says who.
fn add_caller(config: &mut Config, setup: bool, inputs: &Inputs<'_>) -> Option<Secret> {
    if !config.keys.is_empty() || config.open_mode || inputs.callers_elsewhere {
        return None;
    }
    let key = if setup { Secret::new(SETUP_KEY) } else { make_key(inputs.dice) };
    config.keys.push(Key::named("default", key.clone()));
    Some(key)
}

/// `wp-` and 48 hexadecimal digits.
fn make_key(dice: [u8; 24]) -> Secret {
    let digits: String = dice.iter().map(|byte| format!("{byte:02x}")).collect();
    Secret::new(format!("wp-{digits}"))
}

// === draft ===

/// A configuration on its way.
#[derive(Default)]
struct Draft {
    sources: Sources,
    errors: Vec<ConfigError>,
    notes: Vec<Note>,
}

impl Draft {
    /// All texts as one tree in Waypost's own words, with variables replaced.
    fn read_texts(&mut self, texts: &[Text], lookup: Lookup<'_>) -> Result<Node, Vec<ConfigError>> {
        let mut roots = Vec::new();
        for text in texts {
            let mark = self.sources.add(Place::File(text.name.clone()));
            let content = text.text.strip_prefix('\u{feff}').unwrap_or(&text.text);
            let parsed = match text.format {
                Format::Yaml => yaml::parse(content),
                Format::Json => json::parse(content),
            };
            match parsed {
                Ok(mut root) => {
                    root.set_source(mark.source);
                    roots.push(root);
                }
                Err(mut error) => {
                    if let Some(at) = &mut error.mark {
                        at.source = mark.source;
                    }
                    self.errors.push(error);
                }
            }
        }
        if !self.errors.is_empty() {
            return Err(self.sources.named(std::mem::take(&mut self.errors)));
        }
        let mut root = merge::merged(roots, &self.sources, &mut self.errors);
        self.errors.extend(expand(&mut root, lookup));
        let converted = convert::convert(root);
        self.errors.extend(converted.errors);
        self.notes = converted.notes;
        self.notes.sort_by_key(|note| note.mark);
        for note in &mut self.notes {
            note.file = self.sources.file(note.mark);
        }
        Ok(converted.root)
    }

    fn finish(self, root: Node) -> Result<(Config, Vec<Note>), Vec<ConfigError>> {
        let Self { sources, mut errors, notes } = self;
        let places = Places::of(&root);
        match read::<Config>(root) {
            Ok(mut config) if errors.is_empty() => {
                config.origin = Origin { sources, places };
                Ok((config, notes))
            }
            Ok(_) => Err(sources.named(errors)),
            Err(more) => {
                errors.extend(more);
                Err(sources.named(errors))
            }
        }
    }
}

// === origin ===

/// Where a config came from, to say where its mistakes are and where each value was said.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    sources: Sources,
    places: Places,
}

impl Origin {
    /// Adds the source and the place to errors that name a key.
    pub(super) fn locate(&self, errors: &mut [ConfigError]) {
        for error in errors {
            error.mark = self.places.find(&error.path);
            self.sources.name(error);
        }
    }

    /// Where a value was said, by its path; `None` if nowhere.
    pub(super) fn said(&self, path: &str) -> Option<String> {
        let mark = self.places.exact(path)?;
        let place = self.sources.0.get(usize::from(mark.source))?;
        Some(match place {
            Place::File(name) => format!("{name}:{}", mark.line),
            Place::Variable(name) => format!("environment variable {name}"),
            Place::Argument(flag) => format!("command line {flag}"),
            Place::Row { table, id, .. } => row_name(table, id),
            Place::Default => return None,
        })
    }
}

/// What a part of a configuration stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    File(String),
    Variable(String),
    Argument(&'static str),
    /// A row of the catalog; its fields stand in that many lists.
    Row {
        table: &'static str,
        id: String,
        depth: u8,
    },
    /// Said by nobody.
    Default,
}

/// The sources of a configuration; marks hold their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources(Vec<Place>);

impl Sources {
    /// Numbers a source. The mark is that of its beginning.
    pub(super) fn add(&mut self, place: Place) -> Mark {
        match self.0.iter().position(|known| *known == place) {
            Some(number) => Self::beginning(number),
            None => self.add_new(place),
        }
    }

    /// Numbers a source that is not known yet.
    pub(super) fn add_new(&mut self, place: Place) -> Mark {
        self.0.push(place);
        Self::beginning(self.0.len() - 1)
    }

    fn beginning(number: usize) -> Mark {
        Mark { source: u16::try_from(number).unwrap_or(u16::MAX), line: 1, column: 1 }
    }

    /// `file:line`, for sentences.
    pub(super) fn shown(&self, mark: Mark) -> String {
        match self.0.get(usize::from(mark.source)) {
            Some(Place::File(name)) => format!("{name}:{}", mark.line),
            Some(Place::Variable(name)) => name.clone(),
            Some(Place::Argument(flag)) => (*flag).to_owned(),
            Some(Place::Row { table, id, .. }) => row_name(table, id),
            Some(Place::Default) | None => String::new(),
        }
    }

    /// The file a mark is in.
    fn file(&self, mark: Mark) -> Option<String> {
        match self.0.get(usize::from(mark.source)) {
            Some(Place::File(name)) => Some(name.clone()),
            Some(Place::Variable(_) | Place::Argument(_) | Place::Row { .. } | Place::Default) | None => None,
        }
    }

    /// Errors in the order of their places, each with the name of what it stands in.
    fn named(&self, mut errors: Vec<ConfigError>) -> Vec<ConfigError> {
        errors.sort_by_key(|error| error.mark);
        errors.iter_mut().for_each(|error| self.name(error));
        errors
    }

    fn name(&self, error: &mut ConfigError) {
        if error.mark.is_none() && error.file.is_some() {
            return;
        }
        let first_file = || self.0.first().filter(|place| matches!(place, Place::File(_)));
        let place = error.mark.map_or_else(first_file, |mark| self.0.get(usize::from(mark.source)));
        let (file, fix) = match place {
            Some(Place::File(name)) => {
                error.file = Some(name.clone());
                return;
            }
            Some(Place::Variable(name)) => (Some(name.clone()), Some("correct the variable, or unset it")),
            Some(Place::Argument(flag)) => (Some((*flag).to_owned()), Some("correct the argument, or leave it out")),
            Some(Place::Row { table, id, depth }) => {
                error.path = (0..*depth).fold(error.path.as_str(), |path, _| below_list(path)).to_owned();
                (Some(row_name(table, id)), Some("correct the row"))
            }
            Some(Place::Default) | None => (None, None),
        };
        error.file = file;
        error.mark = None;
        if error.fix.is_none() {
            error.fix = fix.map(str::to_owned);
        }
    }
}

/// `channels[3].tier` is `tier`.
fn below_list(path: &str) -> &str {
    path.split_once(']').map_or(path, |(_, rest)| rest.trim_start_matches('.'))
}

#[cfg(test)]
mod tests;
