//! The machine that measures: what it is, and whether it has nothing else to do.

use std::fs;
use std::process::Command;

use crate::mpi;

/// Processor, cores and day.
pub(crate) fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unnamed processor", |(_, name)| name);
    let day = Command::new("date").args(["-u", "+%Y-%m-%d"]).output().map(|o| o.stdout).unwrap_or_default();
    format!("{model}, {} cores, {}", mpi::cores(), String::from_utf8_lossy(&day).trim())
}

/// A word of warning where other programs compete for the cores: a spinning rank that loses its core loses milliseconds.
pub(crate) fn warn_if_busy() {
    let load = fs::read_to_string("/proc/loadavg").ok().and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    if let Some(load) = load.filter(|load| *load > 0.5) {
        println!("   the load of this machine is {load} before the start: the numbers say little unless it falls");
    }
}

/// What the processors of a virtual machine did since it started, in ticks.
#[derive(Clone, Copy)]
pub(crate) struct ProcessorTime {
    used: u64,
    /// Wanted, but given to other machines by the host.
    stolen: u64,
}

impl ProcessorTime {
    pub(crate) fn now() -> Option<Self> {
        Self::of(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// From `/proc/stat`, whose first line has user, nice, system, idle, iowait, irq, softirq, steal.
    fn of(stat: &str) -> Option<Self> {
        let ticks: Vec<u64> = stat.lines().next()?.split_whitespace().skip(1).map_while(|n| n.parse().ok()).collect();
        let [user, nice, system, _, _, irq, softirq, stolen, ..] = ticks[..] else { return None };
        Some(ProcessorTime { used: user + nice + system + irq + softirq, stolen })
    }

    /// The share, in percent, of the time that was wanted.
    pub(crate) fn stolen_since(self, before: Self) -> f64 {
        let (used, stolen) = (self.used - before.used, self.stolen - before.stolen);
        100.0 * stolen as f64 / (used + stolen).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_the_host_keeps_is_a_share_of_what_was_wanted() {
        let before = ProcessorTime::of("cpu  100 0 10 5000 0 0 0 20 0 0\ncpu0 1 2 3\n").unwrap();
        let after = ProcessorTime::of("cpu  160 5 20 9000 7 1 4 40 0 0\n").unwrap();
        assert_eq!(after.stolen_since(before), 20.0);
        assert_eq!(before.stolen_since(before), 0.0);
        assert!(ProcessorTime::of("cpu 1 2 3\n").is_none());
    }
}
