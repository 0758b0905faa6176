//! What a load is told on its command line. Knows names and units; must not open anything.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;

use super::body;

/// Where to ask what, how often and how long.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `host:port` that is asked.
    pub to: String,
    /// How many connections are open.
    pub connections: u64,
    /// How long it goes on.
    pub duration: Duration,
    /// Requests of the [`rate`](super::rate) mode.
    pub per_second: u32,
    /// The port on which the [`chunks`](super::chunks) mode is the upstream.
    pub listen: u16,
    /// How many chunks it sends.
    pub chunks: u64,
    /// How long it waits between two of them.
    pub interval: Duration,
    /// The request as it goes on the wire.
    pub request: Bytes,
}

impl Settings {
    /// Reads `--name value` pairs. Panics on what it does not know.
    pub fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut settings = Self {
            to: String::new(),
            connections: 32,
            duration: Duration::from_secs(3),
            per_second: 500,
            listen: 0,
            chunks: 1000,
            interval: Duration::from_millis(2),
            request: Bytes::new(),
        };
        let (mut kind, mut model, mut key) = ("chat".to_owned(), "gpt-4o-mini".to_owned(), "none".to_owned());
        while let Some(name) = arguments.next() {
            let value = arguments.next().unwrap_or_else(|| panic!("{name} takes a value"));
            let number = || value.parse().unwrap_or_else(|_| panic!("{name} takes a number"));
            match name.as_str() {
                "--to" => settings.to = value,
                "--connections" => settings.connections = number(),
                "--milliseconds" => settings.duration = Duration::from_millis(number()),
                "--per-second" => settings.per_second = u32::try_from(number()).expect("a rate"),
                "--listen" => settings.listen = u16::try_from(number()).expect("a port"),
                "--chunks" => settings.chunks = number(),
                "--interval-us" => settings.interval = Duration::from_micros(number()),
                "--body" => kind = value,
                "--model" => model = value,
                "--key" => key = value,
                _ => panic!("unknown: {name}"),
            }
        }
        settings.request = body::request(&kind, &model, &key);
        settings
    }

    pub(super) async fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(&self.to).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
