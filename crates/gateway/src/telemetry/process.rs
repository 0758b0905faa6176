//! What the process takes of the machine, as Linux tells it under `/proc`; nothing elsewhere. Read when metrics are asked for.
//! Names are those of Prometheus' client libraries. Tests are below.

use std::path::Path;

use super::prometheus::{Page, Type};
use super::registry::About;

/// What a tick of `/proc` is, for programs: a hundredth of a second, on every Linux.
const TICKS: u64 = 100;

/// What was found; a number is absent where the system does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    cpu_ticks: Option<u64>,
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    threads: Option<u64>,
    open_fds: Option<u64>,
    max_fds: Option<u64>,
    /// Since 1970.
    start_ticks: Option<u64>,
}

impl Process {
    /// This process, now.
    pub fn now() -> Self {
        let own = Path::new("/proc/self");
        let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let mut process = Self::of(
            &text(&own.join("stat")),
            &text(&own.join("status")),
            &text(&own.join("limits")),
            &text(Path::new("/proc/stat")),
        );
        // One of them is the look itself.
        process.open_fds = std::fs::read_dir(own.join("fd")).ok().map(|fds| (fds.count() as u64).saturating_sub(1));
        process
    }

    fn of(stat: &str, status: &str, limits: &str, system: &str) -> Self {
        // The second field is a name in parentheses and may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let kilobytes = |name: &str| after(status, name)?.parse::<u64>().ok()?.checked_mul(1024);
        let boot = after(system, "btime").and_then(|seconds| seconds.parse::<u64>().ok());
        Self {
            cpu_ticks: field(14).zip(field(15)).map(|(user, system)| user + system),
            resident_bytes: kilobytes("VmRSS:"),
            virtual_bytes: kilobytes("VmSize:"),
            threads: after(status, "Threads:").and_then(|count| count.parse().ok()),
            open_fds: None,
            max_fds: after(limits, "Max open files").and_then(|soft| soft.parse().ok()),
            start_ticks: boot.zip(field(22)).map(|(boot, ticks)| boot * TICKS + ticks),
        }
    }

    /// Writes what is known.
    pub fn write(&self, page: &mut Page) {
        let numbers = [
            (
                "process_cpu_seconds",
                Type::Counter,
                TICKS,
                self.cpu_ticks,
                "Processor time that the process took, in seconds.",
            ),
            (
                "process_resident_memory_bytes",
                Type::Gauge,
                1,
                self.resident_bytes,
                "Memory of the process that is in RAM, in bytes.",
            ),
            ("process_virtual_memory_bytes", Type::Gauge, 1, self.virtual_bytes, "Address space in bytes."),
            ("process_threads", Type::Gauge, 1, self.threads, "Threads of the process."),
            ("process_open_fds", Type::Gauge, 1, self.open_fds, "File descriptors that are open."),
            ("process_max_fds", Type::Gauge, 1, self.max_fds, "File descriptors that may be open."),
            (
                "process_start_time_seconds",
                Type::Gauge,
                TICKS,
                self.start_ticks,
                "When the process began, in seconds since 1970.",
            ),
        ];
        for (name, kind, per_unit, value, help) in numbers {
            if let Some(value) = value {
                page.family(&About { name, help, labels: &[] }, kind);
                page.told_scaled(&[], value, per_unit);
            }
        }
    }
}

/// The first word after a name that begins a line.
fn after<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_tells_is_read_whatever_the_program_is_called() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 900 0 0 0 123 77 0 0 20 0 5 0 1000 999 25 18446744073709551615";
        let status = "Name:\ta\nVmSize:\t  200 kB\nVmRSS:\t  100 kB\nThreads:\t5\n";
        let limits = "Limit                     Soft Limit           Hard Limit           Units\nMax open files            1024                 4096                 files\n";
        let process = Process::of(stat, status, limits, "cpu 1\nbtime 1700000000\n");
        let expected = Process {
            cpu_ticks: Some(200),
            resident_bytes: Some(102_400),
            virtual_bytes: Some(204_800),
            threads: Some(5),
            open_fds: None,
            max_fds: Some(1024),
            start_ticks: Some(170_000_001_000),
        };
        assert_eq!(process, expected);
        assert_eq!(Process::of("", "", "", ""), Process::default());
    }
}
