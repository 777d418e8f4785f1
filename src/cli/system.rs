//! `--check-system`: whether the machine lets a sentinel keep its promises.

use rustix::process::{Resource, getrlimit};
use std::process::ExitCode;

/// Every watched server takes two connections, every client one.
const FILES: u64 = 4096;

/// Looks at the machine and says, line by line, what it found: in the original's shape.
pub(super) fn check() -> ExitCode {
    let mut all_well = true;
    for (name, found) in
        [("slow-clocksource", clock()), ("open-files", files()), ("time-jumps", suspend_clock())]
    {
        match found {
            None => println!("[{name}]...OK"),
            Some(warning) => {
                all_well = false;
                println!("[{name}]...WARNING:\n{warning}");
            }
        }
    }
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A clock that needs the kernel for every look makes a loop that looks often slow.
fn clock() -> Option<String> {
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let source = std::fs::read_to_string(path).ok()?;
    let slow = ["hpet", "acpi_pm", "jiffies"].contains(&source.trim());
    slow.then(|| {
        format!(
            "The clock of this machine is '{}', which is slow. Use tsc or kvm-clock, where available: they are listed \
             in available_clocksource beside {path}.",
            source.trim()
        )
    })
}

fn files() -> Option<String> {
    let most = getrlimit(Resource::Nofile).maximum?;
    (most < FILES).then(|| {
        format!("Only {most} files may be open, {FILES} are advisable. Raise it: LimitNOFILE= of systemd, or ulimit -n.")
    })
}

/// The clock that goes on while the machine is suspended.
fn suspend_clock() -> Option<String> {
    use rustix::time::{ClockId, clock_gettime};
    let (on, off) = (clock_gettime(ClockId::Boottime), clock_gettime(ClockId::Monotonic));
    (on.tv_sec > off.tv_sec + 60).then(|| {
        format!(
            "This machine was suspended for {} seconds since it was started. A sentinel that sleeps with its machine \
             cannot watch, and goes into TILT when it wakes.",
            on.tv_sec - off.tv_sec
        )
    })
}
