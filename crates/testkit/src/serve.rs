//! Listens on a loopback port, finds the script for each request and keeps what was received.
//! It must not know what the bytes mean. Scripts are played in `play.rs`. Watched in `tests/steps.rs`.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::framing::Inbox;
use crate::play::{After, attend};
use crate::recorded::{self, Recorded};
use crate::script::Script;

/// How long a waiting test is left waiting before it fails with a reason.
const PATIENCE: Duration = Duration::from_secs(10);

/// An HTTP/1.1 upstream on a loopback port that does what its scripts say, on the runtime that started it. Clocks are
/// real: do not use it under a paused one.
///
/// Dropping it stops everything. The drop panics (unless the thread is panicking already) when a script given to
/// [`Upstream::start`] was not used, when more requests came than scripts, when a request could not be read, or when a
/// chooser given to [`Upstream::by`] panicked.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// A request whose peer left before the script was played to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abandoned {
    /// The request's place in [`Upstream::requests`].
    pub request: usize,
    /// When the upstream noticed.
    pub at: Instant,
}

impl Upstream {
    /// Plays one script for each request, in order of arrival.
    pub async fn start(scripts: Vec<Script>) -> Self {
        Self::listen(Choice::InOrder, scripts.into()).await
    }

    /// Plays the same script for every request.
    pub async fn always(script: Script) -> Self {
        Self::by(move |_| script.clone()).await
    }

    /// Asks for the script of each request. The chooser may panic to fail the test.
    pub async fn by(choose: impl Fn(&Recorded) -> Script + Send + Sync + 'static) -> Self {
        Self::listen(Choice::By(Box::new(choose)), VecDeque::new()).await
    }

    /// As [`Upstream::by`], but keeps nothing of what it received: for loads that go on for hours.
    pub async fn forgetful(choose: impl Fn(&Recorded) -> Script + Send + Sync + 'static) -> Self {
        Self::listen(Choice::Forgetful(Box::new(choose)), VecDeque::new()).await
    }

    async fn listen(choice: Choice, scripts: VecDeque<Script>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free loopback port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let log = watch::Sender::new(Log { scripts, ..Log::default() });
        let shared = Arc::new(Shared { choice, log });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    /// `http://127.0.0.1:<port>`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests were received whole.
    pub fn hits(&self) -> usize {
        self.shared.log.borrow().requests.len()
    }

    /// The requests received whole, in order of arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.log.borrow().requests.clone()
    }

    /// The latest request. Panics when there was none.
    pub fn last(&self) -> Recorded {
        self.shared.log.borrow().requests.last().cloned().expect("the upstream received a request")
    }

    /// How many TCP connections it accepted.
    pub fn connections(&self) -> usize {
        self.shared.log.borrow().connections
    }

    /// The requests abandoned so far, in the order that was noticed.
    pub fn abandoned(&self) -> Vec<Abandoned> {
        self.shared.log.borrow().abandoned.clone()
    }

    /// Waits until that many requests were received, and gives all there are. Panics after ten seconds.
    pub async fn wait_hits(&self, count: usize) -> Vec<Recorded> {
        self.wait("received", count, |log| log.requests.len()).await;
        self.requests()
    }

    /// Waits until that many requests were abandoned by their peer, and gives all there are. Panics after ten seconds.
    pub async fn wait_aborted(&self, count: usize) -> Vec<Abandoned> {
        self.wait("abandoned", count, |log| log.abandoned.len()).await;
        self.abandoned()
    }

    async fn wait(&self, what: &str, count: usize, counted: impl Fn(&Log) -> usize) {
        let mut log = self.shared.log.subscribe();
        let reached = log.wait_for(|log| counted(log) >= count);
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            let seen = counted(&self.shared.log.borrow());
            panic!("waited {PATIENCE:?} for {count} requests to be {what}, saw {seen}");
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
        if std::thread::panicking() {
            return;
        }
        let log = self.shared.log.borrow();
        assert!(log.faults.is_empty(), "the scripted upstream met what it was not scripted for: {:#?}", log.faults);
        assert!(log.scripts.is_empty(), "scripted reply unused: {} of them are left", log.scripts.len());
    }
}

