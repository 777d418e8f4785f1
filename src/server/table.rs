//! Which function answers which command, and what stands before it: existence, arity, login, rights.

use super::context::{Context, Outcome};
use super::{
    acl_command, change, client, command, connection, consul, help, info, sentinel, status, subscribe,
    tracking,
};
use crate::acl::Denied;
use crate::catalogue::{Command, CommandId, catalogue};
use crate::net::wire::{Arg, Args};
use crate::server::acl::Reason;
use std::sync::LazyLock;

/// What a command does.
type Run = fn(&mut Context<'_>, &Args<'_>) -> Outcome;

/// The commands by their full names. What belongs to them besides is in the catalogue.
const RUNS: &[(&str, Run)] = &[
    ("acl|cat", acl_command::cat),
    ("acl|deluser", acl_command::delete_users),
    ("acl|dryrun", acl_command::dry_run),
    ("acl|genpass", acl_command::generate_password),
    ("acl|getuser", acl_command::get_user),
    ("acl|help", help::help),
    ("acl|list", acl_command::list),
    ("acl|load", acl_command::load),
    ("acl|log", acl_command::log),
    ("acl|save", acl_command::save),
    ("acl|setuser", acl_command::set_user),
    ("acl|users", acl_command::users),
    ("acl|whoami", acl_command::who_am_i),
    ("auth", connection::auth),
    ("client|caching", tracking::caching),
    ("client|getname", client::get_name),
    ("client|getredir", tracking::get_redirection),
    ("client|help", help::help),
    ("client|id", client::id),
    ("client|info", client::info),
    ("client|kill", client::kill),
    ("client|list", client::list),
    ("client|no-evict", client::no_evict),
    ("client|pause", client::pause),
    ("client|reply", client::reply),
    ("client|setinfo", client::set_info),
    ("client|setname", client::set_name),
    ("client|tracking", tracking::tracking),
    ("client|trackinginfo", tracking::info),
    ("client|unblock", client::unblock),
    ("client|unpause", client::unpause),
    ("command", command::all),
    ("command|count", command::count),
    ("command|docs", command::docs),
    ("command|getkeys", command::get_keys),
    ("command|getkeysandflags", command::get_keys),
    ("command|help", help::help),
    ("command|info", command::info),
    ("command|list", command::list),
    ("hello", connection::hello),
    ("info", info::info),
    ("ping", connection::ping),
    ("psubscribe", subscribe::psubscribe),
    ("publish", subscribe::publish),
    ("punsubscribe", subscribe::punsubscribe),
    ("quit", connection::quit),
    ("reset", connection::reset),
    ("role", sentinel::role),
    ("sentinel|ckquorum", sentinel::check_quorum),
    ("sentinel|config", change::config),
    ("sentinel|consul", consul::consul),
    ("sentinel|debug", change::debug),
    ("sentinel|explain", status::why),
    ("sentinel|failover", change::failover),
    ("sentinel|flushconfig", change::flush_config),
    ("sentinel|forget", change::forget),
    ("sentinel|get-master-addr-by-name", sentinel::get_master_addr),
    ("sentinel|get-primary-addr-by-name", sentinel::get_master_addr),
    ("sentinel|help", help::help),
    ("sentinel|history", status::history),
    ("sentinel|info-cache", sentinel::info_cache),
    ("sentinel|is-master-down-by-addr", sentinel::is_master_down),
    ("sentinel|is-primary-down-by-addr", sentinel::is_master_down),
    ("sentinel|master", sentinel::master),
    ("sentinel|masters", sentinel::masters),
    ("sentinel|monitor", change::monitor),
    ("sentinel|myid", sentinel::myid),
    ("sentinel|pending-scripts", sentinel::pending_scripts),
    ("sentinel|primaries", sentinel::masters),
    ("sentinel|primary", sentinel::master),
    ("sentinel|remove", change::remove),
    ("sentinel|replicas", sentinel::replicas),
    ("sentinel|reset", change::reset),
    ("sentinel|sentinels", sentinel::sentinels),
    ("sentinel|set", change::set),
    ("sentinel|simulate-failure", change::simulate_failure),
    ("sentinel|slaves", sentinel::replicas),
    ("sentinel|status", status::status),
    ("shutdown", connection::shutdown),
    ("subscribe", subscribe::subscribe),
    ("unsubscribe", subscribe::unsubscribe),
];

