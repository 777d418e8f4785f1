//! SENTINEL ...: what changes something. Here words become a request; the core decides and answers.

use super::context::{Context, Outcome};
use super::sentinel::{NO_NUMBER, NO_SUCH_MASTER};
use super::table::quoting;
use crate::config;
use crate::net::wire::{Arg, Args};
use consentinel_core::{
    ConfigChange, Endpoint, GroupChange, GroupName, Host, Level, Quorum, Refusal, Request, Secret, Sentinel,
    SentinelId, Timing, glob_matches,
};
use std::time::Duration;

/// As Valkey 9 has it: what its COORDINATED promises, that no write is lost, is done here in any case.
pub(super) fn failover(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    match &args[3..] {
        [] => {}
        [option] if option.eq_ignore_ascii_case("coordinated") => {}
        // In the words of those that know no option.
        _ => return cx.fail("ERR wrong number of arguments for 'sentinel|failover' command"),
    }
    Outcome::Ask(Request::Failover { group: GroupName::new(&args[2]) })
}

pub(super) fn reset(_: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    Outcome::Ask(Request::Reset { pattern: args[2].to_string() })
}

pub(super) fn remove(_: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    Outcome::Ask(Request::Remove { group: GroupName::new(&args[2]) })
}

pub(super) fn flush_config(_: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    Outcome::Ask(Request::FlushConfig)
}

pub(super) fn monitor(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let Some(quorum) = args[5].number() else { return cx.fail("ERR Invalid quorum") };
    let Some(port) = args[4].number() else { return cx.fail("ERR Invalid port") };
    if quorum <= 0 {
        return cx.fail(Refusal::InvalidQuorum.to_string());
    }
    let host = match Host::parse(&args[3]) {
        Ok(host @ Host::Ip(_)) => host,
        Ok(host) if cx.sentinel.config().resolve_hostnames => host,
        _ => return cx.fail(Refusal::InvalidAddress.to_string()),
    };
    let Some(port) = u16::try_from(port).ok().filter(|port| *port > 0) else {
        return cx.fail("ERR Invalid port number.");
    };
    let Ok(quorum) = u32::try_from(quorum) else { return cx.fail("ERR Invalid quorum") };
    // A name that fits into no hello could never be told to another sentinel.
    let Ok(group) = config::group_name(&args[2]) else { return cx.fail("ERR Invalid master name") };
    if let Some(error) = cx.server.refuses_name(cx.sentinel, &group) {
        return cx.fail(format!("ERR {}", error.with_hint()));
    }
    Outcome::Ask(Request::Monitor { group, master: Endpoint::new(host, port), quorum: Quorum(quorum) })
}

/// What one option of SET, CONFIG SET or DEBUG came to.
enum Parsed<T> {
    Good(T),
    /// The value is none.
    BadValue,
    /// Another text of its own.
    Refused(&'static str),
    /// No such option.
    Unknown,
}

impl<T> Parsed<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Parsed::BadValue, Parsed::Good)
    }
}

pub(super) fn set(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let group = GroupName::new(&args[2]);
    if cx.sentinel.master_of(group.as_str()).is_none() {
        return cx.fail(NO_SUCH_MASTER);
    }
    let denied = cx.sentinel.config().deny_scripts_reconfig;
    let mut changes = Vec::new();
    let mut rest = &args[3..];
    while let [option, tail @ ..] = rest {
        let needed = if option.eq_ignore_ascii_case("rename-command") { 2 } else { 1 };
        let parsed = match tail.split_at_checked(needed) {
            Some((values, tail)) => {
                rest = tail;
                group_change(option, values, denied)
            }
            None => Parsed::Unknown,
        };
        match parsed {
            Parsed::Good(change) => changes.push(change),
            Parsed::BadValue => {
                let wrong = tail[..needed].iter().find(|arg| arg.is_empty()).unwrap_or(&tail[0]);
                return cx.fail(invalid_argument(wrong, "SET", option));
            }
            Parsed::Refused(text) => return cx.fail(text),
            Parsed::Unknown => {
                return cx.fail(unknown_option("SET", option));
            }
        }
    }
    Outcome::Ask(Request::Set { group, changes })
}

