//! What the kernel counted for this process.

use std::fs;
use std::time::Duration;

/// Name of the threads that send, and of the Git host's.
pub(crate) const LOAD: &str = "load";
/// Name of the service's threads.
pub(crate) const SERVICE: &str = "service";

/// CPU time so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    pub(crate) load: Duration,
    pub(crate) service: Duration,
}

impl Cpu {
    /// Of all threads by name.
    pub(crate) fn now() -> Self {
        let mut cpu = Self::default();
        for thread in fs::read_dir("/proc/self/task").unwrap() {
            let thread = thread.unwrap().path();
            // It may end while we look.
            let (Ok(name), Ok(schedule)) = (
                fs::read_to_string(thread.join("comm")),
                fs::read_to_string(thread.join("schedstat")),
            ) else {
                continue;
            };
            let nanos = schedule.split_whitespace().next().unwrap().parse().unwrap();
            let of_name = match name.trim() {
                SERVICE => &mut cpu.service,
                _ => &mut cpu.load,
            };
            *of_name += Duration::from_nanos(nanos);
        }
        cpu
    }

    /// Since then.
    pub(crate) fn since(self, then: Self) -> Self {
        Self {
            load: self.load.saturating_sub(then.load),
            service: self.service.saturating_sub(then.service),
        }
    }
}

/// Memory that is resident, in MiB.
pub(crate) fn memory() -> f64 {
    status("VmRSS:")
}

/// The most that was resident since [`forget_peak`].
pub(crate) fn peak_memory() -> f64 {
    status("VmHWM:")
}

/// Lets the peak begin anew, see proc_pid_clear_refs(5).
pub(crate) fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

fn status(name: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let kib: u32 = line.trim().trim_end_matches(" kB").parse().unwrap();
    f64::from(kib) / 1024.0
}
