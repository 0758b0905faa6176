//! The binary: arguments in, exit code out. Everything else is in the library.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use waypost_gateway::start::{Arguments, run};

/// The system's allocator costs a quarter of the CPU of a relayed request, most of it in locks between threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "waypost: {error}");
            ExitCode::FAILURE
        }
    }
}
