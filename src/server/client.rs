//! CLIENT: one's own connection and those of others.

use super::End;
use super::connected::Replies;
use super::connection::SYNTAX;
use super::context::{Context, Outcome};
use super::sentinel::NO_NUMBER;
use super::service::Server;
use super::table::quoting;
use crate::clock;
use crate::net::wire::{Arg, Args};
use crate::server::acl::UserId;
use crate::server::pubsub::Kind;
use consentinel_core::ClientId;
use std::fmt::Write;

pub(super) const BAD_NAME: &str = "ERR Client names cannot contain spaces, newlines or special characters.";

/// Longer names are refused: whoever has one of these sends something else by mistake.
const MAX_NAME: usize = 64 << 10;

pub(super) fn is_client_name(name: &Arg<'_>) -> bool {
    name.len() <= MAX_NAME && name.bytes().iter().all(u8::is_ascii_graphic)
}

pub(super) fn set_name(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    if !is_client_name(&args[2]) {
        return cx.fail(BAD_NAME);
    }
    cx.client().name = args[2].to_string();
    cx.out.ok();
    Outcome::Answered
}

pub(super) fn get_name(cx: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    let name = cx.client().name.clone();
    if name.is_empty() {
        cx.out.null();
    } else {
        cx.out.bulk(name);
    }
    Outcome::Answered
}

pub(super) fn id(cx: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    cx.out.integer(i64::try_from(cx.id.0).unwrap_or(i64::MAX));
    Outcome::Answered
}

/// So much of a library's name and version is kept.
const MAX_LIBRARY: usize = 256;

/// Newer clients introduce their library this way. It is shown where it was said.
pub(super) fn set_info(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let known = ["lib-name", "lib-ver"].iter().any(|known| known.eq_ignore_ascii_case(&args[2]));
    if !known {
        return cx.fail(quoting("ERR Unrecognized option ", &args[2], ""));
    }
    if !is_client_name(&args[3]) {
        let name = args[2].to_ascii_lowercase();
        return cx.fail(format!("ERR {name} cannot contain spaces, newlines or special characters."));
    }
    // Nobody's library has a longer name, and each connection keeps it.
    let value: String = args[3].to_string().chars().take(MAX_LIBRARY).collect();
    let (name, version) = &mut cx.client().library;
    match args[2].eq_ignore_ascii_case("lib-name") {
        true => *name = value,
        false => *version = value,
    }
    cx.out.ok();
    Outcome::Answered
}