/// A loopback port that refuses connections, and that nobody else can take while this lives.
#[derive(Debug)]
pub struct ClosedPort(TcpSocket);

impl ClosedPort {
    /// Takes a free port and does not listen on it.
    pub fn take() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free loopback port");
        Self(socket)
    }

    /// `http://127.0.0.1:<port>`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().expect("a bound socket has an address"))
    }
}

struct Shared {
    choice: Choice,
    log: watch::Sender<Log>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("log", &self.log).finish_non_exhaustive()
    }
}

enum Choice {
    InOrder,
    By(Box<Chooser>),
    Forgetful(Box<Chooser>),
}

type Chooser = dyn Fn(&Recorded) -> Script + Send + Sync;

#[derive(Debug, Default)]
struct Log {
    scripts: VecDeque<Script>,
    connections: usize,
    requests: Vec<Recorded>,
    abandoned: Vec<Abandoned>,
    faults: Vec<String>,
}

impl Shared {
    fn connected(&self) -> usize {
        let mut number = 0;
        self.log.send_modify(|log| {
            number = log.connections;
            log.connections += 1;
        });
        number
    }

    /// Records a request and finds what to do for it. Whatever is wrong is known before anything is answered.
    fn received(&self, request: Recorded) -> (usize, Script) {
        let chosen = match &self.choice {
            Choice::By(choose) | Choice::Forgetful(choose) => Some(choose_safely(choose, &request)),
            Choice::InOrder => None,
        };
        if let (Choice::Forgetful(_), Some(Ok(script))) = (&self.choice, &chosen) {
            return (0, script.clone());
        }
        let mut found = None;
        self.log.send_modify(|log| {
            let chosen =
                chosen.unwrap_or_else(|| log.scripts.pop_front().ok_or_else(|| "no script is left".to_owned()));
            let script = chosen.and_then(Script::checked).unwrap_or_else(|fault| {
                log.faults.push(format!("{fault}, for {} {}", request.method, request.path_and_query));
                Script::reply(501, fault).header("content-type", "text/plain").close_after()
            });
            found = Some((log.requests.len(), script));
            log.requests.push(request);
        });
        found.expect("the log was modified")
    }

    fn abandoned(&self, request: usize) {
        if matches!(self.choice, Choice::Forgetful(_)) {
            return;
        }
        let abandoned = Abandoned { request, at: Instant::now() };
        self.log.send_modify(|log| log.abandoned.push(abandoned));
    }

    fn fault(&self, what: String) {
        self.log.send_modify(|log| log.faults.push(what));
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut conversations = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let number = shared.connected();
                    conversations.spawn(converse(Arc::clone(&shared), number, stream));
                }
                Err(error) => shared.fault(format!("accepting failed: {error}")),
            },
            // Finished conversations are reaped; those that are left end with this task.
            Some(_) = conversations.join_next() => {}
        }
    }
}

fn choose_safely(choose: &Chooser, request: &Recorded) -> Result<Script, String> {
    catch_unwind(AssertUnwindSafe(|| choose(request))).map_err(|panicked| {
        let text = panicked.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panicked.downcast_ref::<&str>().copied()).unwrap_or("no message");
        format!("the chooser panicked: {text}")
    })
}

/// Serves one connection until either side is done with it.
async fn converse(shared: Arc<Shared>, number: usize, mut stream: TcpStream) {
    // Without this the kernel would join the pieces a script sends apart.
    stream.set_nodelay(true).expect("a TCP socket takes TCP_NODELAY");
    let mut inbox = Inbox::default();
    loop {
        let request = match recorded::read(&mut inbox, &mut stream, number).await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return shared.fault(error.to_string());
            }
            // A peer may leave in the middle of its own request: nothing was asked, nothing is recorded.
            Err(_) => return,
        };
        let (place, script) = shared.received(request);
        match attend(&script, &mut inbox, &mut stream).await {
            Ok(After::NextRequest) => {}
            Ok(After::Close) => return,
            Ok(After::Reset) => {
                return stream.set_zero_linger().expect("a TCP socket takes SO_LINGER");
            }
            Err(_) => return shared.abandoned(place),
        }
    }
}
