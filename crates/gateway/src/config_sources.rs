//! Where the configuration comes from on this machine: a file, a folder of files, the environment with its `.env`; and the
//! last one that worked. Decides what is looked for and in which order; what it says is for [`waypost_core::config`].
//! Tests: `it/config_files.rs`, `it/founding.rs`.

mod last_good;
mod place;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use waypost_core::config::{Argument, Catalog, Config, ConfigError, Inputs, Loaded, Text, Variables, load};
use waypost_core::health::States;
use waypost_core::snapshot::compile;

pub use self::last_good::LastGood;
pub use self::place::{Mode, Place};
use crate::catalog::Feed;
use crate::prices::PriceFeed;
use crate::reload::{Source, Watch};
use crate::simulator;

/// The file of variables in the working directory.
const ENV_FILE: &str = ".env";

/// Where last-known-good configurations are kept unless something else is said: beside the configuration.
const STATE_DIR: &str = ".waypost";

/// What the arguments say about the configuration; variables may say it, too.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub config: Option<PathBuf>,
    pub mode: Option<Mode>,
    pub state_dir: Option<PathBuf>,
    /// A broken configuration is never replaced by the last one that worked.
    pub strict: bool,
    /// Settings from the command line.
    pub settings: Vec<Argument>,
}

/// Reads the configuration, again and again.
pub struct ConfigSource {
    wanted: Wanted,
    dice: [u8; 24],
    /// Where it was found first; it is not looked for elsewhere afterwards.
    place: Option<Place>,
    /// What was read last.
    texts: Vec<Text>,
    /// How it looked just before.
    watch: Watch,
    /// What a database says, under all that.
    catalog: Option<Arc<Feed>>,
    /// The prices that were set while gateways ran.
    prices: Option<Arc<PriceFeed>>,
    /// The rows that could not be used at the first look. Only these may be left out: a row that worked once is not taken away.
    left_out: Option<BTreeSet<String>>,
    /// Somebody can call or make keys without a key of the file: none is made.
    callers_elsewhere: bool,
}

/// A configuration as it was found.
#[derive(Debug)]
pub struct Found {
    pub loaded: Loaded,
    /// What it is called: the file, the folder or `environment`.
    pub name: String,
}

/// Reads everything over a catalog.
type Reading<'r> = dyn Fn(Option<&Catalog>) -> Result<Loaded, Vec<ConfigError>> + 'r;

/// Every line says what is wrong, where and how to mend it.
pub type Mistakes = Vec<String>;

impl ConfigSource {
    /// `dice` must be unpredictable: they become a caller's key where none is given.
    pub fn new(wanted: Wanted, dice: [u8; 24]) -> Self {
        Self {
            wanted,
            dice,
            place: None,
            texts: Vec::new(),
            watch: Watch::default(),
            catalog: None,
            prices: None,
            left_out: None,
            callers_elsewhere: false,
        }
    }

    /// What holds the configuration, as arguments and variables say.
    pub fn mode(&self) -> Result<Mode, Mistakes> {
        self.mode_of(&variables()?)
    }

    /// Puts what a database says under everything else, from now on.
    pub fn lay_under(&mut self, catalog: Arc<Feed>) {
        self.catalog = Some(catalog);
        self.left_out = None;
    }

    /// Puts the prices that were set while gateways ran after those of files, from now on.
    pub fn lay_prices(&mut self, prices: Arc<PriceFeed>) {
        self.prices = Some(prices);
    }

    /// From now on no key is made where none is given: callers' keys, or somebody who makes them, are in the database.
    pub fn callers_are_elsewhere(&mut self) {
        self.callers_elsewhere = true;
    }

    /// Finds and reads it as it is now.
    pub fn find(&mut self) -> Result<Found, Mistakes> {
        if !matches!(self.place, Some(Place::File(..) | Place::Folder(..))) {
            self.watch = Watch::new(self.watched());
            self.place = Some(self.look(&variables()?)?);
        }
        // Before it is read: what changes in between is seen at the next look.
        self.watch = Watch::new(self.watched());
        let variables = variables()?;
        let place = self.place.as_ref().unwrap_or(&Place::Environment);
        self.texts = place.texts()?;
        let name = place.name();
        let (loaded, left_out) = self.put_together(&self.texts, &variables)?;
        self.left_out = Some(left_out);
        Ok(Found { loaded, name })
    }

    /// The last one that worked, if one is kept.
    pub fn find_last_good(&self) -> Option<Result<Found, Mistakes>> {
        let texts = self.last_good()?.read()?;
        let name = format!("the last configuration that worked ({})", self.place.as_ref()?.name());
        let loaded = variables().and_then(|variables| self.put_together(&texts, &variables));
        Some(loaded.map(|(loaded, _)| Found { loaded, name }))
    }

    /// Keeps what was read last as the last that worked. A failure is no reason not to serve.
    pub fn keep(&self) {
        if let Some(last_good) = self.last_good()
            && !self.texts.is_empty()
            && let Err(error) = last_good.keep(&self.texts)
        {
            let file = last_good.file().display();
            tracing::warn!(%file, %error, "the configuration cannot be kept for a start with a broken one");
        }
    }

    /// Is a broken configuration an end in any case?
    pub fn is_strict(&self) -> bool {
        let said = variables().ok().and_then(|variables| variables.said("WAYPOST_STRICT_CONFIG").map(str::to_owned));
        self.wanted.strict || said.is_some_and(|word| matches!(word.as_str(), "true" | "1" | "yes" | "on"))
    }

