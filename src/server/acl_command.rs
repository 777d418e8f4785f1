//! ACL: who may log in and what they may do. The users are in `server/acl`, their rules in `src/acl`; here are the answers, and what
//! becomes of clients whose user changes.

use super::context::{Context, Outcome};
use super::sentinel::NO_NUMBER;
use super::table::quoting;
use crate::acl::{self, Denied, Selector, User, has_space};
use crate::catalogue::{CATEGORIES, Categories, catalogue};
use crate::clock;
use crate::net::wire::{Arg, Args, Writer};
use crate::server::pubsub::Kind;
use consentinel_core::ClientId;

pub(super) fn who_am_i(cx: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    let user = cx.client().user;
    let name = cx.server.acl.name(user).to_vec();
    cx.out.bulk(name);
    Outcome::Answered
}

pub(super) fn users(cx: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    cx.out.array(cx.server.acl.all().len());
    for (name, _) in cx.server.acl.all() {
        cx.out.bulk(name);
    }
    Outcome::Answered
}

pub(super) fn list(cx: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    cx.out.array(cx.server.acl.all().len());
    for (name, user) in cx.server.acl.all() {
        cx.out.bulk([b"user ", name.as_slice(), b" ", &user.describe()].concat());
    }
    Outcome::Answered
}

pub(super) fn get_user(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let acl = &cx.server.acl;
    let Some(user) = acl.find(args[2].bytes()).and_then(|id| acl.user(id)) else {
        cx.out.null();
        return Outcome::Answered;
    };
    let out = &mut cx.out;
    out.map(6 + usize::from(user.root().describe_databases().is_some()));
    out.bulk("flags");
    let flags = user.flags();
    out.set(flags.len());
    flags.into_iter().for_each(|flag| out.bulk(flag));
    out.bulk("passwords");
    out.array(user.passwords().len());
    user.passwords().iter().for_each(|hash| out.bulk(hash.to_string()));
    selector(user.root(), out);
    out.bulk("selectors");
    out.array(user.selectors().len());
    for other in user.selectors() {
        out.map(3 + usize::from(other.describe_databases().is_some()));
        selector(other, out);
    }
    Outcome::Answered
}

fn selector(selector: &Selector, out: &mut Writer<'_>) {
    out.bulk("commands");
    out.bulk(selector.describe_commands());
    out.bulk("keys");
    out.bulk(selector.describe_keys());
    out.bulk("channels");
    out.bulk(selector.describe_channels());
    if let Some(databases) = selector.describe_databases() {
        out.bulk("databases");
        out.bulk(databases);
    }
}

pub(super) fn set_user(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let name = args[2].bytes();
    if has_space(name) {
        return cx.fail("ERR Usernames can't contain spaces or null characters");
    }
    let rules: Vec<_> = args[3..].iter().map(Arg::bytes).collect();
    let id = match cx.server.acl.set_user(name, &rules) {
        Ok(id) => id,
        Err(text) => return cx.fail([b"ERR ", &text[..]].concat()),
    };
    let closed = match cx.server.acl.user(id) {
        Some(user) => {
            let theirs = cx.server.clients.iter().filter(|(_, client)| client.user == id);
            theirs.map(|(id, _)| *id).filter(|client| !keeps_subscriptions(cx, user, *client)).collect()
        }
        None => Vec::new(),
    };
    cx.server.users_changed();
    cx.out.ok();
    cx.close_all(&closed)
}

fn keeps_subscriptions(cx: &Context<'_>, user: &User, client: ClientId) -> bool {
    [(Kind::Channel, false), (Kind::Pattern, true)].into_iter().all(|(kind, literally)| {
        let names = cx.server.subscriptions.names(client, kind);
        names.iter().all(|name| user.keeps_subscription(name, literally))
    })
}

pub(super) fn delete_users(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    if args[2..].iter().any(|name| &**name == "default") {
        return cx.fail("ERR The 'default' user cannot be removed");
    }
    let deleted = args[2..].iter().filter(|name| cx.server.acl.delete(name.bytes()).is_some()).count();
    if deleted > 0 {
        cx.server.users_changed();
    }
    cx.out.integer(deleted as i64);
    close_orphans(cx)
}

/// Closes the connections of users who are no more.
fn close_orphans(cx: &mut Context<'_>) -> Outcome {
    let acl = &cx.server.acl;
    let orphans = cx.server.clients.iter().filter(|(_, client)| acl.user(client.user).is_none());
    let orphans: Vec<_> = orphans.map(|(id, _)| *id).collect();
    cx.close_all(&orphans)
}

