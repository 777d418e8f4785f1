//! The only place that reads clocks.

use consentinel_core::Time;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime};

/// The time as the core is told it: it goes on while the machine is suspended, and nobody can set it.
pub(crate) fn now() -> Time {
    let now = clock_gettime(ClockId::Boottime);
    Time::from_micros(now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000)
}

/// When the runtime's timer must go off for a point in core time.
pub(crate) fn alarm(at: Time) -> tokio::time::Instant {
    // A day at most: the timer cannot hold all of time, and a spurious wake harms nobody.
    tokio::time::Instant::now() + (at - now()).min(Duration::from_secs(86_400))
}

/// The time of day, since 1970.
pub(crate) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// The time of day as a log line has it: `21 Nov 2026 11:47:15.182`.
pub(crate) fn log_stamp() -> impl std::fmt::Display {
    jiff::Zoned::now().strftime("%d %b %Y %H:%M:%S.%3f")
}

/// The time of day as syslog has it: `Nov 21 11:47:15`, the day of two characters.
pub(crate) fn syslog_stamp() -> impl std::fmt::Display {
    jiff::Zoned::now().strftime("%b %e %H:%M:%S")
}

/// The time of day for machines of other places: `2026-11-21T11:47:15.182Z`.
pub(crate) fn rfc3339() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// A number that another start of this process will not draw.
pub(crate) fn seed() -> u64 {
    let mut bytes = [0u8; 8];
    // Only ever short when a signal interrupts it early; the clock and the process then tell two starts apart.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    let id = u64::from(std::process::id());
    u64::from_ne_bytes(bytes) ^ consentinel_core::mix(since_epoch().as_nanos() as u64 ^ (id << 48))
}

/// Seconds of processor time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    /// In this program.
    pub user: f64,
    /// In the system on its behalf.
    pub system: f64,
    /// In scripts that have ended.
    pub children_user: f64,
    /// In the system on their behalf.
    pub children_system: f64,
}

/// What this process has used so far; zero where the system does not tell.
pub(crate) fn cpu() -> Cpu {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field, the name in parentheses, may contain spaces; the times are fields 14 to 17.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = after_name.split_whitespace().skip(11);
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let mut next = || fields.next().and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0) / ticks;
    Cpu { user: next(), system: next(), children_user: next(), children_system: next() }
}
