//! `waypost test channels`: asks every key of the configuration whether it works, and says what is wrong with those that do
//! not. What can be found is `probe`'s. Tests: `it/cli.rs`.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};
use waypost_core::config::Config;
use waypost_core::health::States;
use waypost_core::nearest::nearest;
use waypost_core::snapshot::{Channel, Snapshot, compile};

use super::print::{say, table};
use crate::app::{App, Live, Parts};
use crate::jobs::Jobs;
use crate::probe::{self, Finding, Tested};
use crate::records::Records;
use crate::serve::Limits;
use crate::upstream::{HttpTransport, PoolSettings};

/// How many channels are asked at a time.
const AT_A_TIME: usize = 16;

/// What can be tested.
#[derive(Subcommand, Clone, Debug)]
pub enum Testing {
    /// Asks every key of every channel for one word, and says which work.
    #[command(visible_alias = "endpoints")]
    Channels(Wanted),
}

/// Which channels are asked, and how that is told.
#[derive(Args, Clone, Debug)]
pub struct Wanted {
    /// Only the channels of these names.
    names: Vec<String>,
    /// The model to ask with [default: the channel's first; its list of models if it names none].
    #[arg(long)]
    model: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One key and what was found; nothing for one of a channel that is switched off.
struct Row {
    /// Its place in the configuration.
    place: (usize, usize),
    channel: Arc<str>,
    credential: Arc<str>,
    tested: Option<Tested>,
    /// All of it, for scripts.
    report: Value,
}

/// Asks, prints, and ends with 0 only if every key of every channel that is switched on works.
pub async fn run(config: &Config, wanted: &Wanted) -> Result<ExitCode, Vec<String>> {
    let states = States::default();
    let snapshot =
        compile(config, &states).map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    check_names(&snapshot, wanted)?;
    let live = Live::new(snapshot).map_err(|_| vec!["a channel's base_url is not an http or https URL".to_owned()])?;
    let jobs = Jobs::new();
    let app = Arc::new(App::new(Parts {
        live,
        states,
        transport: Box::new(HttpTransport::new(PoolSettings::default(), jobs.clone())),
        records: Records::new().0,
        limits: Limits::default(),
        store: None,
        money: None,
        entropy: 0,
    }));
    let rows = ask_all(&app, wanted, &jobs).await;
    let well = rows.iter().filter_map(|row| row.tested.as_ref()).all(|tested| tested.finding == Finding::Valid);
    if wanted.json {
        print_json(&rows, well);
    } else {
        print_table(&rows);
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check_names(snapshot: &Snapshot, wanted: &Wanted) -> Result<(), Vec<String>> {
    let names = || snapshot.channels.iter().map(|channel| &*channel.name);
    let unknown = wanted.names.iter().filter(|name| !names().any(|known| known == name.as_str()));
    let errors: Vec<String> = unknown
        .map(|name| match nearest(name, names(), 1).first() {
            Some(near) => format!("there is no channel `{name}`; did you mean `{near}`?"),
            None => format!("there is no channel `{name}`"),
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Channels beside one another, the keys of each one after another, so that no account sees a crowd.
async fn ask_all(app: &Arc<App>, wanted: &Wanted, jobs: &Jobs) -> Vec<Row> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let turns = Arc::new(Semaphore::new(AT_A_TIME));
    for (at, channel) in app.live().snapshot.channels.iter().enumerate() {
        let named = wanted.names.iter().any(|name| **name == *channel.name);
        if !named && !wanted.names.is_empty() {
            continue;
        }
        let asking = Asking {
            app: Arc::clone(app),
            channel: Arc::clone(channel),
            at,
            asked: named || channel.enabled,
            model: wanted.model.clone(),
            rows: sender.clone(),
        };
        let turns = Arc::clone(&turns);
        jobs.spawn("test of a channel", async move {
            let _turn = turns.acquire().await;
            asking.run().await;
        });
    }
    drop(sender);
    let mut rows = Vec::new();
    while let Some(row) = receiver.recv().await {
        rows.push(row);
    }
    rows.sort_by_key(|row: &Row| row.place);
    rows
}

struct Asking {
    app: Arc<App>,
    channel: Arc<Channel>,
    at: usize,
    asked: bool,
    model: Option<String>,
    rows: mpsc::UnboundedSender<Row>,
}

impl Asking {
    async fn run(self) {
        let live = self.app.live();
        for (position, credential) in self.channel.credentials.iter().enumerate() {
            let tested = if self.asked {
                Some(probe::test(&self.app, &live, &self.channel, credential, self.model.as_deref()).await)
            } else {
                None
            };
            let (channel, label) = (Arc::clone(&self.channel.name), Arc::clone(&credential.label));
            let report = match &tested {
                Some(tested) => json!(tested.report(&self.channel, credential)),
                None => json!({ "channel": *channel, "credential": *label, "finding": "off" }),
            };
            // Whoever waits for the rows waits for all of them.
            let _ = self.rows.send(Row { place: (self.at, position), channel, credential: label, tested, report });
        }
    }
}

fn print_table(rows: &[Row]) {
    let head = ["CHANNEL", "KEY", "FINDING", "MS", "MODEL"].map(str::to_owned).to_vec();
    let cells = |row: &Row| {
        let (finding, millis, model) = match &row.tested {
            Some(tested) => (tested.finding.name(), tested.latency.as_millis().to_string(), tested.model.as_deref()),
            None => ("off", String::new(), None),
        };
        vec![
            row.channel.to_string(),
            row.credential.to_string(),
            finding.to_owned(),
            millis,
            model.unwrap_or("-").into(),
        ]
    };
    say(&table(&[vec![head], rows.iter().map(cells).collect()].concat()));
    let unwell = rows.iter().filter_map(|row| Some((row, row.tested.as_ref()?)));
    let mut unwell = unwell.filter(|(_, tested)| tested.finding != Finding::Valid).peekable();
    if unwell.peek().is_some() {
        say("");
    }
    for (row, tested) in unwell {
        say(&format!("{} / {}: {}", row.channel, row.credential, tested.sentence()));
    }
}

fn print_json(rows: &[Row], well: bool) {
    let keys: Vec<&Value> = rows.iter().map(|row| &row.report).collect();
    say(&format!("{:#}", json!({ "ok": well, "keys": keys })));
}
