//! The metrics of the daemon as a whole.

use super::super::handler::Handler;
use super::super::health;
use super::super::status_query::Drawn;
use super::text::Text;
use crate::clock;
use crate::config::COMPATIBLE_WITH;
use crate::status::meters::Meters;
use std::sync::atomic::Ordering;

/// What it is, how it is, what it does for its clients.
pub(super) fn write(text: &mut Text, drawn: &Drawn, meters: &Meters) {
    let (picture, tally) = (&drawn.picture, &drawn.tally);
    let build = [("version", picture.version.as_str()), ("compatible_with", COMPATIBLE_WITH)];
    text.gauge("consentinel_build_info", "Which program this is.").put(&build, true);
    let identity = [("myid", picture.myid.as_str()), ("address", picture.address.as_str())];
    text.gauge("consentinel_sentinel_info", "Which sentinel this is.").put(&identity, true);
    let started = picture.unix_ms.saturating_sub(picture.uptime_ms) as f64 / 1000.0;
    text.gauge("consentinel_start_time_seconds", "When it was started, since 1970.").put(&[], started);
    let ready = health::troubles(picture).is_empty();
    text.gauge("consentinel_ready", "Whether it can do its work, as /ready says.").put(&[], ready);
    text.gauge("consentinel_current_epoch", "The highest epoch that it knows.")
        .put(&[], picture.current_epoch);
    text.gauge("consentinel_tilt", "Whether it distrusts its clock.").put(&[], picture.tilt_ms.is_some());
    text.gauge("consentinel_storage_error", "Whether its state cannot be written.")
        .put(&[], picture.storage_error.is_some());
    text.gauge("consentinel_observer", "Whether it only looks on and publishes.").put(&[], picture.observes);
    text.gauge("consentinel_masters", "Masters that are watched.").put(&[], picture.masters.len());

    text.histogram("consentinel_save_duration_seconds", "How long it takes to bring the state to the disk.")
        .put_counts(&[], &meters.saves.counts());
    text.counter("consentinel_save_failures_total", "Saves of the state that failed.")
        .put(&[], meters.failed_saves.load(Ordering::Relaxed));
    text.histogram("consentinel_loop_lag_seconds", "How late the loop comes to what has its time.")
        .put_counts(&[], &meters.lag.counts());

    text.gauge("consentinel_clients", "Clients on the sentinel port.").put(&[], tally.clients);
    text.gauge("consentinel_clients_limit", "How many there may be.").put(&[], tally.most_clients);
    text.counter("consentinel_connections_total", "Connections to the sentinel port.")
        .put(&[], tally.connections);
    text.counter("consentinel_connections_refused_total", "Those of them that were refused.")
        .put(&[], tally.refused);
    text.counter("consentinel_commands_total", "Commands on the sentinel port.").put(&[], tally.commands);
    text.counter("consentinel_command_errors_total", "Those of them that were answered by an error.")
        .put(&[], tally.errors);
    text.counter("consentinel_received_bytes_total", "Bytes of commands.").put(&[], tally.input);
    text.counter("consentinel_sent_bytes_total", "Bytes of answers and events.").put(&[], tally.output);

    let cpu = clock::cpu();
    text.counter("process_cpu_seconds_total", "Processor time, in this program and in the system for it.")
        .put(&[], cpu.user + cpu.system);
    if let Some(bytes) = resident_memory() {
        text.gauge("process_resident_memory_bytes", "Memory that it takes.").put(&[], bytes);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        text.gauge("process_open_fds", "Files and sockets that it has open.").put(&[], open.count());
    }
}

/// The port on which this is read.
pub(super) fn write_port(text: &mut Text, handler: &Handler) {
    let mut answered = text.counter("consentinel_http_requests_total", "Requests to the HTTP port.");
    for (status, count) in handler.visits.by_status.borrow().iter() {
        answered.put(&[("code", &status.to_string())], *count);
    }
    text.gauge("consentinel_http_connections", "Connections to the HTTP port.")
        .put(&[], handler.connections.taken());
    text.counter("consentinel_http_connections_refused_total", "Those for which there was no room.")
        .put(&[], handler.visits.turned_away.get());
    text.gauge("consentinel_http_followers", "Clients that follow the events.")
        .put(&[], handler.followers.taken());
}

/// Nothing where the system does not tell.
fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}