/// The functions by the commands' numbers. A command that only has subcommands has none.
static BY_NUMBER: LazyLock<Vec<Option<Run>>> = LazyLock::new(|| {
    let run =
        |command: &Command| RUNS.iter().find(|(name, _)| *name == command.full_name).map(|(_, run)| *run);
    catalogue().all().iter().map(run).collect()
});

fn run_of(id: CommandId) -> Option<Run> {
    BY_NUMBER.get(usize::from(id.0)).copied().flatten()
}

/// Runs a command, unless it is unknown, malformed or not allowed now.
pub(super) fn run(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    if args[0].eq_ignore_ascii_case("host:") || args[0].eq_ignore_ascii_case("post") {
        tracing::warn!(
            "Possible SECURITY ATTACK detected: client {} sends POST or Host: commands, as a browser would. Connection aborted.",
            cx.id
        );
        return Outcome::Close;
    }
    let first = cx.server.command(&args[0]);
    let second = args.get(1).map(|arg| &**arg);
    let found = first.and_then(|command| catalogue().narrowed(command, second));
    cx.client().last_command = found;
    let Some(command) = found else {
        let text = unknown(first, args);
        return cx.fail(text);
    };
    let run = run_of(command.id).filter(|_| command.fits(args.len()));
    let Some(run) = run else { return cx.wrong_arity(command) };
    if let Some(refusal) = refusal(cx, command, args) {
        return cx.fail(refusal);
    }
    cx.server.stats.commands += 1;
    if !command.full_name.starts_with("client") {
        cx.client().tracking.forget_caching();
    }
    run(cx, args)
}

/// Why a command may not be used now, by this client.
fn refusal(cx: &mut Context<'_>, command: &Command, args: &Args<'_>) -> Option<String> {
    let (user, logged_in, resp3) = (cx.client().user, cx.client().authenticated, cx.client().resp3);
    if !logged_in && !command.open && !cx.server.acl.is_open() {
        return Some("NOAUTH Authentication required.".into());
    }
    let name = &command.full_name;
    let allowed = cx.server.acl.user(user).map_or(Err(Denied::Command), |user| user.check(command, args));
    match allowed {
        Ok(()) => {}
        Err(Denied::Command) => {
            cx.log_denial(Reason::Command, name.as_bytes());
            return Some(format!("NOPERM this user has no permissions to run the '{name}' command"));
        }
        Err(Denied::Channel(at)) => {
            cx.log_denial(Reason::Channel, args[at].bytes());
            return Some(
                "NOPERM this user has no permissions to access one of the channels used as arguments".into(),
            );
        }
    }
    const SUBSCRIBED: [&str; 7] =
        ["ping", "subscribe", "unsubscribe", "psubscribe", "punsubscribe", "quit", "reset"];
    let listens = !resp3 && cx.server.subscriptions.count(cx.id) > 0;
    (listens && !SUBSCRIBED.contains(&name.as_str())).then(|| {
        format!(
            "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
        )
    })
}

fn unknown(first: Option<&Command>, args: &Args<'_>) -> Vec<u8> {
    const MAX: usize = 128;
    let container = first.filter(|command| !command.subcommands.is_empty());
    if let (Some(_), [name, sub, ..]) = (container, args.as_slice()) {
        let name = name.to_ascii_uppercase();
        return [b"ERR unknown subcommand '", sub.short(), b"'. Try ", name.as_bytes(), b" HELP."].concat();
    }
    let mut shown_args: Vec<u8> = Vec::new();
    for arg in &args[1..] {
        if shown_args.len() >= MAX {
            break;
        }
        let room = MAX - shown_args.len();
        let shown = &arg.bytes()[..arg.bytes().len().min(room)];
        shown_args.extend([b"'", shown, b"' "].concat());
    }
    [b"ERR unknown command '", args[0].short(), b"', with args beginning with: ", &shown_args].concat()
}

/// `before 'word' after`, for an error that says back what the client sent.
pub(super) fn quoting(before: &str, arg: &Arg<'_>, after: &str) -> Vec<u8> {
    [before.as_bytes(), b"'", arg.bytes(), b"'", after.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_the_catalogue_does_something() {
        for command in catalogue().all() {
            let has_run = run_of(command.id).is_some();
            assert!(has_run || !command.subcommands.is_empty(), "{} does nothing", command.full_name);
        }
        for (name, _) in RUNS {
            assert!(catalogue().full_name(name).is_some(), "{name} is not in the catalogue");
        }
    }
}
