//! What the kernel knows of a process: CPU time and resident memory, from `/proc`. Linux only; elsewhere it says so.

use crate::Outcome;

/// Clock ticks are hundredths of a second for every process on Linux, whatever the kernel's own clock is.
const MICROSECONDS_PER_TICK: u64 = 10_000;

/// User and system time of these processes so far, in microseconds.
pub(super) fn cpu_micros(processes: &[u32]) -> Outcome<u64> {
    processes.iter().map(|pid| one_cpu(*pid)).sum()
}

/// Resident memory of these processes, in kilobytes. Pages they share are counted for each.
pub(super) fn resident_kb(processes: &[u32]) -> Outcome<u64> {
    processes.iter().map(|pid| one_resident(*pid)).sum()
}

fn one_cpu(pid: u32) -> Outcome<u64> {
    let text = read(pid, "stat")?;
    // The name in brackets may hold anything; the fields are counted after it.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<u64>().ok());
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok((user + system) * MICROSECONDS_PER_TICK),
        _ => Err(format!("/proc/{pid}/stat has another form: {text}")),
    }
}

fn one_resident(pid: u32) -> Outcome<u64> {
    let text = read(pid, "status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| format!("/proc/{pid}/status has no VmRSS"))
}

fn read(pid: u32, file: &str) -> Outcome<String> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error} (the benchmark needs Linux)"))
}
