//! A real Postgres for tests: a cluster of its own in a temporary folder, on a free loopback port, without a password.
//!
//! One that runs already is used where [`SHARED`] names it, with a database of its own for each test: starting a server takes
//! half a second. A cluster ends with whoever started it, even when that is killed.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Names a running server: `postgres://USER@HOST:PORT`.
pub const SHARED: &str = "WAYPOST_TEST_POSTGRES";

const USER: &str = "waypost";
/// A bound for servers that do not come up; none takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server and its files.
pub struct Cluster {
    folder: PathBuf,
    port: u16,
    /// Ends the server when its input ends.
    keeper: Option<Child>,
}

impl Cluster {
    /// Starts an empty one. Panics with the command that mends it if Postgres is not installed.
    pub fn start() -> Self {
        let folder = unique_folder();
        copy_template(&folder);
        let port = free_port();
        let mut cluster = Self { folder, port, keeper: None };
        cluster.resume();
        cluster
    }

    /// `postgres://USER@HOST:PORT`, without a database.
    pub fn url(&self) -> String {
        format!("postgres://{USER}@127.0.0.1:{}", self.port)
    }

    /// Ends the server at once, as a crash would. Its files stay.
    pub fn stop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }

    /// Starts the server again, on the same port.
    pub fn resume(&mut self) {
        if self.keeper.is_some() {
            return;
        }
        // Without syncs: what tests end are processes, not machines.
        let script = "\"$0\" -D \"$1\" -p \"$2\" -k \"$1\" -h 127.0.0.1 -F -c max_connections=200 >\"$1/log\" 2>&1 & server=$!; \
                      read _; kill -QUIT $server; wait $server";
        let mut command = as_somebody("sh");
        command.arg("-c").arg(script).arg(program("postgres")).arg(&self.folder).arg(self.port.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
        self.keeper = Some(command.spawn().expect("sh is there"));
        let until = Instant::now() + PATIENCE;
        while !ran(client("pg_isready", self.port).arg("-q")) {
            assert!(Instant::now() < until, "Postgres does not come up; see {}", self.folder.join("log").display());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// An empty database of one test.
pub struct Database {
    name: String,
    server: String,
    port: u16,
    cluster: Option<Cluster>,
}

impl Database {
    /// On the server that [`SHARED`] names, else on one of its own.
    pub fn create() -> Self {
        let (server, cluster) = match std::env::var(SHARED) {
            Ok(url) => (url, None),
            Err(_) => {
                let cluster = Cluster::start();
                (cluster.url(), Some(cluster))
            }
        };
        let port = server.rsplit(':').next().and_then(|port| port.parse().ok()).expect("the address ends in a port");
        let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        assert!(ran(client("createdb", port).arg(&name)), "the database {name} cannot be made on {server}");
        Self { name, server, port, cluster }
    }

    pub fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// The server, if it is this test's alone.
    pub fn cluster(&mut self) -> Option<&mut Cluster> {
        self.cluster.as_mut()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.cluster.is_none() {
            ran(client("dropdb", self.port).args(["--force", "--if-exists"]).arg(&self.name));
        }
    }
}

static COUNT: AtomicU32 = AtomicU32::new(0);

fn unique_folder() -> PathBuf {
    let name = format!("waypost-postgres-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    std::env::temp_dir().join(name)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

/// Making a cluster takes a second; copying one that was made takes none.
fn copy_template(folder: &Path) {
    let made = std::env::temp_dir().join(format!("waypost-postgres-template-{}", user_number()));
    let lock = std::fs::File::create(made.with_extension("lock")).expect("the temporary folder can be written");
    lock.lock().expect("it can be locked");
    if !made.join("whole").exists() {
        let _ = std::fs::remove_dir_all(&made);
        owned_folder(&made).expect("the temporary folder can be written");
        let mut command = as_somebody(program("initdb"));
        command.args(["-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N", "-D"]).arg(&made).current_dir("/");
        let output = command.output().expect("initdb is there");
        assert!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(made.join("whole"), "").expect("the cluster can be marked as whole");
    }
    let mut copy = Command::new("cp");
    assert!(ran(copy.arg("-a").arg(&made).arg(folder)), "the cluster cannot be copied");
}

fn owned_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    std::fs::create_dir_all(folder)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    if is_root() { chown(folder, Some(NOBODY), Some(NOBODY)) } else { Ok(()) }
}

/// Postgres refuses to run as root.
const NOBODY: u32 = 65534;

fn as_somebody(program: impl AsRef<std::ffi::OsStr>) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    let number = NOBODY.to_string();
    command.args(["--reuid", &number, "--regid", &number, "--clear-groups", "--"]).arg(program);
    command
}

fn is_root() -> bool {
    user_number() == 0
}

fn user_number() -> u32 {
    std::fs::metadata("/proc/self").map_or(1, |about| std::os::unix::fs::MetadataExt::uid(&about))
}

fn client(name: &str, port: u16) -> Command {
    let mut command = Command::new(program(name));
    command.args(["-h", "127.0.0.1", "-U", USER, "-p", &port.to_string()]);
    command
}

fn ran(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Debian keeps the server's programs off the path, in a folder by version.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::split_paths(&path));
    folders.into_iter().map(|folder| folder.join(name)).find(|program| program.is_file()).unwrap_or_else(|| {
        panic!(
            "`{name}` of Postgres is not installed; `apt-get install postgresql` (or your system's package) brings it"
        )
    })
}
