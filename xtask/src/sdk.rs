//! `cargo xtask sdk`: the official SDKs as clients of a live Waypost, which stands before the strict mock provider.
//! Knows how Python and Node packages are installed; what is asserted is in `sdk-tests/`.

mod config;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{built, cargo, command, output, root, run as run_it, target, works};
use crate::live::{Live, free_port};
use crate::{Outcome, USAGE};

const PYTHON_MISSING: &str = "the SDK suites need Python 3.11 or newer with `venv`. Install it, for example with \
    `apt-get install python3 python3-venv` or `brew install python`";
const NODE_MISSING: &str = "the SDK suites need Node 20 or newer with npm. Install it, for example with \
    `apt-get install nodejs npm` or `brew install node`";

/// Runs both suites, or the one that is named.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let (python, node) = match arguments {
        [] => (true, true),
        [name] if name == "python" => (true, false),
        [name] if name == "node" => (false, true),
        _ => return Err(format!("no such suite\n{USAGE}")),
    };
    required()?;
    let bench = Bench::build()?;
    let pytest = if python { Some(python_packages()?) } else { None };
    if node {
        node_packages()?;
    }
    let provider = bench.provider()?;
    let waypost = bench.waypost(&provider)?;
    let simulator = bench.simulator()?;
    let suite = |mut suite: Command| {
        suite
            .env("WAYPOST_URL", format!("http://{}", waypost.address))
            .env("WAYPOST_KEY", config::KEY)
            .env("WAYPOST_ADMIN_TOKEN", config::ADMIN_TOKEN)
            .env("WAYPOST_SIMULATOR_URL", format!("http://{}", simulator.address))
            .env("WAYPOST_RECORD", bench.record());
        run_it(&mut suite)
    };
    let words = |done: Outcome| done.map_err(|message| format!("{message}{}", waypost.last_words()));
    let mut failed = vec![];
    if let Some(interpreter) = pytest {
        failed.extend(words(suite(python_suite(&interpreter))).err());
    }
    if node {
        failed.extend(words(suite(node_suite())).err());
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

/// Fails with the command that mends it when Python or Node is missing.
pub(crate) fn required() -> Outcome {
    python()?;
    let node = output(command("node").arg("--version")).unwrap_or_default();
    let major = node.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < 20) || !works(npm(), &["--version"]) {
        return Err(NODE_MISSING.to_owned());
    }
    Ok(())
}

fn python() -> Outcome<&'static str> {
    const CHECK: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))";
    let names = ["python3", "python", "python3.14", "python3.13", "python3.12", "python3.11"];
    let found = names.into_iter().find(|name| works(name, &["-c", CHECK]));
    found.ok_or_else(|| PYTHON_MISSING.to_owned())
}

fn npm() -> &'static str {
    if cfg!(windows) { "npm.cmd" } else { "npm" }
}

/// A virtual environment with exactly what `requirements.txt` says; made anew when that or the interpreter changes.
fn python_packages() -> Outcome<PathBuf> {
    let python = python()?;
    let requirements = root().join("sdk-tests/python/requirements.txt");
    let place = target().join("sdk").join("python");
    let interpreter = place.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let stamp = place.join("installed");
    let wanted = read(&requirements)? + &output(command(python).arg("--version"))?;
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(interpreter);
    }
    run_it(command(python).args(["-m", "venv", "--clear"]).arg(&place))?;
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    run_it(command(&interpreter).args(install).arg(requirements))?;
    write(&stamp, &wanted)?;
    Ok(interpreter)
}

/// `node_modules` as the lock file says; installed anew when that changes.
fn node_packages() -> Outcome {
    let lock = root().join("sdk-tests/node/package-lock.json");
    let stamp = target().join("sdk").join("node-installed");
    let wanted = read(&lock)?;
    let present = root().join("sdk-tests/node/node_modules").is_dir();
    if present && std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let mut ci = command(npm());
    ci.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(root().join("sdk-tests/node"));
    run_it(&mut ci)?;
    write(&stamp, &wanted)
}

fn python_suite(interpreter: &Path) -> Command {
    let mut pytest = command(interpreter);
    pytest.args(["-m", "pytest", "--quiet", "-p", "no:cacheprovider", "sdk-tests/python"]);
    pytest.env("PYTHONDONTWRITEBYTECODE", "1");
    pytest
}

fn node_suite() -> Command {
    let mut node = command("node");
    node.args(["--test", "--test-reporter=dot"]).current_dir(root().join("sdk-tests/node"));
    node
}

/// What the suites run against.
#[derive(Debug)]
struct Bench {
    place: PathBuf,
}

impl Bench {
    fn build() -> Outcome<Self> {
        // The whole workspace, so that dependencies have the features they were built with for the tests.
        run_it(&mut cargo(&["build", "--workspace", "--bin", "waypost", "--bin", "mock-provider"]))?;
        let place = target().join("sdk");
        // Set-up mode is what happens in a directory without a config file.
        // What another run kept is in the way; that there is nothing is fine.
        std::fs::remove_dir_all(place.join("empty")).ok();
        std::fs::create_dir_all(place.join("empty")).map_err(|error| format!("{}: {error}", place.display()))?;
        Ok(Self { place })
    }

    fn record(&self) -> PathBuf {
        self.place.join("requests.jsonl")
    }

    fn provider(&self) -> Outcome<Live> {
        Live::announced(Command::new(built("debug", "mock-provider")).arg("--record").arg(self.record()))
    }

    fn waypost(&self, provider: &Live) -> Outcome<Live> {
        let file = self.place.join("waypost.yaml");
        write(&file, &config::yaml(&provider.address))?;
        self.start("waypost.log", |waypost| waypost.arg("--config").arg(file))
    }

    fn simulator(&self) -> Outcome<Live> {
        self.start("simulator.log", |waypost| waypost)
    }

    /// Without the caller's environment: a key of theirs would change what is tested.
    fn start(&self, log: &str, arguments: impl FnOnce(&mut Command) -> &mut Command) -> Outcome<Live> {
        let port = free_port()?;
        let mut waypost = Command::new(built("debug", "waypost"));
        // Each with a database of its own.
        waypost.env_clear().env("DB_PATH", format!("{log}.db")).current_dir(self.place.join("empty"));
        arguments(&mut waypost).args(["--port", &port.to_string()]);
        Live::ready(&mut waypost, port, "/health/ready", &self.place.join(log))
    }
}

fn read(path: &Path) -> Outcome<String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Outcome {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
