//! INFO: all the fields of the original, in its order. What has no meaning here is zero: whoever reads them by name finds
//! them.

use super::consul;
use super::context::{Context, Outcome};
use super::describe;
use crate::clock;
use crate::config::COMPATIBLE_WITH;
use crate::config::Supervised;
use crate::net::wire::Args;
use crate::server::pubsub::Kind;
use std::fmt::Write;

/// A section: its name, and what writes its lines.
type Section = (&'static str, fn(&Context<'_>, &mut String) -> std::fmt::Result);

const SECTIONS: &[Section] = &[
    ("Server", server),
    ("Clients", clients),
    ("Stats", stats),
    ("CPU", cpu),
    ("Sentinel", sentinel),
    ("Consul", consul::info),
];

/// Like the original, a section that is not known is passed over.
pub(super) fn info(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    const ALL: [&str; 3] = ["all", "default", "everything"];
    let wants = |name: &str| {
        let mut args = args[1..].iter();
        args.len() == 0
            || args.any(|arg| {
                arg.eq_ignore_ascii_case(name) || ALL.iter().any(|all| arg.eq_ignore_ascii_case(all))
            })
    };
    let mut text = String::new();
    for (name, write) in SECTIONS.iter().filter(|(name, _)| wants(name)) {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        text.push_str(&format!("# {name}\r\n"));
        write(cx, &mut text).expect("writing to a string cannot fail");
    }
    // A Redis server tells RESP3 clients that it is text; a sentinel does not.
    cx.out.bulk(text);
    Outcome::Answered
}

/// Fields that are always zero here.
fn zeros(text: &mut String, names: &[&str]) -> std::fmt::Result {
    names.iter().try_for_each(|name| write!(text, "{name}:0\r\n"))
}

fn server(cx: &Context<'_>, text: &mut String) -> std::fmt::Result {
    let identity = &cx.server.identity;
    let (uptime, today) = ((clock::now() - identity.started).as_secs(), clock::since_epoch());
    let system = rustix::system::uname();
    let supervised = match cx.server.settings.supervised {
        Supervised::No | Supervised::Auto => "no",
        Supervised::Upstart => "upstart",
        Supervised::Systemd => "systemd",
    };
    write!(text, "redis_version:{COMPATIBLE_WITH}\r\n")?;
    write!(text, "redis_git_sha1:00000000\r\n")?;
    zeros(text, &["redis_git_dirty", "redis_build_id"])?;
    write!(text, "redis_mode:sentinel\r\n")?;
    let name = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let (kind, release, machine) = (name(system.sysname()), name(system.release()), name(system.machine()));
    write!(text, "os:{kind} {release} {machine}\r\n")?;
    write!(text, "arch_bits:{}\r\n", usize::BITS)?;
    write!(text, "monotonic_clock:POSIX clock_gettime\r\n")?;
    write!(text, "multiplexing_api:epoll\r\n")?;
    write!(text, "atomicvar_api:c11-builtin\r\n")?;
    write!(text, "gcc_version:0.0.0\r\n")?;
    write!(text, "process_id:{}\r\n", std::process::id())?;
    write!(text, "process_supervised:{supervised}\r\n")?;
    write!(text, "run_id:{}\r\n", identity.run_id)?;
    write!(text, "tcp_port:{}\r\n", cx.server.settings.port)?;
    write!(text, "server_time_usec:{}\r\n", today.as_micros())?;
    write!(text, "uptime_in_seconds:{uptime}\r\n")?;
    write!(text, "uptime_in_days:{}\r\n", uptime / 86_400)?;
    write!(text, "hz:10\r\nconfigured_hz:10\r\n")?;
    write!(text, "lru_clock:{}\r\n", today.as_secs() & 0xff_ffff)?;
    let executable = std::env::current_exe().unwrap_or_default();
    write!(text, "executable:{}\r\n", executable.display())?;
    write!(text, "config_file:{}\r\n", identity.config_file.display())?;
    zeros(text, &["io_threads_active"])?;
    write!(text, "consentinel_version:{}\r\n", env!("CARGO_PKG_VERSION"))
}

fn clients(cx: &Context<'_>, text: &mut String) -> std::fmt::Result {
    let tracking = cx.server.clients.values().filter(|client| client.tracking.is_on()).count();
    write!(text, "connected_clients:{}\r\n", cx.server.clients.len())?;
    zeros(text, &["cluster_connections"])?;
    write!(text, "maxclients:{}\r\n", cx.server.settings.maxclients)?;
    zeros(text, &["client_recent_max_input_buffer", "client_recent_max_output_buffer", "blocked_clients"])?;
    write!(text, "tracking_clients:{tracking}\r\n")?;
    zeros(text, &["clients_in_timeout_table"])
}

