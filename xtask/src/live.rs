//! Programs that run beside a suite or a benchmark: started on free loopback ports, waited for, stopped by their own handle.
//! It must not know what they are asked.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;

/// How long a program may take until it is ready.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long it may take to end by itself.
const COURTESY: Duration = Duration::from_secs(3);

/// A program that is stopped when this is dropped.
#[derive(Debug)]
pub(crate) struct Live {
    child: Child,
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    log: Option<PathBuf>,
}

impl Live {
    /// Starts a program whose first line on standard output is `listening on <address>`.
    pub(crate) fn announced(program: &mut Command) -> Outcome<Self> {
        let mut child = spawn(program.stdout(Stdio::piped()))?;
        let mut line = String::new();
        let said = child.stdout.take().map(|out| BufReader::new(out).read_line(&mut line));
        let mut live = Self { child, address: String::new(), log: None };
        match (said, line.trim().strip_prefix("listening on ")) {
            (Some(Ok(_)), Some(address)) => address.clone_into(&mut live.address),
            _ => return Err(format!("{program:?} did not say where it listens, but {line:?}")),
        }
        Ok(live)
    }

    /// Starts a program on a port we chose, its words going to a file, and waits until `GET path` is a 200.
    pub(crate) fn ready(program: &mut Command, port: u16, path: &str, log: &Path) -> Outcome<Self> {
        let file = File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        let other = file.try_clone().map_err(|error| format!("{}: {error}", log.display()))?;
        let child = spawn(program.stdout(file).stderr(other))?;
        let mut live = Self { child, address: format!("127.0.0.1:{port}"), log: Some(log.to_owned()) };
        live.wait_until_ready(path)?;
        Ok(live)
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_ready(&mut self, path: &str) -> Outcome {
        let started = Instant::now();
        while status(&self.address, path) != Some(200) {
            if let Ok(Some(ended)) = self.child.try_wait() {
                return Err(format!("it ended with {ended} before it was ready{}", self.last_words()));
            }
            if started.elapsed() > PATIENCE {
                return Err(format!(
                    "http://{}{path} was no 200 within {PATIENCE:?}{}",
                    self.address,
                    self.last_words()
                ));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// What it wrote, for whoever has to find out why.
    pub(crate) fn last_words(&self) -> String {
        let Some(log) = &self.log else {
            return String::new();
        };
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(20)..).unwrap_or_default();
        format!("; the end of {}:\n{}", log.display(), last.join("\n"))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.ask_to_end();
        // What cannot be stopped has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Live {
    /// nginx takes its workers along only when it is asked.
    fn ask_to_end(&mut self) {
        let asked = Command::new("kill").arg(self.pid().to_string()).status().is_ok_and(|status| status.success());
        let started = Instant::now();
        while asked && started.elapsed() < COURTESY && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A port nobody listens on now.
pub(crate) fn free_port() -> Outcome<u16> {
    free_ports::<1>().map(|[port]| port)
}

/// Ports that nobody uses now, no two the same.
pub(crate) fn free_ports<const N: usize>() -> Outcome<[u16; N]> {
    let mut ports = [0; N];
    // All are held until the last is known, or one might be given twice.
    let mut held = Vec::with_capacity(N);
    for port in &mut ports {
        let taken = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = taken.map_err(|error| format!("no free loopback port: {error}"))?;
        *port = address.port();
        held.push(listener);
    }
    Ok(ports)
}

/// The status of `GET path`, if it answers.
pub(crate) fn status(address: &str, path: &str) -> Option<u16> {
    get(address, path)?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// The whole answer to `GET path`, with its head.
pub(crate) fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn spawn(program: &mut Command) -> Outcome<Child> {
    program.stdin(Stdio::null()).spawn().map_err(|error| format!("{program:?} did not start: {error}"))
}
