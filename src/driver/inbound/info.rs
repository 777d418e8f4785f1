//! INFO.

use super::consul;
use super::describe;
use super::server::{Context, Outcome};
use crate::driver::pubsub::Kind;
use crate::driver::store::Supervised;
use crate::driver::wire::Words;
use crate::driver::{COMPATIBLE_WITH, clock};
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
pub(super) fn info(cx: &mut Context<'_>, words: &Words<'_>) -> Outcome {
    const ALL: [&str; 3] = ["all", "default", "everything"];
    let wants = |name: &str| {
        let mut words = words[1..].iter();
        words.len() == 0
            || words.any(|word| {
                word.eq_ignore_ascii_case(name) || ALL.iter().any(|all| word.eq_ignore_ascii_case(all))
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

fn server(cx: &Context<'_>, text: &mut String) -> std::fmt::Result {
    let identity = &cx.server.identity;
    let uptime = (clock::now() - identity.started).as_secs();
    write!(text, "redis_version:{COMPATIBLE_WITH}\r\n")?;
    write!(text, "consentinel_version:{}\r\n", env!("CARGO_PKG_VERSION"))?;
    write!(text, "redis_mode:sentinel\r\n")?;
    write!(text, "os:{}\r\n", std::env::consts::OS)?;
    write!(text, "arch_bits:{}\r\n", usize::BITS)?;
    write!(text, "process_id:{}\r\n", std::process::id())?;
    let supervised = match cx.server.settings.supervised {
        Supervised::Systemd => "systemd",
        Supervised::Upstart => "upstart",
        Supervised::No | Supervised::Auto => "no",
    };
    write!(text, "process_supervised:{supervised}\r\n")?;
    write!(text, "run_id:{}\r\n", identity.run_id)?;
    write!(text, "tcp_port:{}\r\n", cx.server.settings.port)?;
    write!(text, "server_time_usec:{}\r\n", clock::since_epoch().as_micros())?;
    write!(text, "uptime_in_seconds:{uptime}\r\n")?;
    write!(text, "uptime_in_days:{}\r\n", uptime / 86_400)?;
    let executable = std::env::current_exe().unwrap_or_default();
    write!(text, "executable:{}\r\n", executable.display())?;
    write!(text, "config_file:{}\r\n", identity.config_file.display())
}

fn clients(cx: &Context<'_>, text: &mut String) -> std::fmt::Result {
    write!(text, "connected_clients:{}\r\n", cx.server.clients.len())?;
    write!(text, "cluster_connections:0\r\n")?;
    write!(text, "maxclients:{}\r\n", cx.server.settings.maxclients)?;
    write!(text, "blocked_clients:0\r\n")
}

fn stats(cx: &Context<'_>, text: &mut String) -> std::fmt::Result {
    let (stats, subscriptions) = (&cx.server.stats, &cx.server.subscriptions);
    write!(text, "total_connections_received:{}\r\n", stats.connections)?;
    write!(text, "total_commands_processed:{}\r\n", stats.commands)?;
    write!(text, "total_net_input_bytes:{}\r\n", stats.input)?;
    write!(text, "total_net_output_bytes:{}\r\n", stats.output)?;
    write!(text, "rejected_connections:{}\r\n", stats.refused)?;
    write!(text, "pubsub_channels:{}\r\n", subscriptions.distinct(Kind::Channel))?;
    write!(text, "pubsub_patterns:{}\r\n", subscriptions.distinct(Kind::Pattern))?;
    write!(text, "total_error_replies:{}\r\n", stats.errors)
}

fn cpu(_: &Context<'_>, text: &mut String) -> std::fmt::Result {
    let used = clock::cpu();
    write!(text, "used_cpu_sys:{:.6}\r\n", used.system)?;
    write!(text, "used_cpu_user:{:.6}\r\n", used.user)?;
    write!(text, "used_cpu_sys_children:{:.6}\r\n", used.children_system)?;
    write!(text, "used_cpu_user_children:{:.6}\r\n", used.children_user)
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