    fn look(&self, variables: &Variables) -> Result<Place, Mistakes> {
        let named = variables.said("WAYPOST_CONFIG").map(PathBuf::from);
        Place::find(self.wanted.config.clone().or(named), self.mode_of(variables)?)
    }

    fn mode_of(&self, variables: &Variables) -> Result<Mode, Mistakes> {
        match (self.wanted.mode, variables.said("WAYPOST_MODE")) {
            (Some(mode), _) => Ok(mode),
            (None, Some(word)) => Mode::from_word(word).ok_or_else(|| {
                vec![
                    "WAYPOST_MODE: expected yaml, json, sqlite, postgres or auto; correct the variable, or unset it"
                        .into(),
                ]
            }),
            (None, None) => Ok(Mode::Auto),
        }
    }

    fn last_good(&self) -> Option<LastGood> {
        let path = match self.place.as_ref()? {
            Place::File(path, _) | Place::Folder(path, _) => path,
            Place::Environment => return None,
        };
        let said = || variables().ok().and_then(|variables| variables.said("WAYPOST_STATE_DIR").map(PathBuf::from));
        let beside = || path.parent().unwrap_or(Path::new("")).join(STATE_DIR);
        let folder = self.wanted.state_dir.clone().or_else(said).unwrap_or_else(beside);
        LastGood::of(&folder, path)
    }

    fn watched(&self) -> Vec<PathBuf> {
        let mut watched = match &self.place {
            Some(Place::File(path, _) | Place::Folder(path, _)) => vec![path.clone()],
            Some(Place::Environment) | None => Place::candidates(Mode::Auto),
        };
        watched.push(PathBuf::from(ENV_FILE));
        watched
    }

    /// Everything together, and the rows of the catalog that were left out.
    fn put_together(&self, texts: &[Text], variables: &Variables) -> Result<(Loaded, BTreeSet<String>), Mistakes> {
        let read = |catalog: Option<&Catalog>| {
            let simulated: Vec<&str> = simulator::listing().iter().map(|listed| listed.name).collect();
            let (arguments, dice) = (self.wanted.settings.as_slice(), self.dice);
            let callers_elsewhere = self.callers_elsewhere;
            load(&Inputs { texts, variables, arguments, catalog, dice, callers_elsewhere, simulated: &simulated })
        };
        let (mut loaded, left_out) = match &self.catalog {
            None => (read(None).map_err(|errors| lines(&errors))?, BTreeSet::new()),
            Some(feed) => self.over_catalog(&feed.catalog(), &read)?,
        };
        let lookup = |name: &str| variables.get(name).map(str::to_owned);
        if let Some(prices) = &self.prices {
            loaded.config.api_prices = prices.prices();
        }
        loaded.config.telemetry.obey_environment(&lookup).map_err(|error| vec![error.to_string()])?;
        Ok((loaded, left_out))
    }

    /// Reads over a catalog. A row that never worked is left out, so that it cannot keep the gateway from serving; one that has worked
    /// is an error like any other, so that what is in use stays in use.
    fn over_catalog(&self, catalog: &Catalog, read: &Reading<'_>) -> Result<(Loaded, BTreeSet<String>), Mistakes> {
        let mut catalog = catalog.clone();
        let mut left_out = BTreeSet::new();
        let mut told = Vec::new();
        loop {
            let errors = match read(Some(&catalog)) {
                // The last word is the compiler's; it is heard here, too, because it knows no rows to leave out.
                Ok(mut loaded) => match compile(&loaded.config, &States::default()) {
                    Err(errors) if !catalog.is_empty() => errors,
                    Ok(_) | Err(_) => {
                        loaded.warnings.extend(told);
                        return Ok((loaded, left_out));
                    }
                },
                Err(errors) => errors,
            };
            let names: BTreeSet<String> = errors.iter().filter_map(|error| error.file.clone()).collect();
            let may_go = self.left_out.as_ref().is_none_or(|known| names.is_subset(known));
            let Some(less) = catalog.without(&errors).filter(|_| may_go) else { return Err(lines(&errors)) };
            catalog = less;
            left_out.extend(names);
            told.extend(errors);
        }
    }
}

impl Source for ConfigSource {
    fn load(&mut self) -> Result<Config, Vec<String>> {
        self.find().map(|found| found.loaded.config)
    }

    fn watch(&mut self) -> Watch {
        self.watch.clone()
    }

    fn taken(&mut self) {
        self.keep();
    }
}

/// Errors as lines.
pub fn lines(errors: &[ConfigError]) -> Mistakes {
    errors.iter().map(ToString::to_string).collect()
}

/// The variables of the process over those of the `.env` file.
pub fn variables() -> Result<Variables, Mistakes> {
    let pairs = std::env::vars_os();
    let readable = pairs.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut variables = Variables::of(readable);
    match std::fs::read_to_string(ENV_FILE) {
        Ok(text) => variables.add_file(&text, ENV_FILE).map_err(|errors| lines(&errors))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // Some have a folder of that name.
        Err(_) if Path::new(ENV_FILE).is_dir() => {}
        Err(error) => return Err(vec![format!("{ENV_FILE}: cannot be read: {error}; make it readable, or remove it")]),
    }
    Ok(variables)
}
