//! Asks accounts which models they have, and remembers what they said. What is found goes into the config before it is
//! compiled, so that a discovered model is like any other; when something changed, the config is compiled anew.
//!
//! An account that does not answer keeps its last list. Knows no dialect beyond the list. Tests: `it/discovery.rs`.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use waypost_core::config::Config;
use waypost_core::snapshot::{Channel, Credential};
use waypost_wire::{WireError, listing};

use crate::app::{App, Live};
use crate::jobs::Jobs;
use crate::upstream::{Failure, OutBody, Outgoing, Target, Timeouts};

/// How long one account may take to tell its list.
const PATIENCE: Duration = Duration::from_secs(15);
/// The largest list that is read.
const MAX_LIST: u64 = 8 << 20;
/// An account with many keys is not asked with more of them.
const MAX_KEYS: usize = 3;
/// How often to look whether a new configuration wants something asked.
const AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// What the accounts have said, by channel.
#[derive(Default)]
pub struct Discovery {
    lists: Mutex<BTreeMap<Arc<str>, Vec<String>>>,
    now: Notify,
}

/// Why an account's list could not be had.
#[derive(Debug)]
enum Unheard {
    NoList,
    Status(StatusCode),
    Failure(Failure),
    Unreadable(WireError),
}

impl fmt::Display for Unheard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoList => f.write_str("the provider has no list of models"),
            Self::Status(status) => write!(f, "it answered with status {}", status.as_u16()),
            Self::Failure(failure) => write!(f, "{failure}"),
            Self::Unreadable(error) => write!(f, "{error}"),
        }
    }
}

impl Discovery {
    /// Puts what was found into a config that is about to be compiled.
    pub fn add_to(&self, config: &mut Config) {
        let lists = self.lists();
        for channel in &mut config.channels {
            channel.discovered = lists.get(channel.name.as_str()).cloned().unwrap_or_default();
        }
    }

    /// Asks again soon, whatever was asked when: on a signal or an owner's word.
    pub fn ask_now(&self) {
        self.now.notify_one();
    }

    /// Asks every account that is to be asked and says whether the config has to be compiled anew.
    pub async fn refresh(&self, app: &App) -> bool {
        let live = app.live();
        let mut changed = self.forget(&live);
        for channel in live.snapshot.channels.iter().filter(|channel| channel.discovery.is_some()) {
            changed |= self.ask(app, &live, channel).await;
        }
        changed
    }

    /// Asks each account as often as it is to be asked, until the jobs are told to stop. `changed` takes the news over.
    pub async fn run(self: Arc<Self>, app: Arc<App>, jobs: Jobs, changed: impl Fn() + Send) {
        let mut asked: HashMap<Arc<str>, Instant> = HashMap::new();
        loop {
            let wake = tokio::select! {
                () = jobs.stopping() => return,
                wake = self.round(&app, &mut asked, &changed) => wake,
            };
            tokio::select! {
                () = jobs.stopping() => return,
                () = self.now.notified() => asked.clear(),
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Asks those whose time has come, and says when the next time comes.
    async fn round(&self, app: &App, asked: &mut HashMap<Arc<str>, Instant>, changed: &impl Fn()) -> Instant {
        let live = app.live();
        let mut news = self.forget(&live);
        let mut wake = Instant::now() + AT_LEAST_EVERY;
        for channel in &live.snapshot.channels {
            let Some(wanted) = &channel.discovery else { continue };
            let due = asked.get(&channel.name).map(|at| *at + wanted.every);
            if due.is_none_or(|due| due <= Instant::now()) {
                asked.insert(Arc::clone(&channel.name), Instant::now());
                news |= self.ask(app, &live, channel).await;
            }
            let next = asked.get(&channel.name).map(|at| *at + wanted.every);
            wake = next.map_or(wake, |next| wake.min(next));
        }
        if news {
            changed();
        }
        wake
    }

    /// Drops the lists of channels that are no longer asked.
    fn forget(&self, live: &Live) -> bool {
        let mut lists = self.lists();
        let before = lists.len();
        let asked = |name: &str| {
            live.snapshot.channels.iter().any(|channel| channel.discovery.is_some() && &*channel.name == name)
        };
        lists.retain(|name, _| asked(name));
        lists.len() < before
    }

    /// Asks one account; says whether its list is another one now.
    async fn ask(&self, app: &App, live: &Live, channel: &Channel) -> bool {
        let mut heard = Err(Unheard::NoList);
        for credential in channel.credentials.iter().take(MAX_KEYS) {
            heard = list(app, live, channel, credential).await;
            if heard.is_ok() {
                break;
            }
        }
        let names = match heard {
            Ok(names) => names,
            Err(reason) => {
                tracing::warn!(channel = %channel.name, %reason, "an account did not tell its models; the last list stays");
                return false;
            }
        };
        let wanted = |name: &String| channel.discovery.as_ref().is_some_and(|discovery| discovery.wants(name));
        let names: Vec<String> = names.into_iter().filter(wanted).collect();
        let mut lists = self.lists();
        if lists.get(&channel.name) == Some(&names) {
            return false;
        }
        tracing::info!(channel = %channel.name, models = names.len(), "an account told its models");
        lists.insert(Arc::clone(&channel.name), names);
        true
    }

    fn lists(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Vec<String>>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names an account gives for its models, asked with one of its keys.
async fn list(app: &App, live: &Live, channel: &Channel, credential: &Credential) -> Result<Vec<String>, Unheard> {
    let origin = live.origin(channel.id).ok_or(Unheard::NoList)?;
    let path = channel.models_path().ok_or(Unheard::NoList)?;
    let target = Target::at(Arc::clone(origin), &path).map_err(|_| Unheard::NoList)?;
    let timeouts = Timeouts { connect: channel.timeouts.connect, ..Timeouts::until(Instant::now() + PATIENCE) };
    let outgoing =
        Outgoing { method: Method::GET, target, headers: headers(channel, credential), body: OutBody::empty() };
    let answer = app.transport.send(outgoing, timeouts).await.map_err(Unheard::Failure)?;
    if !answer.status.is_success() {
        return Err(Unheard::Status(answer.status));
    }
    let body = answer.body.collect(MAX_LIST).await.map_err(Unheard::Failure)?;
    listing::names(&body).map_err(Unheard::Unreadable)
}

/// What every question to an account carries, apart from what is asked.
pub(crate) fn headers(channel: &Channel, credential: &Credential) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("waypost/", env!("CARGO_PKG_VERSION"))));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let own = channel.headers.iter().chain(&credential.header);
    headers.extend(own.map(|(name, value)| (name.clone(), value.clone())));
    headers
}
