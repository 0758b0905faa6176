//! A built Waypost as a program of its own, for loads that are too long or too heavy for a test.
//! It must not know what is in the configuration it is given.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::sleep;

/// A running program with its logs in files; ended, if by nothing else, when this is dropped.
#[derive(Debug)]
pub struct Waypost {
    child: Child,
    /// `http://127.0.0.1:<port>`.
    pub url: String,
    log: PathBuf,
}

impl Waypost {
    /// Starts the program in `place` with this configuration, which should ask for port 0, and waits until it is ready.
    /// Panics if it does not become so.
    pub async fn start(program: &Path, place: &Path, config: &str) -> Self {
        std::fs::create_dir_all(place).expect("the place can be made");
        let file = place.join("waypost.yaml");
        std::fs::write(&file, config).expect("the config can be written");
        let (log, said) = (place.join("access.log"), place.join("stderr.log"));
        let out = File::create(&log).expect("the log can be written");
        let err = File::create(&said).expect("the log can be written");
        let mut command = Command::new(program);
        command.arg("--config").arg(&file).args(["--log-format", "json"]).env_clear().current_dir(place);
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().expect("waypost starts");
        let mut waypost = Self { child, url: String::new(), log };
        loop {
            let text = std::fs::read_to_string(&said).unwrap_or_default();
            let ready = text.lines().find(|line| line.contains("waypost is ready"));
            if let Some(address) = ready.and_then(|line| line.split("\"address\":\"").nth(1)?.split('"').next()) {
                waypost.url = format!("http://{address}");
                return waypost;
            }
            assert!(matches!(waypost.child.try_wait(), Ok(None)), "waypost ended: {text}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as an owner would; gives its exit code and the number of lines in its access log.
    pub fn stop(mut self) -> (Option<i32>, u64) {
        Command::new("kill").arg(self.child.id().to_string()).status().expect("kill is there");
        let code = self.child.wait().expect("it ends").code();
        let lines = BufReader::new(File::open(&self.log).expect("the log is there")).lines();
        (code, lines.map_while(Result::ok).filter(|line| line.contains("\"request_id\"")).count() as u64)
    }
}

impl Drop for Waypost {
    fn drop(&mut self) {
        // What cannot be stopped has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
