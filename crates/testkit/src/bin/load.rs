//! The load of the loopback benchmark: asks a gateway (or the upstream itself) and prints what it saw as `name=value` lines.
//! It must not judge: targets and ratios are `cargo xtask bench`'s. `tests/load.rs` runs every mode.
//!
//! `load closed --to 127.0.0.1:9000 --connections 32 --milliseconds 3000 --body chat`: each connection asks again as soon as it is
//! answered. `load rate --per-second 500` asks on a beat. `load chunks --listen 9001` is the upstream as well, so that one
//! clock sees a chunk leave and arrive. `load hold --connections 5000` opens streams and keeps them until its input ends.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "only benchmarks use this program, and a panic is how it refuses a wrong command line"
)]

use std::io::{self, Write};

use waypost_testkit::load::{self, Settings};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().expect("a mode: closed, rate, chunks or hold");
    let settings = Settings::from_arguments(arguments);
    match mode.as_str() {
        "closed" => say(&load::closed(&settings).await),
        "rate" => say(&load::rate(&settings).await),
        "chunks" => say(&load::chunks(&settings).await?),
        "hold" => {
            let held = load::hold(&settings).await;
            say(&held.seen)?;
            tokio::task::spawn_blocking(|| io::stdin().read_line(&mut String::new())).await??;
            say(&held.let_go().await)
        }
        _ => panic!("no mode: {mode}"),
    }
}

/// One line for each figure, and an empty one when that is all for now.
fn say(figures: &[(&str, u64)]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (name, value) in figures {
        writeln!(out, "{name}={value}")?;
    }
    writeln!(out)?;
    out.flush()
}
