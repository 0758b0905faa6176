//! What one request needs, built once from parts. Tests build it the same way, with a transport and an inbox of their own.
//! Holds no policy: config and core decide. The living state is beside the snapshot, never inside it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue};
use tokio::sync::{Semaphore, watch};
use waypost_core::dice::Dice;
use waypost_core::directory::Directory;
use waypost_core::error::{GatewayError, Kind, Origin as ErrorOrigin};
use waypost_core::health::{States, Traffic, Transition};
use waypost_core::ids::ChannelId;
use waypost_core::rate_headers;
use waypost_core::route::Claim;
use waypost_core::snapshot::{Deployment, Snapshot};
use waypost_store::money::Money;
use waypost_store::{Store, Vault};

use crate::callers::Callers;
use crate::captures::Captures;
use crate::catalog::Feed;
use crate::client;
use crate::clock::{Clock, unix_millis};
use crate::discovery::Discovery;
use crate::events::{Event, Events};
use crate::http::api::health::ToldLately;
use crate::http::cors::{self, Verdict};
use crate::identity::Identity;
use crate::jobs::Jobs;
use crate::limits::Limits as CallerLimits;
use crate::pipeline::meter::Chain;
use crate::pipeline::queue::Queues;
use crate::prices::PriceFeed;
use crate::probe::Probes;
use crate::records::Records;
use crate::reload::{Orders, Report};
use crate::seals::Seals;
use crate::security::{Incident, Security, Sign, Who};
use crate::serve::{Glance, Limits};
use crate::simulator::Simulator;
use crate::telemetry::Telemetry;
use crate::upstream::{BadTarget, Origin, TlsOptions, TlsProfile, Transport};

/// So many changes of the administration may have begun and not ended, whoever still waits for them.
const MOST_CHANGES: usize = 256;

/// Everything requests share.
pub struct App {
    live: ArcSwap<Live>,
    pub transport: Box<dyn Transport>,
    pub simulator: Simulator,
    pub records: Records,
    pub telemetry: Arc<Telemetry>,
    pub seals: Arc<Seals>,
    /// How deployments and credentials are doing; outlives every snapshot.
    pub states: States,
    /// Callers whose keys are in the database.
    pub directory: Arc<Directory>,
    /// Keeps the directory as the database has it.
    pub callers: Callers,
    /// Which keys' bodies are kept at the moment.
    pub captures: Arc<Captures>,
    /// Where what callers take of their limits is counted.
    pub caller_limits: CallerLimits,
    /// Who behaves suspiciously.
    pub security: Security,
    pub clock: Clock,
    /// Where people, keys, usage and money are kept; absent in commands and tests that keep nothing.
    pub store: Option<Store>,
    /// What opens the secrets of the database.
    pub vault: OnceLock<Arc<Vault>>,
    /// What the database holds of the configuration, where that counts.
    pub catalog: OnceLock<Arc<Feed>>,
    /// The prices that were set while gateways ran.
    pub prices: OnceLock<Arc<PriceFeed>>,
    identity: OnceLock<Arc<Identity>>,
    /// What requests are charged by; absent where nothing is charged.
    pub money: Option<Money>,
    /// How much is tried again, over all requests.
    pub traffic: Traffic,
    pub queues: Arc<Queues>,
    /// What the administration was asked to change, whoever still waits for it.
    pub desk: Jobs,
    /// Places for changes that have begun, behind the check of who asks and of what they sent.
    pub places: Semaphore,
    pub health: ToldLately,
    /// What happens, for whoever listens.
    pub events: Arc<Events>,
    /// What accounts have said of the models they have; part of every configuration that is taken into use.
    pub discovery: Arc<Discovery>,
    /// The way to order a reload.
    pub reloads: Orders,
    last_reload: ArcSwap<Report>,
    /// What probes have found.
    pub probes: Probes,
    /// Counts the configurations taken into use.
    changes: watch::Sender<u64>,
    limits: Limits,
    /// Seeds every request's dice and id.
    entropy: u64,
    requests: AtomicU64,
    panics: AtomicU64,
    leaving: AtomicBool,
    draining: AtomicBool,
    /// Not only this machine can reach it.
    exposed: AtomicBool,
    edge: OnceLock<Glance>,
    started: u64,
}

