//! The programs of one benchmark run, and the questions the load generator can put to them.
//! Knows ports and arguments; must not judge.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::measure::{Gateway, Held, Measured};
use super::nginx::{self, Route};
use super::proc::{cpu_micros, resident_kb};
use crate::Outcome;
use crate::command::{built, target};
use crate::live::{Live, free_port, free_ports, get};

const KEY: &str = "wp-bench";
/// A thousand events, a second apart: longer than any measurement.
const SLOW: &[&str] = &["--chunks", "1000", "--interval-us", "1000000"];
/// A hundred events a second for two seconds.
const BRISK: &[&str] = &["--chunks", "200", "--interval-us", "10000"];

/// Everything that runs. `fast` answers at once, `brisk` and `slow` stream at their pace, `echo` is the load itself.
#[derive(Debug)]
pub(super) struct Programs {
    fast: Live,
    brisk: Live,
    slow: Live,
    echo: u16,
    nginx: Live,
    nginx_ports: [u16; 4],
    waypost: Live,
}

impl Programs {
    pub(super) fn start() -> Outcome<Self> {
        let place = target().join("bench");
        std::fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
        let fast = Live::announced(Command::new(built("release", "mock-upstream")).stderr(Stdio::null()))?;
        let brisk = Live::announced(shell("mock-upstream").args(BRISK))?;
        let slow = Live::announced(shell("mock-upstream").args(SLOW))?;
        let [echo, nginx_ports @ ..] = free_ports::<5>()?;
        let upstreams =
            [fast.address.clone(), brisk.address.clone(), slow.address.clone(), format!("127.0.0.1:{echo}")];
        let routes: Vec<Route> =
            nginx_ports.into_iter().zip(upstreams.clone()).map(|(port, to)| Route { port, to }).collect();
        let nginx = nginx::start(&place.join("nginx"), &routes)?;
        let waypost = start_waypost(&upstreams)?;
        Ok(Self { fast, brisk, slow, echo, nginx, nginx_ports, waypost })
    }

    /// 32 connections that ask without pause.
    pub(super) fn closed(&self, gateway: Gateway, body: &str, model: &str, milliseconds: u64) -> Outcome<Measured> {
        self.measured(gateway, "closed", 0, milliseconds, &["--connections", "32", "--body", body, "--model", model])
    }

    /// 500 requests a second.
    pub(super) fn rate(&self, gateway: Gateway, milliseconds: u64) -> Outcome<Measured> {
        let arguments = ["--per-second", "500", "--connections", "32", "--model", "gpt-4o-mini"];
        self.measured(gateway, "rate", 0, milliseconds, &arguments)
    }

    /// 100 streams at a time, 100 events a second in each.
    pub(super) fn streams(&self, gateway: Gateway, milliseconds: u64) -> Outcome<Measured> {
        let arguments = ["--connections", "100", "--body", "stream", "--model", "brisk"];
        self.measured(gateway, "closed", 1, milliseconds, &arguments)
    }

    /// One stream whose chunks are timed.
    pub(super) fn chunks(&self, gateway: Gateway, milliseconds: u64) -> Outcome<Measured> {
        let (port, count) = (self.echo.to_string(), (milliseconds / 2).to_string());
        let arguments =
            ["--listen", &port, "--chunks", &count, "--interval-us", "2000", "--body", "stream", "--model", "echo"];
        self.measured(gateway, "chunks", 3, milliseconds, &arguments)
    }

    /// How many calls Waypost has not logged until now, because more came than its database took.
    pub(super) fn unlogged(&self) -> Outcome<f64> {
        let metrics = get(&self.waypost.address, "/metrics").unwrap_or_default();
        let count = metrics.lines().find_map(|line| line.strip_prefix("waypost_log_rows_dropped_total "));
        count
            .and_then(|count| count.trim().parse().ok())
            .ok_or_else(|| "the metrics do not tell how many rows of the log were dropped".to_owned())
    }

    /// Opens so many streams, and weighs the gateway while they are open.
    pub(super) fn hold(&self, gateway: Gateway, streams: u64) -> Outcome<Held> {
        let before = resident_kb(&self.processes(gateway))?;
        let mut load = Holding::start(&[
            "--to",
            &self.address(gateway, 2),
            "--connections",
            &streams.to_string(),
            "--body",
            "stream",
            "--model",
            "slow",
            "--key",
            KEY,
        ])?;
        let opened = load.figures()?;
        let processes = self.processes(gateway);
        let (cpu, settle) = (cpu_micros(&processes)?, Duration::from_secs(3));
        sleep(settle);
        let cpu = cpu_micros(&processes)? - cpu;
        let resident = resident_kb(&processes)?;
        load.let_go()?;
        let held = opened.get("held").copied().unwrap_or(0);
        Ok(Held {
            held,
            kb_per_stream: resident.saturating_sub(before) as f64 / streams as f64,
            resident_mb: resident as f64 / 1024.0,
            micros_per_chunk: cpu as f64 / (held.max(1) * settle.as_secs()) as f64,
        })
    }