const NO_FILE: &str = "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.";

pub(super) fn load(cx: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    if !cx.server.acl.has_file() {
        return cx.fail(NO_FILE);
    }
    match cx.server.acl.load() {
        Ok(()) => {
            cx.out.ok();
            close_orphans(cx)
        }
        Err(text) => cx.fail(format!("ERR {text}")),
    }
}

pub(super) fn save(cx: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    if !cx.server.acl.has_file() {
        return cx.fail(NO_FILE);
    }
    match cx.server.acl.save() {
        Ok(()) => {
            cx.out.ok();
            Outcome::Answered
        }
        Err(error) => {
            tracing::warn!("the users cannot be saved: {error}");
            cx.fail(
                "ERR There was an error trying to save the ACLs. Please check the server logs for more information",
            )
        }
    }
}

pub(super) fn cat(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let names: Vec<&str> = match &args[2..] {
        [] => CATEGORIES.to_vec(),
        [name] => {
            let Some(category) = Categories::named(name) else {
                return cx.fail([b"ERR Unknown category '", name.short(), b"'"].concat());
            };
            let all = catalogue().all().iter().filter(|command| command.categories.meets(category));
            all.map(|command| command.full_name.as_str()).collect()
        }
        _ => return cx.wrong_subcommand(args),
    };
    cx.out.array(names.len());
    names.into_iter().for_each(|name| cx.out.bulk(name));
    Outcome::Answered
}

pub(super) fn generate_password(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    const MAX_BITS: i64 = 4096;
    let bits = match &args[2..] {
        [] => 256,
        [bits] => match bits.number() {
            Some(bits @ 1..=MAX_BITS) => bits as usize,
            Some(_) => {
                return cx.fail(format!(
                    "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to {MAX_BITS}"
                ));
            }
            None => return cx.fail(NO_NUMBER),
        },
        _ => return cx.wrong_subcommand(args),
    };
    match acl::generate(bits.div_ceil(4)) {
        Some(password) => {
            cx.out.bulk(password);
            Outcome::Answered
        }
        None => cx.fail("ERR the system gives no random numbers"),
    }
}

pub(super) fn log(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    const DEFAULT_COUNT: usize = 10;
    let count = match &args[2..] {
        [] => DEFAULT_COUNT,
        [arg] if arg.eq_ignore_ascii_case("reset") => {
            cx.server.acl.log.clear();
            cx.out.ok();
            return Outcome::Answered;
        }
        [count] => match count.number() {
            Some(count) => usize::try_from(count).unwrap_or(0),
            None => return cx.fail(NO_NUMBER),
        },
        _ => return cx.wrong_subcommand(args),
    };
    let (entries, now) = (cx.server.acl.log.entries(), clock::now());
    cx.out.array(count.min(entries.len()));
    for entry in entries.take(count) {
        cx.out.map(7);
        cx.out.bulk("count");
        cx.out.integer(i64::try_from(entry.count).unwrap_or(i64::MAX));
        for (field, value) in [
            ("reason", entry.reason.as_str().as_bytes()),
            ("context", b"toplevel"),
            ("object", &entry.object),
            ("username", &entry.user),
        ] {
            cx.out.bulk(field);
            cx.out.bulk(value);
        }
        cx.out.bulk("age-seconds");
        cx.out.double((now - entry.at).as_millis() as f64 / 1000.0);
        cx.out.bulk("client-info");
        cx.out.bulk(&entry.client);
    }
    Outcome::Answered
}

pub(super) fn dry_run(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let acl = &cx.server.acl;
    let Some(user) = acl.find(args[2].bytes()).and_then(|id| acl.user(id)) else {
        return cx.fail(quoting("ERR User ", &args[2], " not found"));
    };
    let dry = &args[3..];
    let first = cx.server.command(&dry[0]);
    let second = dry.get(1).map(|arg| &**arg);
    let Some(command) = first.and_then(|command| catalogue().narrowed(command, second)) else {
        return cx.fail(quoting("ERR Command ", &args[3], " not found"));
    };
    let name = &command.full_name;
    if !command.fits(dry.len()) {
        return cx.fail(format!("ERR wrong number of arguments for '{name}' command"));
    }
    match user.check(command, dry) {
        Ok(()) => cx.out.ok(),
        Err(Denied::Command) => {
            cx.out.bulk(format!("This user has no permissions to run the '{name}' command"));
        }
        Err(Denied::Channel(at)) => {
            let text = quoting("This user has no permissions to access the ", &dry[at], " channel");
            cx.out.bulk(text);
        }
    }
    Outcome::Answered
}
