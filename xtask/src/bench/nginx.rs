//! The yardstick: nginx as a plain reverse proxy with its own prefix, kept-alive upstream connections, nothing logged.
//! It must not touch any other nginx on the machine.

use std::path::Path;
use std::process::Command;

use crate::Outcome;
use crate::command::{output, works};
use crate::live::Live;

/// One listener of ours and what stands behind it.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) port: u16,
    pub(super) to: String,
}

/// Fails with the command that installs it.
pub(super) fn required() -> Outcome {
    if works("nginx", &["-v"]) {
        return Ok(());
    }
    Err("the benchmark measures beside nginx. Install it, for example with `apt-get install nginx-light` or \
         `brew install nginx`; it need not run"
        .to_owned())
}

/// What it calls itself, such as `nginx/1.22.1`; it says so on standard error.
pub(super) fn version() -> String {
    let said = Command::new("nginx").arg("-v").output().map(|output| output.stderr).unwrap_or_default();
    String::from_utf8_lossy(&said).trim().trim_start_matches("nginx version: ").to_owned()
}

/// Starts it in the foreground with a config of its own.
pub(super) fn start(place: &Path, routes: &[Route]) -> Outcome<Live> {
    for folder in ["logs", "temp"] {
        let folder = place.join(folder);
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let file = place.join("nginx.conf");
    std::fs::write(&file, config(routes)).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut nginx = Command::new("nginx");
    nginx.arg("-p").arg(place).arg("-c").arg(&file).args(["-g", "daemon off;", "-e", "stderr"]);
    let port = routes.first().map_or(0, |route| route.port);
    Live::ready(&mut nginx, port, "/ready", &place.join("nginx.log"))
}

/// The master's and its workers' process ids.
pub(super) fn processes(master: u32) -> Vec<u32> {
    let workers = output(Command::new("pgrep").args(["-P", &master.to_string()])).unwrap_or_default();
    std::iter::once(master).chain(workers.lines().filter_map(|line| line.trim().parse().ok())).collect()
}

/// Two workers, as Waypost has two threads on the machine the targets were set on.
fn config(routes: &[Route]) -> String {
    let mut servers = String::new();
    for (place, Route { port, to }) in routes.iter().enumerate() {
        servers += &format!(
            "    upstream up{place} {{ server {to}; keepalive 256; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port} reuseport backlog=4096;
        location = /ready {{ return 200; }}
        location / {{ proxy_pass http://up{place}; }}
    }}
"
        );
    }
    format!(
        "worker_processes 2;
worker_rlimit_nofile 65536;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 20000; }}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_timeout 3600s;
    keepalive_requests 1000000000;
    client_max_body_size 100m;
    client_body_buffer_size 256k;
    client_body_temp_path temp/body;
    proxy_temp_path temp/proxy;
    fastcgi_temp_path temp/fastcgi;
    uwsgi_temp_path temp/uwsgi;
    scgi_temp_path temp/scgi;
    proxy_http_version 1.1;
    proxy_set_header Connection \"\";
    proxy_buffering off;
    proxy_read_timeout 3600s;
{servers}}}
"
    )
}