fn invalid_argument(value: &Arg<'_>, command: &str, option: &Arg<'_>) -> Vec<u8> {
    let head = quoting("ERR Invalid argument ", value, &format!(" for SENTINEL {command} "));
    [head, quoting("", option, "")].concat()
}

fn unknown_option(command: &str, option: &Arg<'_>) -> Vec<u8> {
    let head = format!("ERR Unknown option or number of arguments for SENTINEL {command} ");
    quoting(&head, option, "")
}

fn group_change(option: &str, values: &[Arg<'_>], scripts_denied: bool) -> Parsed<GroupChange> {
    let value = &values[0];
    let text = (!value.is_empty()).then(|| value.to_string());
    match option.to_ascii_lowercase().as_str() {
        "down-after-milliseconds" => Parsed::from(millis(value).map(GroupChange::DownAfter)),
        "failover-timeout" => Parsed::from(millis(value).map(GroupChange::FailoverTimeout)),
        "parallel-syncs" => Parsed::from(positive(value).map(GroupChange::ParallelSyncs)),
        "quorum" => Parsed::from(positive(value).map(|quorum| GroupChange::Quorum(Quorum(quorum)))),
        "auth-pass" => Parsed::Good(GroupChange::AuthPass(text.as_deref().map(Secret::new))),
        "auth-user" => Parsed::Good(GroupChange::AuthUser(text)),
        "master-reboot-down-after-period" | "primary-reboot-down-after-period" => {
            let period = value.number().and_then(|millis| u64::try_from(millis).ok());
            Parsed::from(
                period.map(|millis| GroupChange::MasterRebootDownAfter(Duration::from_millis(millis))),
            )
        }
        "notification-script" => {
            script(text, scripts_denied, NO_NOTIFICATION, GroupChange::NotificationScript)
        }
        "client-reconfig-script" => {
            script(text, scripts_denied, NO_RECONFIG, GroupChange::ClientReconfigScript)
        }
        "rename-command" => {
            let (from, to) = (values[0].to_ascii_uppercase(), values[1].to_string());
            let fits = !from.is_empty() && !to.is_empty();
            Parsed::from(fits.then_some(GroupChange::RenameCommand(from, to)))
        }
        _ => Parsed::Unknown,
    }
}

const NO_NOTIFICATION: &str = "ERR Notification script seems non existing or non executable";
const NO_RECONFIG: &str = "ERR Client reconfiguration script seems non existing or non executable";
const DENIED: &str = "ERR Reconfiguration of scripts path is denied for security reasons. Check the deny-scripts-reconfig configuration directive in your Sentinel configuration";

fn script(
    path: Option<String>,
    denied: bool,
    missing: &'static str,
    change: fn(Option<String>) -> GroupChange,
) -> Parsed<GroupChange> {
    match path {
        _ if denied => Parsed::Refused(DENIED),
        Some(path) if config::script(&path).is_err() => Parsed::Refused(missing),
        path => Parsed::Good(change(path)),
    }
}

fn millis(arg: &Arg<'_>) -> Option<Duration> {
    let millis = arg.number().and_then(|millis| u64::try_from(millis).ok());
    millis.filter(|millis| *millis > 0).map(Duration::from_millis)
}

fn positive(arg: &Arg<'_>) -> Option<u32> {
    let number = arg.number().and_then(|number| i32::try_from(number).ok());
    number.and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0)
}

const CONFIG_USAGE: &str = "ERR Only SENTINEL CONFIG GET <option> / SET <option> <value> are supported.";

pub(super) fn config(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    if args[2].eq_ignore_ascii_case("get") && args.len() >= 4 {
        return config_get(cx, &args[3..]);
    }
    if args[2].eq_ignore_ascii_case("set") && args.len() >= 5 && args.len() % 2 == 1 {
        return config_set(cx, &args[3..]);
    }
    cx.fail(CONFIG_USAGE)
}