/// What an app is built of.
pub struct Parts {
    pub live: Live,
    /// What the snapshot was compiled with.
    pub states: States,
    pub transport: Box<dyn Transport>,
    pub records: Records,
    pub limits: Limits,
    pub store: Option<Store>,
    pub money: Option<Money>,
    /// 64 random bits, different for every process.
    pub entropy: u64,
}

/// A snapshot with what the gateway derives from it. They are swapped together, so they always agree.
pub struct Live {
    pub snapshot: Snapshot,
    origins: HashMap<ChannelId, Arc<Origin>>,
}

impl Live {
    /// Derives what sending needs; fails if a channel's address is none.
    pub fn new(snapshot: Snapshot) -> Result<Self, BadTarget> {
        let mut origins = HashMap::new();
        for channel in snapshot.channels.iter().filter(|channel| !channel.provider.built_in) {
            let tls = if channel.verify_tls {
                TlsProfile::Public
            } else {
                TlsProfile::own(&TlsOptions { extra_roots: Vec::new(), verify: false }).map_err(|_| BadTarget)?
            };
            origins.insert(
                channel.id,
                Arc::new(Origin::parse(&channel.origin, tls)?.allow_private(channel.allow_private)),
            );
        }
        Ok(Self { snapshot, origins })
    }

    /// Where a channel's connections go; `None` for a built-in provider.
    pub fn origin(&self, channel: ChannelId) -> Option<&Arc<Origin>> {
        self.origins.get(&channel)
    }
}

impl App {
    pub fn new(parts: Parts) -> Self {
        let telemetry = Telemetry::default();
        let directory = Arc::<Directory>::default();
        let captures = Arc::<Captures>::default();
        telemetry.metrics.know(&parts.live.snapshot);
        Self {
            live: ArcSwap::from_pointee(parts.live),
            transport: parts.transport,
            simulator: Simulator::default(),
            records: parts.records,
            telemetry: Arc::new(telemetry),
            seals: Arc::default(),
            states: parts.states,
            callers: Callers::new(Arc::clone(&directory), Arc::clone(&captures)),
            captures,
            directory,
            caller_limits: CallerLimits::default(),
            security: Security::default(),
            clock: Clock::default(),
            store: parts.store,
            vault: OnceLock::new(),
            catalog: OnceLock::new(),
            prices: OnceLock::new(),
            identity: OnceLock::new(),
            money: parts.money,
            traffic: Traffic::default(),
            queues: Arc::default(),
            desk: Jobs::new(),
            places: Semaphore::new(MOST_CHANGES),
            health: ToldLately::default(),
            events: Arc::default(),
            discovery: Arc::default(),
            reloads: Orders::default(),
            probes: Probes::default(),
            changes: watch::Sender::new(1),
            last_reload: ArcSwap::from_pointee(Report::start(unix_seconds(), Vec::new())),
            limits: parts.limits,
            entropy: parts.entropy,
            requests: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            leaving: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            exposed: AtomicBool::new(false),
            edge: OnceLock::new(),
            started: unix_seconds(),
        }
    }

    /// The configuration of this moment; a request takes it once and keeps it to its end.
    pub fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// Takes another configuration into use. Requests in flight keep the one they began with.
    pub fn replace(&self, live: Live) {
        self.telemetry.metrics.know(&live.snapshot);
        // Only now does the old one let go of what it had; whoever still serves by it keeps that alive.
        drop(self.live.swap(Arc::new(live)));
        self.states.sweep(self.clock.now());
        self.changes.send_modify(|count| *count += 1);
    }