/// Of the statistics of a Redis server, between others: what only a server with data can count.
const OF_DATA: &[&str] = &[
    "sync_full",
    "sync_partial_ok",
    "sync_partial_err",
    "expired_keys",
    "expired_stale_perc",
    "expired_time_cap_reached_count",
    "expire_cycle_cpu_milliseconds",
    "evicted_keys",
    "evicted_clients",
    "total_eviction_exceeded_time",
    "current_eviction_exceeded_time",
    "keyspace_hits",
    "keyspace_misses",
];

const OF_DATA_TOO: &[&str] = &[
    "pubsubshard_channels",
    "latest_fork_usec",
    "total_forks",
    "migrate_cached_sockets",
    "slave_expires_tracked_keys",
    "active_defrag_hits",
    "active_defrag_misses",
    "active_defrag_key_hits",
    "active_defrag_key_misses",
    "total_active_defrag_time",
    "current_active_defrag_time",
];

fn stats(cx: &Context<'_>, text: &mut String) -> std::fmt::Result {
    let (stats, subscriptions) = (&cx.server.stats, &cx.server.subscriptions);
    let rates = stats.rates(clock::now());
    write!(text, "total_connections_received:{}\r\n", stats.connections)?;
    write!(text, "total_commands_processed:{}\r\n", stats.commands)?;
    write!(text, "instantaneous_ops_per_sec:{:.0}\r\n", rates.commands)?;
    write!(text, "total_net_input_bytes:{}\r\n", stats.input)?;
    write!(text, "total_net_output_bytes:{}\r\n", stats.output)?;
    zeros(text, &["total_net_repl_input_bytes", "total_net_repl_output_bytes"])?;
    write!(text, "instantaneous_input_kbps:{:.2}\r\n", rates.input / 1024.0)?;
    write!(text, "instantaneous_output_kbps:{:.2}\r\n", rates.output / 1024.0)?;
    write!(text, "instantaneous_input_repl_kbps:0.00\r\ninstantaneous_output_repl_kbps:0.00\r\n")?;
    write!(text, "rejected_connections:{}\r\n", stats.refused)?;
    zeros(text, OF_DATA)?;
    write!(text, "pubsub_channels:{}\r\n", subscriptions.distinct(Kind::Channel))?;
    write!(text, "pubsub_patterns:{}\r\n", subscriptions.distinct(Kind::Pattern))?;
    zeros(text, OF_DATA_TOO)?;
    zeros(text, &["tracking_total_keys", "tracking_total_items", "tracking_total_prefixes"])?;
    zeros(text, &["unexpected_error_replies"])?;
    write!(text, "total_error_replies:{}\r\n", stats.errors)?;
    zeros(text, &["dump_payload_sanitizations"])?;
    write!(text, "total_reads_processed:{}\r\n", stats.reads)?;
    write!(text, "total_writes_processed:{}\r\n", stats.writes)?;
    zeros(text, &["io_threaded_reads_processed", "io_threaded_writes_processed"])?;
    zeros(text, &["reply_buffer_shrinks", "reply_buffer_expands"])
}

fn cpu(_: &Context<'_>, text: &mut String) -> std::fmt::Result {
    let used = clock::cpu();
    write!(text, "used_cpu_sys:{:.6}\r\n", used.system)?;
    write!(text, "used_cpu_user:{:.6}\r\n", used.user)?;
    write!(text, "used_cpu_sys_children:{:.6}\r\n", used.children_system)?;
    write!(text, "used_cpu_user_children:{:.6}\r\n", used.children_user)?;
    write!(text, "used_cpu_sys_main_thread:{:.6}\r\n", used.system)?;
    write!(text, "used_cpu_user_main_thread:{:.6}\r\n", used.user)
}

fn sentinel(cx: &Context<'_>, text: &mut String) -> std::fmt::Result {
    let view = cx.sentinel.view();
    let tilt_seconds = view.tilt.map(|since| (clock::now() - since).as_secs());
    let running = view.scripts.iter().filter(|script| script.running_since.is_some()).count();
    let (after_election, after_promotion) = view.simulate_failure;
    write!(text, "sentinel_masters:{}\r\n", view.groups.len())?;
    write!(text, "sentinel_tilt:{}\r\n", u8::from(view.tilt.is_some()))?;
    match tilt_seconds {
        Some(seconds) => write!(text, "sentinel_tilt_since_seconds:{seconds}\r\n")?,
        None => write!(text, "sentinel_tilt_since_seconds:-1\r\n")?,
    }
    write!(text, "sentinel_running_scripts:{running}\r\n")?;
    // The original counts those that are running, too.
    write!(text, "sentinel_scripts_queue_length:{}\r\n", view.scripts.len())?;
    let flags = u8::from(after_election) | u8::from(after_promotion) << 1;
    write!(text, "sentinel_simulate_failure_flags:{flags}\r\n")?;
    for (index, group) in view.groups.iter().enumerate() {
        text.push_str(&describe::info_line(index, group));
    }
    Ok(())
}