fn config_get(cx: &mut Context<'_>, patterns: &[Arg<'_>]) -> Outcome {
    let config = cx.sentinel.config();
    let yes_no = |value: bool| if value { "yes" } else { "no" }.to_owned();
    let auth = &config.sentinel_auth;
    let level = config::level_name(cx.server.log_level.get());
    let options = [
        ("resolve-hostnames", yes_no(config.resolve_hostnames)),
        ("announce-hostnames", yes_no(config.announce_hostnames)),
        ("announce-ip", config.announce_ip.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("announce-port", config.announce_port.unwrap_or(0).to_string()),
        ("sentinel-user", auth.user.clone().unwrap_or_default()),
        ("sentinel-pass", auth.pass.as_ref().map(|pass| pass.reveal().to_owned()).unwrap_or_default()),
        ("loglevel", level.to_owned()),
    ];
    // Like newer servers, in the order of the patterns.
    let mut found: Vec<&(&str, String)> = Vec::new();
    for pattern in patterns {
        let pattern = pattern.to_ascii_lowercase();
        for option in &options {
            if glob_matches(&pattern, option.0) && !found.contains(&option) {
                found.push(option);
            }
        }
    }
    cx.out.map(found.len());
    for (name, value) in found {
        cx.out.bulk(name);
        cx.out.bulk(value);
    }
    Outcome::Answered
}

/// One option of CONFIG SET.
enum Setting {
    /// The core's.
    Core(ConfigChange),
    /// The driver's own.
    LogLevel(Level),
    /// A half of the credentials.
    User(Option<String>),
    /// The other half.
    Pass(Option<Secret>),
}

fn config_set(cx: &mut Context<'_>, pairs: &[Arg<'_>]) -> Outcome {
    let mut auth = cx.sentinel.config().sentinel_auth.clone();
    let (mut changes, mut level, mut log_in_again) = (Vec::new(), None, false);
    for pair in pairs.chunks_exact(2) {
        let (option, value) = (&pair[0], &pair[1]);
        match config_change(option, value) {
            Parsed::Good(Setting::Core(change)) => changes.push(change),
            Parsed::Good(Setting::LogLevel(wanted)) => level = Some(wanted),
            Parsed::Good(Setting::User(user)) => (auth.user, log_in_again) = (user, true),
            Parsed::Good(Setting::Pass(pass)) => (auth.pass, log_in_again) = (pass, true),
            Parsed::Refused(text) => return cx.fail(text),
            Parsed::BadValue => {
                let head = quoting("ERR Invalid value ", value, " to SENTINEL CONFIG SET ");
                return cx.fail([head, quoting("", option, "")].concat());
            }
            Parsed::Unknown => {
                return cx.fail(quoting("ERR Invalid argument ", option, " to SENTINEL CONFIG SET"));
            }
        }
    }
    let looks_up = changes.iter().rev().find_map(|change| match change {
        ConfigChange::ResolveHostnames(looks_up) => Some(*looks_up),
        _ => None,
    });
    if let (Some(false), Some(group)) = (looks_up, watched_by_name(cx.sentinel)) {
        let text = format!(
            "ERR the master '{group}' is watched by a host name: remove it first, or the next start fails"
        );
        return cx.fail(text);
    }
    if log_in_again {
        changes.push(ConfigChange::SentinelAuth(auth));
    }
    if let Some(level) = level {
        cx.server.set_log_level(level);
    }
    Outcome::Ask(Request::ConfigSet(changes))
}

/// A master whose address is a host name.
fn watched_by_name(sentinel: &Sentinel) -> Option<&GroupName> {
    let is_name = |group: &&GroupName| {
        sentinel.group(group).is_some_and(|view| matches!(view.master.addr.host, Host::Name(_)))
    };
    sentinel.group_names().find(is_name)
}