    /// Tells of every configuration that is taken into use from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// From now on people may sign in. Only the first one counts.
    pub fn let_in(&self, identity: Arc<Identity>) {
        let _ = self.identity.set(identity);
    }

    /// Who lets people in; absent where nothing is kept.
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.get()
    }

    /// What came of the last reload, or of the start.
    pub fn last_reload(&self) -> Arc<Report> {
        self.last_reload.load_full()
    }

    pub(crate) fn note_reload(&self, report: Report) {
        self.events.tell(|| Event::Reload {
            trigger: report.trigger,
            ok: report.is_ok(),
            errors: &report.errors,
            generation: report.generation,
        });
        self.last_reload.store(Arc::new(report));
    }

    /// Where the caller behind a request is.
    pub fn client_address(&self, headers: &HeaderMap, peer: SocketAddr) -> Option<IpAddr> {
        client::address(headers, peer, &self.live.load().snapshot.trusted_proxies)
    }

    /// How much longer an address is refused, if it is and may be.
    pub fn blocked(&self, client: Option<IpAddr>) -> Option<Duration> {
        let left = self.security.blocked(client, self.clock.now())?;
        self.live.load().snapshot.block.is_some().then_some(left)
    }

    /// Notes something suspicious, and tells of it if it is worth that. Says whether its sender is to wait.
    pub fn suspect(&self, live: &Live, sign: Sign, client: Option<IpAddr>, key: Option<&str>) -> bool {
        let shared = client.is_some_and(|client| client::is_trusted(client, &live.snapshot.trusted_proxies));
        let who = Who { address: client, shared, key };
        let noted = self.security.note(sign, who, live.snapshot.block, self.clock.now(), self.unix_millis());
        if let Some(incident) = noted.incident {
            let Incident { kind, address, count, blocked_for, .. } = &*incident;
            let client = address.map(|address| address.to_string());
            tracing::warn!(kind, client, key, count, blocked_for, "suspicious requests");
            self.events.tell(|| Event::Security { kind, client, key, count: *count, blocked_for: *blocked_for });
        }
        noted.throttled
    }

    /// The error for a key that nobody has.
    pub fn suspect_key(&self, live: &Live, client: Option<IpAddr>, error: GatewayError) -> GatewayError {
        let wait = self.suspect(live, Sign::BadKey, client, None);
        if wait { GatewayError::too_many_wrong_keys() } else { error }
    }

    /// What the browser behind a request to the data plane is told.
    pub fn judge_origin(&self, headers: &HeaderMap) -> Verdict {
        cors::judge(&self.live.load().snapshot.cors, headers)
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Dice for one request.
    pub fn dice(&self) -> Dice {
        let turn = self.requests.fetch_add(1, Ordering::Relaxed);
        Dice::seeded(self.entropy ^ turn.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The id of a request: the caller's own if it is a plain word, else a new one.
    pub fn request_id(&self, given: Option<&HeaderValue>) -> Arc<str> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        let given = given.and_then(|value| value.to_str().ok());
        if let Some(id) = given.filter(|id| (1..=128).contains(&id.len()) && id.bytes().all(plain)) {
            return id.into();
        }
        self.named("req_")
    }

    /// A number that this process alone gives to its `number`th thing.
    pub fn number_of_process(&self, number: u64) -> u128 {
        let started = u128::from(self.started) << 96;
        (u128::from(self.entropy) << 64) ^ started ^ u128::from(number)
    }

    /// Milliseconds since 1970.
    pub fn unix_millis(&self) -> i64 {
        unix_millis()
    }

    /// The name of a request in the ledger, unique for ever: the caller's own name for it may come again.
    pub fn ledger_id(&self, request_id: &Arc<str>) -> Arc<str> {
        let mut start = String::with_capacity(request_id.len() + 33);
        start.extend([request_id, "~"]);
        self.named(start)
    }

    /// A name of its own behind this beginning.
    fn named(&self, start: impl Into<String>) -> Arc<str> {
        let mut dice = self.dice();
        let mut name = start.into();
        push_unique(&mut name, self.unix_millis(), [dice.throw(), dice.throw()]);
        name.into()
    }

    /// Seconds since 1970.
    pub fn unix_seconds(&self) -> u64 {
        unix_seconds()
    }

    /// When this process began to serve.
    pub fn started(&self) -> u64 {
        self.started
    }

    /// From now on readiness is false; requests are still served.
    pub fn begin_leaving(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    pub fn is_ready(&self) -> bool {
        !(self.leaving.load(Ordering::Acquire) || self.is_draining())
    }

    /// From now on new requests are refused and readiness is false.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.events.end();
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Where it listens, and the edge that does.
    pub fn note_edge(&self, address: SocketAddr, edge: Glance) {
        self.exposed.store(!address.ip().to_canonical().is_loopback(), Ordering::Relaxed);
        let _ = self.edge.set(edge);
    }

    /// Can only this machine reach it?
    pub fn is_local(&self) -> bool {
        !self.exposed.load(Ordering::Relaxed)
    }

    /// Open connections and requests being answered.
    pub fn glance(&self) -> Option<(usize, usize)> {
        self.edge.get().and_then(Glance::now)
    }

    pub fn count_panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// Panics caught while handling requests.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Takes in what an answer's headers say is left of the provider's limits.
    pub fn hear(&self, claim: &Claim, headers: &HeaderMap) {
        let remaining = rate_headers::remaining(headers, self.unix_seconds());
        if remaining.is_known() {
            let (requests, tokens) = remaining.said();
            claim.hear(requests, tokens, self.clock.now());
        }
    }

    /// Tells that a deployment was isolated or came back.
    pub fn note_transition(&self, deployment: &Deployment, transition: Option<Transition>) {
        self.events.note_transition(deployment, transition);
    }

    /// Logs an error answer once, with its causes; a caller's own mistakes are not news.
    pub fn log_refusal(&self, request_id: &str, error: &GatewayError) {
        let (kind, status) = (error.kind().row().label, error.status());
        // Who is told to come back later may do so often: that must not fill the log.
        let later = matches!(error.kind(), Kind::Overloaded | Kind::ShuttingDown);
        match error.origin() {
            ErrorOrigin::Gateway if later => tracing::debug!(request.id = %request_id, kind, status, "turned away"),
            ErrorOrigin::Caller => {
                tracing::debug!(request.id = %request_id, kind, status, error = %Chain(error), "refused");
            }
            ErrorOrigin::Upstream => {
                tracing::warn!(request.id = %request_id, kind, status, error = %Chain(error), "no upstream answered");
            }
            ErrorOrigin::Gateway => {
                tracing::error!(request.id = %request_id, kind, status, error = %Chain(error), "failed");
            }
        }
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Appends 48 bits of time in milliseconds and 80 random ones, in hexadecimal. What comes later sorts later: so an index over
/// names grows at its end, where random ones would be written all over it.
fn push_unique(name: &mut String, millis: i64, random: [u64; 2]) {
    let [first, second] = random;
    let bits = (millis as u64 & 0xffff_ffff_ffff) << 16 | first & 0xffff;
    for bits in [bits, second] {
        let digits = (0..16).rev().map(|place| (bits >> (place * 4)) as u32 & 15);
        name.extend(digits.filter_map(|digit| char::from_digit(digit, 16)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_their_time_and_differ_by_chance() {
        let name = |millis, random| {
            let mut name = String::from("req_");
            push_unique(&mut name, millis, random);
            name
        };
        assert_eq!(name(0x0123_4567_89ab, [0xffcd, 0xef]), "req_0123456789abffcd00000000000000ef");
        assert!(name(1, [u64::MAX; 2]) < name(2, [0; 2]));
        assert_ne!(name(1, [0, 1]), name(1, [0, 2]));
    }
}
