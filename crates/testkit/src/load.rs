//! Asks over kept-alive connections and measures: how many, how long, how many pieces.
//! It must not know who answers: a gateway, nginx or the upstream itself get the same bytes. Run in `tests/load.rs`.

mod body;
mod settings;

use std::io;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

pub use settings::Settings;

/// Figures by name; times in nanoseconds.
pub type Figures = Vec<(&'static str, u64)>;

/// Every connection asks again as soon as it is answered, until the time is over. Streams count their events.
pub async fn closed(settings: &Settings) -> Figures {
    let started = Instant::now();
    let until = started + settings.duration;
    let mut asking = JoinSet::new();
    for _ in 0..settings.connections {
        asking.spawn(ask_until(settings.clone(), until));
    }
    let mut tally = Tally::default();
    while let Some(one) = asking.join_next().await {
        tally.add(one.expect("no connection panics"));
    }
    tally.figures(started.elapsed())
}

/// Asks on a beat, each time on a connection that waits for nothing, and measures from the write to the last byte.
pub async fn rate(settings: &Settings) -> Figures {
    let (give_back, mut idle) = mpsc::unbounded_channel();
    for _ in 0..settings.connections {
        give_back.send(Connection::open(settings).await).expect("the receiver lives");
    }
    let started = Instant::now();
    let mut beat = tokio::time::interval(Duration::from_secs(1) / settings.per_second);
    let mut asking: JoinSet<Tally> = JoinSet::new();
    while started.elapsed() < settings.duration {
        beat.tick().await;
        let (Ok(connection), give_back) = (idle.try_recv(), give_back.clone()) else {
            continue;
        };
        asking.spawn(async move {
            let mut tally = Tally::default();
            match connection {
                Ok(mut connection) => {
                    tally.ask(&mut connection).await;
                    give_back.send(Ok(connection)).ok();
                }
                Err(_) => tally.errors += 1,
            }
            tally
        });
    }
    let mut tally = Tally::default();
    while let Some(one) = asking.join_next().await {
        tally.add(one.expect("no request panics"));
    }
    tally.figures(started.elapsed())
}

/// Is the upstream too: sends a chunk on a beat and sees it arrive through whatever stands between.
pub async fn chunks(settings: &Settings) -> io::Result<Figures> {
    let listener = TcpListener::bind(("127.0.0.1", settings.listen)).await?;
    let (sent, mut times) = mpsc::unbounded_channel();
    let upstream = tokio::spawn(body::chunk_beat(listener, settings.chunks, settings.interval, sent));
    let mut stream = settings.connect().await?;
    stream.write_all(&settings.request).await?;
    let mut tally = Tally::default();
    let mut arrived = BytesMut::new();
    let mut seen = 0_u64;
    while seen < settings.chunks {
        if stream.read_buf(&mut arrived).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let now = Instant::now();
        while let Some(found) = memchr::memmem::find(&arrived, body::MARK) {
            arrived.advance(found + body::MARK.len());
            let at: Instant = times.recv().await.ok_or(io::ErrorKind::UnexpectedEof)?;
            tally.latencies.push(nanos(now - at));
            seen += 1;
        }
    }
    upstream.abort();
    tally.requests = seen;
    Ok(tally.figures(settings.duration))
}

/// Streams that stay open.
#[derive(Debug)]
pub struct Held {
    /// `held`: how many have shown an event; `errors`: how many have not.
    pub seen: Figures,
    reading: JoinSet<u64>,
    end: watch::Sender<bool>,
    counter: JoinHandle<()>,
}

/// Opens that many streams and waits until each has shown an event.
pub async fn hold(settings: &Settings) -> Held {
    let (end, ended) = watch::channel(false);
    let (opened, mut openings) = mpsc::unbounded_channel();
    let mut reading = JoinSet::new();
    for _ in 0..settings.connections {
        let one = read_events(settings.clone(), opened.clone(), ended.clone());
        reading.spawn(one);
        // In small groups, so that a listener's backlog is not what is measured.
        if reading.len() % 64 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    drop(opened);
    let (mut held, mut errors) = (0, 0);
    while held + errors < settings.connections {
        match openings.recv().await {
            Some(true) => held += 1,
            Some(false) | None => errors += 1,
        }
    }
    let counter = tokio::spawn(async move { while openings.recv().await.is_some() {} });
    Held { seen: vec![("held", held), ("errors", errors)], reading, end, counter }
}

impl Held {
    /// Hangs up on all of them, and tells how many events were seen in all.
    pub async fn let_go(mut self) -> Figures {
        self.end.send(true).ok();
        let mut chunks = 0;
        while let Some(one) = self.reading.join_next().await {
            chunks += one.unwrap_or(0);
        }
        self.counter.abort();
        vec![("chunks", chunks)]
    }
}

async fn read_events(settings: Settings, opened: mpsc::UnboundedSender<bool>, mut ended: watch::Receiver<bool>) -> u64 {
    let mut events = 0;
    let mut told = false;
    let reading = async {
        let mut stream = settings.connect().await?;
        stream.write_all(&settings.request).await?;
        let mut buffer = [0; 2048];
        loop {
            let length = stream.read(&mut buffer).await?;
            if length == 0 {
                return io::Result::Ok(());
            }
            events += memchr::memmem::find_iter(&buffer[..length], b"data:").count() as u64;
            if events > 0 && !told {
                told = true;
                opened.send(true).ok();
            }
        }
    };
    tokio::select! {
        _ = reading => {}
        _ = ended.wait_for(|end| *end) => {}
    }
    if !told {
        opened.send(false).ok();
    }
    events
}

async fn ask_until(settings: Settings, until: Instant) -> Tally {
    let mut tally = Tally::default();
    let Ok(mut connection) = Connection::open(&settings).await else {
        tally.errors += 1;
        return tally;
    };
    while Instant::now() < until {
        let before = tally.errors;
        tally.ask(&mut connection).await;
        if tally.errors > before {
            match Connection::open(&settings).await {
                Ok(fresh) => connection = fresh,
                Err(_) => return tally,
            }
        }
    }
    tally
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    request: Bytes,
}

impl Connection {
    async fn open(settings: &Settings) -> io::Result<Self> {
        let stream = settings.connect().await?;
        Ok(Self { stream, buffer: BytesMut::with_capacity(16 * 1024), request: settings.request.clone() })
    }

    /// Asks once and reads to the last byte; gives the number of events.
    async fn ask(&mut self) -> io::Result<u64> {
        self.stream.write_all(&self.request).await?;
        self.buffer.clear();
        let end = loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await?;
        };
        let head = &self.buffer[..end];
        if !head.starts_with(b"HTTP/1.1 200") {
            return Err(io::Error::other("not a 200"));
        }
        match body::content_length(head) {
            Some(length) => {
                while self.buffer.len() < end + length {
                    self.more().await?;
                }
                Ok(0)
            }
            None => self.chunked(end).await,
        }
    }

    /// The bytes themselves do not matter, only how many events there are and where the last chunk is.
    async fn chunked(&mut self, end: usize) -> io::Result<u64> {
        let mut events = 0;
        self.buffer.advance(end);
        loop {
            let last = self.buffer.ends_with(b"\r\n0\r\n\r\n");
            let keep = if last { 0 } else { self.buffer.len().min(7) };
            let done = self.buffer.len() - keep;
            events += memchr::memmem::find_iter(&self.buffer[..done], b"data:").count() as u64;
            self.buffer.advance(done);
            if last {
                return Ok(events);
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Tally {
    requests: u64,
    errors: u64,
    chunks: u64,
    latencies: Vec<u64>,
}

impl Tally {
    async fn ask(&mut self, connection: &mut Connection) {
        let started = Instant::now();
        match connection.ask().await {
            Ok(chunks) => {
                self.latencies.push(nanos(started.elapsed()));
                self.requests += 1;
                self.chunks += chunks;
            }
            Err(_) => self.errors += 1,
        }
    }

    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.chunks += other.chunks;
        self.latencies.extend(other.latencies);
    }

    fn figures(mut self, elapsed: Duration) -> Figures {
        self.latencies.sort_unstable();
        vec![
            ("requests", self.requests),
            ("errors", self.errors),
            ("chunks", self.chunks),
            ("elapsed", nanos(elapsed)),
            ("p50", percentile(&self.latencies, 50)),
            ("p99", percentile(&self.latencies, 99)),
        ]
    }
}

/// The smallest value that so many percent of the sorted values do not exceed; 0 without values.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_seen() {
        let sorted: Vec<u64> = (1..=200).collect();
        assert_eq!((percentile(&sorted, 50), percentile(&sorted, 99)), (100, 198));
        assert_eq!((percentile(&[7], 99), percentile(&[], 50)), (7, 0));
    }
}