    fn measured(
        &self,
        gateway: Gateway,
        mode: &str,
        route: usize,
        milliseconds: u64,
        more: &[&str],
    ) -> Outcome<Measured> {
        let processes = self.processes(gateway);
        let before = cpu_micros(&processes)?;
        let mut load = Command::new(built("release", "load"));
        load.args([mode, "--to", &self.address(gateway, route), "--milliseconds", &milliseconds.to_string()]);
        load.args(["--key", KEY]).args(more);
        let said = crate::command::output(&mut load)?;
        let figures = read_figures(said.lines());
        let cpu = at_rest(&processes)? - before;
        let measured = Measured::new(&figures, cpu);
        if measured.errors > 0 {
            return Err(format!(
                "{gateway:?} answered {} of {mode} {more:?} with an error{}",
                measured.errors,
                self.waypost.last_words()
            ));
        }
        Ok(measured)
    }

    fn processes(&self, gateway: Gateway) -> Vec<u32> {
        match gateway {
            Gateway::Direct => vec![],
            Gateway::Nginx => nginx::processes(self.nginx.pid()),
            Gateway::Waypost => vec![self.waypost.pid()],
        }
    }

    fn address(&self, gateway: Gateway, route: usize) -> String {
        match gateway {
            Gateway::Direct => match route {
                0 => self.fast.address.clone(),
                1 => self.brisk.address.clone(),
                2 => self.slow.address.clone(),
                _ => format!("127.0.0.1:{}", self.echo),
            },
            Gateway::Nginx => format!("127.0.0.1:{}", self.nginx_ports.get(route).copied().unwrap_or(0)),
            Gateway::Waypost => self.waypost.address.clone(),
        }
    }
}

/// The CPU of processes once they have done what they put off, such as bringing requests into a database: it is counted with
/// what caused it, and not with what is measured next.
fn at_rest(processes: &[u32]) -> Outcome<u64> {
    const LOOK: Duration = Duration::from_millis(600);
    const IDLE_MICROS: u64 = 10_000;
    const LOOKS: u32 = 50;
    let mut cpu = cpu_micros(processes)?;
    for _ in 0..LOOKS {
        sleep(LOOK);
        let now = cpu_micros(processes)?;
        if now - cpu <= IDLE_MICROS {
            return Ok(now);
        }
        cpu = now;
    }
    Err("the gateway is still at work half a minute after the load has ended".to_owned())
}

/// A release Waypost with these upstreams, on a port of its own.
pub(super) fn start_waypost(upstreams: &[String; 4]) -> Outcome<Live> {
    let [fast, brisk, slow, echo] = upstreams;
    let channel = |name: &str, address: &str, model: &str| {
        format!(
            "  - {{ name: {name}, provider: openai, base_url: \"http://{address}/v1\", api_key: k, dialects: [openai_chat], models: [{model}] }}\n"
        )
    };
    let text = format!(
        "server: {{ max_connections: 20000 }}\nkeys:\n  - {{ name: bench, key: {KEY} }}\nchannels:\n{}{}{}{}  - {{ name: translated, provider: anthropic, base_url: \"http://{fast}\", api_key: k, models: [claude-sonnet-4-5] }}\n",
        channel("fast", fast, "gpt-4o-mini"),
        channel("brisk", brisk, "brisk"),
        channel("slow", slow, "slow"),
        channel("echo", echo, "echo"),
    );
    start_with(&text)
}

/// A release Waypost with this configuration, on a port of its own.
pub(super) fn start_with(text: &str) -> Outcome<Live> {
    let place = target().join("bench");
    // Every start has a database of its own: what one measurement wrote would be proved in the next.
    let data = place.join("data");
    match std::fs::remove_dir_all(&data) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(format!("{}: {error}", data.display()));
        }
        Ok(()) | Err(_) => {}
    }
    let file = place.join("waypost.yaml");
    std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    let port = free_port()?;
    let mut waypost = shell("waypost");
    waypost.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    waypost.env("DB_PATH", data.join("app.db"));
    waypost.arg("--config").arg(file).args(["--port", &port.to_string()]);
    Live::ready(&mut waypost, port, "/health/ready", &place.join("waypost.log"))
}

/// A release program with as many open files as it is allowed: thousands of streams need two each.
fn shell(program: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n \"$(ulimit -Hn)\" && exec \"$0\" \"$@\""]).arg(built("release", program));
    command
}

/// A load that keeps its streams open until it is told.
struct Holding {
    child: Child,
    input: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
}

impl Holding {
    fn start(arguments: &[&str]) -> Outcome<Self> {
        let mut load = shell("load");
        load.arg("hold").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = load.spawn().map_err(|error| format!("{load:?} did not start: {error}"))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(out)) => Ok(Self { child, input: Some(input), lines: BufReader::new(out) }),
            _ => Err("the load has no pipes".to_owned()),
        }
    }

    /// What it says up to the next empty line.
    fn figures(&mut self) -> Outcome<BTreeMap<String, u64>> {
        let lines = self.lines.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty());
        let figures: Vec<String> = lines.collect();
        Ok(read_figures(figures.iter().map(String::as_str)))
    }

    fn let_go(&mut self) -> Outcome {
        if let Some(mut input) = self.input.take() {
            input.write_all(b"\n").map_err(|error| format!("the load does not listen: {error}"))?;
        }
        self.child.wait().map_err(|error| format!("the load does not end: {error}")).map(|_| ())
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        // What cannot be stopped has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn read_figures<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<String, u64> {
    lines
        .filter_map(|line| line.split_once('='))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

/// Where the benchmark keeps its files.
pub(super) fn place() -> PathBuf {
    target().join("bench")
}