/// ON or OFF.
fn switch(arg: &Arg<'_>) -> Option<bool> {
    match arg.to_ascii_lowercase().as_str() {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

/// Nobody is evicted here; it is kept and shown.
pub(super) fn no_evict(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let Some(on) = switch(&args[2]) else { return cx.fail(SYNTAX) };
    cx.client().no_evict = on;
    cx.out.ok();
    Outcome::Answered
}

pub(super) fn reply(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let client = cx.client();
    match args[2].to_ascii_lowercase().as_str() {
        "on" => {
            client.replies = Replies::On;
            cx.out.ok();
        }
        "off" => client.replies = Replies::Off,
        "skip" if client.replies == Replies::Off => {}
        "skip" => client.replies = Replies::SkipNext,
        _ => return cx.fail(SYNTAX),
    }
    Outcome::Answered
}

/// Nobody waits for data here.
pub(super) fn unblock(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    match args.as_slice() {
        [_, _, _] => {}
        [_, _, _, how] if ["timeout", "error"].iter().any(|known| how.eq_ignore_ascii_case(known)) => {}
        [_, _, _, _] => return cx.fail("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
        _ => return cx.wrong_subcommand(args),
    }
    if args[2].number().is_none() {
        return cx.fail(NO_NUMBER);
    }
    cx.out.integer(0);
    Outcome::Answered
}

/// The clients of a sentinel are others like it, and those that look for their master: they are not kept waiting.
pub(super) fn pause(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    match args.as_slice() {
        [_, _, _] => {}
        [_, _, _, how] if ["write", "all"].iter().any(|known| how.eq_ignore_ascii_case(known)) => {}
        [_, _, _, _] => return cx.fail("ERR CLIENT PAUSE mode must be WRITE or ALL"),
        _ => return cx.wrong_subcommand(args),
    }
    match args[2].number() {
        None => cx.fail("ERR timeout is not an integer or out of range"),
        Some(..0) => cx.fail("ERR timeout is negative"),
        Some(_) => {
            cx.out.ok();
            Outcome::Answered
        }
    }
}

pub(super) fn unpause(cx: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    cx.out.ok();
    Outcome::Answered
}

/// What a client is, by its subscriptions. There are no connections of masters and replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Normal,
    PubSub,
    /// `master`, `replica`: nobody.
    Replication,
}

impl Type {
    fn parse(arg: &Arg<'_>) -> Option<Type> {
        match arg.to_ascii_lowercase().as_str() {
            "normal" => Some(Type::Normal),
            "pubsub" => Some(Type::PubSub),
            "slave" | "replica" | "master" => Some(Type::Replication),
            _ => None,
        }
    }

    fn of(server: &Server, id: ClientId) -> Type {
        if server.subscriptions.count(id) > 0 { Type::PubSub } else { Type::Normal }
    }
}

fn client_id(arg: &Arg<'_>) -> Option<ClientId> {
    arg.number().map(|id| ClientId(u64::try_from(id).unwrap_or(u64::MAX)))
}

fn all_ids(server: &Server) -> Vec<ClientId> {
    let mut ids: Vec<ClientId> = server.clients.keys().copied().collect();
    ids.sort_unstable();
    ids
}

pub(super) fn list(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let ids = match &args[2..] {
        [] => all_ids(cx.server),
        [option, wanted] if option.eq_ignore_ascii_case("type") => {
            let Some(wanted) = Type::parse(wanted) else {
                return cx.fail(quoting("ERR Unknown client type ", wanted, ""));
            };
            let fits = |id: &ClientId| Type::of(cx.server, *id) == wanted;
            all_ids(cx.server).into_iter().filter(fits).collect()
        }
        [option, wanted @ ..] if option.eq_ignore_ascii_case("id") && !wanted.is_empty() => {
            let ids: Option<Vec<_>> = wanted.iter().map(client_id).collect();
            let Some(ids) = ids else { return cx.fail("ERR Invalid client ID") };
            ids
        }
        _ => return cx.fail(SYNTAX),
    };
    let text: String = ids.into_iter().filter_map(|id| describe(cx.server, id)).collect();
    cx.out.verbatim(text);
    Outcome::Answered
}

pub(super) fn info(cx: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    let text = describe(cx.server, cx.id).unwrap_or_default();
    cx.out.verbatim(text);
    Outcome::Answered
}

/// A client in one line. Buffers are shared by those that are busy, so nobody's own has room to spare.
pub(super) fn describe(server: &Server, id: ClientId) -> Option<String> {
    let client = server.clients.get(&id)?;
    let now = clock::now();
    let subscriptions = &server.subscriptions;
    let (sub, psub) = (subscriptions.count_of(id, Kind::Channel), subscriptions.count_of(id, Kind::Pattern));
    let mut flags = String::new();
    flags.extend((sub + psub > 0).then_some('P'));
    flags.push_str(client.tracking.flags());
    flags.extend(matches!(client.peer, End::Unix(_)).then_some('U'));
    flags.extend(client.no_evict.then_some('e'));
    if flags.is_empty() {
        flags.push('N');
    }
    let held = client.held();
    let mut line = format!(
        "id={id} addr={} laddr={} fd={} name={}",
        client.peer, client.local, held.descriptor, client.name
    );
    write!(
        line,
        " age={} idle={} flags={flags} db=0 sub={sub} psub={psub} ssub=0 multi=-1 qbuf={} qbuf-free=0 argv-mem=0 multi-mem=0 \
         rbs=0 rbp=0 obl={} oll={} omem={} tot-mem={} events=r cmd={} user={} redir={} resp={}",
        (now - client.since).as_secs(),
        (now - client.last).as_secs(),
        held.input,
        held.output,
        u8::from(held.events > 0),
        held.events,
        held.memory(),
        client.last_command.map_or("NULL", |command| &command.full_name),
        String::from_utf8_lossy(server.acl.name(client.user)),
        client.tracking.redirection(),
        if client.resp3 { 3 } else { 2 },
    )
    .expect("writing to a string cannot fail");
    // Redis 7.0 has no such fields: they are there for clients that have said them.
    let (name, version) = &client.library;
    if !name.is_empty() || !version.is_empty() {
        write!(line, " lib-name={name} lib-ver={version}").expect("writing to a string cannot fail");
    }
    line.push('\n');
    Some(line)
}

/// Whom CLIENT KILL means.
#[derive(Default)]
struct Filter {
    id: Option<ClientId>,
    kind: Option<Type>,
    addr: Option<Vec<u8>>,
    laddr: Option<Vec<u8>>,
    user: Option<UserId>,
    myself: bool,
}

impl Filter {
    /// From the options; the error is what to answer.
    fn parse(server: &Server, mut options: &[Arg<'_>]) -> Result<Filter, Vec<u8>> {
        let mut filter = Filter::default();
        while let [option, value, rest @ ..] = options {
            options = rest;
            match option.to_ascii_lowercase().as_str() {
                "id" => match value.number() {
                    Some(id @ 1..) => filter.id = u64::try_from(id).ok().map(ClientId),
                    _ => return Err(b"ERR client-id should be greater than 0".to_vec()),
                },
                "type" => {
                    let kind = Type::parse(value);
                    filter.kind = Some(kind.ok_or_else(|| quoting("ERR Unknown client type ", value, ""))?);
                }
                "addr" => filter.addr = Some(value.bytes().to_vec()),
                "laddr" => filter.laddr = Some(value.bytes().to_vec()),
                "user" => {
                    let user = server.acl.find(value.bytes());
                    filter.user = Some(user.ok_or_else(|| quoting("ERR No such user ", value, ""))?);
                }
                "skipme" if value.eq_ignore_ascii_case("yes") => filter.myself = false,
                "skipme" if value.eq_ignore_ascii_case("no") => filter.myself = true,
                _ => return Err(SYNTAX.into()),
            }
        }
        if options.is_empty() { Ok(filter) } else { Err(SYNTAX.into()) }
    }

    fn fits(&self, server: &Server, id: ClientId, me: ClientId) -> bool {
        let Some(client) = server.clients.get(&id) else { return false };
        (self.myself || id != me)
            && self.id.is_none_or(|wanted| wanted == id)
            && self.kind.is_none_or(|wanted| wanted == Type::of(server, id))
            && self.addr.as_ref().is_none_or(|wanted| client.peer.to_string().as_bytes() == wanted)
            && self.laddr.as_ref().is_none_or(|wanted| client.local.to_string().as_bytes() == wanted)
            && self.user.is_none_or(|wanted| wanted == client.user)
    }
}

pub(super) fn kill(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let old_form = args.len() == 3;
    let filter = match &args[2..] {
        [addr] => Ok(Filter { addr: Some(addr.bytes().to_vec()), myself: true, ..Filter::default() }),
        options => Filter::parse(cx.server, options),
    };
    let filter = match filter {
        Ok(filter) => filter,
        Err(text) => return cx.fail(text),
    };
    let mut killed = all_ids(cx.server);
    killed.retain(|id| filter.fits(cx.server, *id, cx.id));
    if old_form && killed.is_empty() {
        return cx.fail("ERR No such client");
    }
    if old_form {
        cx.out.ok();
    } else {
        cx.out.integer(killed.len() as i64);
    }
    cx.close_all(&killed)
}
