//! Commands about the connection itself: who is at the other end, and how it ends.

use super::client::{BAD_NAME, is_client_name};
use super::connected::Replies;
use super::context::{Context, Outcome};
use super::table::quoting;
use super::tracking::Tracking;
use crate::acl::DEFAULT_NAME;
use crate::config::COMPATIBLE_WITH;
use crate::net::wire::{Arg, Args};
use crate::server::acl::{DEFAULT, Reason};

pub(super) const SYNTAX: &str = "ERR syntax error";

pub(super) fn ping(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    if args.len() > 2 {
        return cx.fail("ERR wrong number of arguments for 'ping' command");
    }
    let subscribed = !cx.client().resp3 && cx.server.subscriptions.count(cx.id) > 0;
    match (subscribed, args.get(1)) {
        (true, text) => {
            cx.out.array(2);
            cx.out.bulk("pong");
            cx.out.bulk(text.map(Arg::bytes).unwrap_or_default());
        }
        (false, Some(text)) => cx.out.bulk(text),
        (false, None) => cx.out.simple("PONG"),
    }
    Outcome::Answered
}

pub(super) fn auth(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let (user, password) = match args.as_slice() {
        [_, password] => {
            if cx.server.acl.default_needs_no_password() {
                return cx.fail(
                    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
                );
            }
            (DEFAULT_NAME, password)
        }
        [_, user, password] => (user.bytes(), password),
        _ => return cx.fail(SYNTAX),
    };
    if !log_in(cx, user, password, &args[0]) {
        return cx.fail(WRONGPASS);
    }
    cx.out.ok();
    Outcome::Answered
}

const WRONGPASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";

fn log_in(cx: &mut Context<'_>, name: &[u8], password: &Arg<'_>, command: &Arg<'_>) -> bool {
    match cx.server.acl.log_in(name, password.bytes()) {
        Some(user) => {
            let client = cx.client();
            (client.user, client.authenticated) = (user, true);
            true
        }
        None => {
            cx.log_denial_of(Reason::Auth, command.bytes(), name);
            cx.server.note_guess(cx.id);
            false
        }
    }
}

/// Like the original, every option has its effect as soon as it is read, and the protocol changes last.
pub(super) fn hello(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let mut resp3 = cx.client().resp3;
    let mut options = args.iter().skip(1);
    if let Some(version) = options.next() {
        resp3 = match version.number() {
            Some(2) => false,
            Some(3) => true,
            Some(_) => return cx.fail("NOPROTO unsupported protocol version"),
            None => return cx.fail("ERR Protocol version is not an integer or out of range"),
        };
    }
    while let Some(option) = options.next() {
        if option.eq_ignore_ascii_case("auth") && options.len() >= 2 {
            let (Some(user), Some(password)) = (options.next(), options.next()) else { break };
            if !log_in(cx, user.bytes(), password, &args[0]) {
                return cx.fail(WRONGPASS);
            }
        } else if option.eq_ignore_ascii_case("setname") && options.len() >= 1 {
            let Some(name) = options.next() else { break };
            if !is_client_name(name) {
                return cx.fail(BAD_NAME);
            }
            cx.client().name = name.to_string();
        } else {
            return cx.fail(quoting("ERR Syntax error in HELLO option ", option, ""));
        }
    }
    if !cx.client().authenticated {
        return cx.fail(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        );
    }
    cx.client().resp3 = resp3;
    cx.out.set_resp3(resp3);
    let id = i64::try_from(cx.id.0).unwrap_or(i64::MAX);
    cx.out.map(6);
    for (field, value) in [("server", "redis"), ("version", COMPATIBLE_WITH)] {
        cx.out.bulk(field);
        cx.out.bulk(value);
    }
    cx.out.bulk("proto");
    cx.out.integer(if resp3 { 3 } else { 2 });
    cx.out.bulk("id");
    cx.out.integer(id);
    cx.out.bulk("mode");
    cx.out.bulk("sentinel");
    cx.out.bulk("modules");
    cx.out.array(0);
    Outcome::Answered
}

pub(super) fn shutdown(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let (mut save, mut nosave, mut other, mut abort) = (false, false, false, false);
    for arg in &args[1..] {
        match arg.to_ascii_lowercase().as_str() {
            "save" => save = true,
            "nosave" => nosave = true,
            "now" | "force" => other = true,
            "abort" => abort = true,
            _ => return cx.fail(SYNTAX),
        }
    }
    if (abort && (save || nosave || other)) || (save && nosave) {
        return cx.fail(SYNTAX);
    }
    // It takes no time here that somebody could think better of it.
    if abort { cx.fail("ERR No shutdown in progress.") } else { Outcome::Shutdown }
}

pub(super) fn quit(cx: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    cx.out.ok();
    Outcome::Close
}

pub(super) fn reset(cx: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    let open = cx.server.acl.is_open();
    cx.server.subscriptions.forget(cx.id);
    let client = cx.client();
    (client.user, client.authenticated) = (DEFAULT, open);
    client.resp3 = false;
    client.name.clear();
    client.no_evict = false;
    client.replies = Replies::On;
    client.tracking = Tracking::default();
    cx.out.set_resp3(false);
    cx.out.simple("RESET");
    Outcome::Answered
}
