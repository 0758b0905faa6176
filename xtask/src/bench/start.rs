//! What Waypost weighs before it has done anything: its file, its memory, the time to its first answer.

use std::time::Instant;

use super::Pace;
use super::measure::median;
use super::proc::resident_kb;
use super::programs::{place, start_waypost, start_with};
use super::table::{Row, Table};
use crate::Outcome;
use crate::command::built;

/// Nobody listens there; nothing is asked of it.
const NOWHERE: &str = "127.0.0.1:9";

/// Starts it several times, and weighs the last one.
pub(super) fn measure(pace: Pace, table: &mut Table) -> Outcome {
    std::fs::create_dir_all(place()).map_err(|error| format!("{}: {error}", place().display()))?;
    let file = built("release", "waypost");
    let size = std::fs::metadata(&file).map_err(|error| format!("{}: {error}", file.display()))?.len();
    let upstreams = [NOWHERE; 4].map(str::to_owned);
    let (mut times, mut resident) = (vec![], vec![]);
    for _ in 0..pace.starts {
        let started = Instant::now();
        let waypost = start_waypost(&upstreams)?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
        resident.push(resident_kb(&[waypost.pid()])? as f64 / 1024.0);
    }
    table.push(Row::of_waypost("start: ms to the first answer", median(times)).at_most(100.0));
    table.push(many(pace)?);
    table.push(Row::of_waypost("idle: resident MB", median(resident)).at_most(40.0));
    table.push(Row::of_waypost("binary MB", size as f64 / 1024.0 / 1024.0).at_most(40.0));
    Ok(())
}

/// Starts with as many deployments as a large import has: 39 channels, 2,685 models on them.
fn many(pace: Pace) -> Outcome<Row> {
    const CHANNELS: usize = 39;
    const DEPLOYMENTS: usize = 2685;
    let mut text = "keys: [{ name: bench, key: wp-bench-key-0123456789 }]\nchannels:\n".to_owned();
    for channel in 0..CHANNELS {
        let models: Vec<String> = (channel..DEPLOYMENTS).step_by(CHANNELS).map(|model| format!("m{model}")).collect();
        text += &format!(
            "  - {{ name: c{channel}, provider: openai, base_url: \"http://{NOWHERE}/v1\", api_key: k, models: [{}] }}\n",
            models.join(", ")
        );
    }
    let mut times = vec![];
    for _ in 0..pace.starts {
        let started = Instant::now();
        start_with(&text)?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(Row::of_waypost("start with 2,685 deployments: ms", median(times)).at_most(200.0))
}