fn config_change(option: &str, value: &Arg<'_>) -> Parsed<Setting> {
    let text = (!value.is_empty()).then(|| value.to_string());
    let yes_no = |change: fn(bool) -> ConfigChange| {
        let value = match value.to_ascii_lowercase().as_str() {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        };
        Parsed::from(value.map(|value| Setting::Core(change(value))))
    };
    match option.to_ascii_lowercase().as_str() {
        "resolve-hostnames" => yes_no(ConfigChange::ResolveHostnames),
        "announce-hostnames" => yes_no(ConfigChange::AnnounceHostnames),
        "announce-ip" => match text.map(|text| Host::parse(&text)).transpose() {
            Ok(host) => Parsed::Good(Setting::Core(ConfigChange::AnnounceIp(host))),
            Err(_) => Parsed::BadValue,
        },
        "announce-port" => {
            let port = value.number().and_then(|port| u16::try_from(port).ok());
            let port = port.map(|port| Some(port).filter(|port| *port != 0));
            Parsed::from(port.map(|port| Setting::Core(ConfigChange::AnnouncePort(port))))
        }
        "sentinel-user" => Parsed::Good(Setting::User(text)),
        "sentinel-pass" => Parsed::Good(Setting::Pass(text.as_deref().map(Secret::new))),
        "loglevel" => Parsed::from(config::level(value).ok().map(Setting::LogLevel)),
        _ => Parsed::Unknown,
    }
}

/// The periods by their names.
fn periods(timing: &mut Timing) -> [(&'static str, &mut Duration); 13] {
    [
        ("info-period", &mut timing.info_period),
        ("ping-period", &mut timing.ping_period),
        ("ask-period", &mut timing.ask_period),
        ("publish-period", &mut timing.publish_period),
        ("default-down-after", &mut timing.default_down_after),
        ("default-failover-timeout", &mut timing.default_failover_timeout),
        ("tilt-trigger", &mut timing.tilt_trigger),
        ("tilt-period", &mut timing.tilt_period),
        ("slave-reconf-timeout", &mut timing.replica_reconf_timeout),
        ("min-link-reconnect-period", &mut timing.min_link_reconnect_period),
        ("election-timeout", &mut timing.election_timeout),
        ("script-max-runtime", &mut timing.script_max_runtime),
        ("script-retry-delay", &mut timing.script_retry_delay),
    ]
}

pub(super) fn debug(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let mut timing = cx.sentinel.config().timing.clone();
    let mut periods = periods(&mut timing);
    if args.len() == 2 {
        cx.out.map(periods.len());
        for (name, period) in periods {
            cx.out.bulk(name.to_ascii_uppercase());
            cx.out.bulk_number(period.as_millis());
        }
        return Outcome::Answered;
    }
    for pair in args[2..].chunks(2) {
        let period = periods.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case(&pair[0]));
        let (Some((_, period)), Some(value)) = (period, pair.get(1)) else {
            return cx.fail(unknown_option("DEBUG", &pair[0]));
        };
        let Some(wanted) = millis(value) else {
            return cx.fail(invalid_argument(value, "DEBUG", &pair[0]));
        };
        **period = wanted;
    }
    Outcome::Ask(Request::Debug(timing))
}

/// Ours: SENTINEL FORGET master ip port, or SENTINEL FORGET master id.
pub(super) fn forget(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let group = GroupName::new(&args[2]);
    match &args[3..] {
        [id] => Outcome::Ask(Request::ForgetSentinel { group, sentinel: SentinelId::new(id) }),
        [ip, port] => match Endpoint::parse(ip, port) {
            Ok(replica) => Outcome::Ask(Request::ForgetReplica { group, replica }),
            Err(consentinel_core::EndpointError::Host(_)) => cx.fail(Refusal::InvalidAddress.to_string()),
            Err(_) => cx.fail(NO_NUMBER),
        },
        _ => cx.fail("ERR wrong number of arguments for 'sentinel|forget' command"),
    }
}

pub(super) fn simulate_failure(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let (mut after_election, mut after_promotion) = (false, false);
    for arg in &args[2..] {
        match arg.to_ascii_lowercase().as_str() {
            "crash-after-election" => after_election = true,
            "crash-after-promotion" => after_promotion = true,
            "help" => {
                cx.out.array(2);
                cx.out.bulk("crash-after-election");
                cx.out.bulk("crash-after-promotion");
                return Outcome::Answered;
            }
            _ => return cx.fail("ERR Unknown failure simulation specified"),
        }
    }
    Outcome::Ask(Request::SimulateFailure {
        crash_after_election: after_election,
        crash_after_promotion: after_promotion,
    })
}
