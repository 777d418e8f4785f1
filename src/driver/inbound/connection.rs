//! Commands about the connection itself.

use super::server::{Context, Outcome};
use super::table::{COMMANDS, Row, When, run_sub};
use crate::driver::clock;
use crate::driver::pubsub::Kind;
use crate::driver::wire::Words;
use consentinel_core::ClientId;
use std::fmt::Write;

/// The version of the original whose behaviour clients may expect.
pub(super) const COMPATIBLE_WITH: &str = "7.0.15";

pub(super) fn ping(cx: &mut Context<'_>, words: &Words<'_>) -> Outcome {
    if words.len() > 2 {
        return cx.fail("ERR wrong number of arguments for 'ping' command");
    }
    let subscribed = !cx.client().resp3 && cx.server.subscriptions.count(cx.id) > 0;
    match (subscribed, words.get(1)) {
        (true, text) => {
            cx.out.array(2);
            cx.out.bulk("pong");
            cx.out.bulk(text.map_or("", |text| text));
        }
        (false, Some(text)) => cx.out.bulk(text),
        (false, None) => cx.out.simple("PONG"),
    }
    Outcome::Answered
}

pub(super) fn auth(cx: &mut Context<'_>, words: &Words<'_>) -> Outcome {
    let (user, password) = match words.as_slice() {
        [_, password] => {
            if cx.server.settings.requirepass.is_none() {
                return cx.fail(
                    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
                );
            }
            ("default", password)
        }
        [_, user, password] => (&**user, password),
        _ => return cx.fail("ERR syntax error"),
    };
    if !log_in(cx, user, password) {
        return cx.fail(WRONGPASS);
    }
    cx.out.ok();
    Outcome::Answered
}

const WRONGPASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";

fn log_in(cx: &mut Context<'_>, user: &str, password: &str) -> bool {
    let right = match &cx.server.settings.requirepass {
        // Without a password the default user takes any.
        None => true,
        Some(secret) => same(secret.reveal().as_bytes(), password.as_bytes()),
    };
    let fits = user == "default" && right;
    cx.client().authenticated |= fits;
    fits
}

/// Compares in a time that does not tell how much is right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

pub(super) fn hello(cx: &mut Context<'_>, words: &Words<'_>) -> Outcome {
    let mut resp3 = cx.client().resp3;
    let mut options = words.iter().skip(1);
    if let Some(version) = options.next() {
        resp3 = match version.parse::<i64>() {
            Ok(2) => false,
            Ok(3) => true,
            Ok(_) => return cx.fail("NOPROTO unsupported protocol version"),
            Err(_) => return cx.fail("ERR Protocol version is not an integer or out of range"),
        };
    }
    let mut login = None;
    let mut name = None;
    while let Some(option) = options.next() {
        if option.eq_ignore_ascii_case("auth") && options.len() >= 2 {
            login = options.next().zip(options.next());
        } else if option.eq_ignore_ascii_case("setname") && options.len() >= 1 {
            name = options.next();
        } else {
            return cx.fail(&format!("ERR Syntax error in HELLO option '{option}'"));
        }
    }
    if let Some((user, password)) = login
        && !log_in(cx, user, password)
    {
        return cx.fail(WRONGPASS);
    }
    if !cx.client().authenticated {
        return cx.fail(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        );
    }
    if let Some(name) = name {
        if !is_client_name(name) {
            return cx.fail(BAD_NAME);
        }
        cx.client().name = name.to_string();
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

const BAD_NAME: &str = "ERR Client names cannot contain spaces, newlines or special characters.";

fn is_client_name(name: &str) -> bool {
    name.len() <= 256 && name.bytes().all(|c| c.is_ascii_graphic())
}

const CLIENT: &[Row] = &[
    Row { name: "setname", arity: 3, when: When::LoggedIn, run: set_name },
    Row { name: "getname", arity: 2, when: When::LoggedIn, run: get_name },
    Row { name: "id", arity: 2, when: When::LoggedIn, run: id },
    Row { name: "list", arity: -2, when: When::LoggedIn, run: list },
    Row { name: "info", arity: 2, when: When::LoggedIn, run: client_info },
    Row { name: "setinfo", arity: 4, when: When::LoggedIn, run: set_info },
];

pub(super) fn client(cx: &mut Context<'_>, words: &Words<'_>) -> Outcome {
    run_sub(cx, "client", CLIENT, words)
}

fn set_name(cx: &mut Context<'_>, words: &Words<'_>) -> Outcome {
    if !is_client_name(&words[2]) {
        return cx.fail(BAD_NAME);
    }
    cx.client().name = words[2].to_string();
    cx.out.ok();
    Outcome::Answered
}

fn get_name(cx: &mut Context<'_>, _: &Words<'_>) -> Outcome {
    let name = cx.client().name.clone();
    if name.is_empty() {
        cx.out.null();
    } else {
        cx.out.bulk(&name);
    }
    Outcome::Answered
}

fn id(cx: &mut Context<'_>, _: &Words<'_>) -> Outcome {
    cx.out.integer(i64::try_from(cx.id.0).unwrap_or(i64::MAX));
    Outcome::Answered
}

/// Newer clients introduce their library this way. It is checked and not kept.
fn set_info(cx: &mut Context<'_>, words: &Words<'_>) -> Outcome {
    let known = ["lib-name", "lib-ver"].iter().any(|known| known.eq_ignore_ascii_case(&words[2]));
    if !known {
        return cx.fail(&format!("ERR Unrecognized option '{}'", super::table::short(&words[2])));
    }
    cx.out.ok();
    Outcome::Answered
}

fn list(cx: &mut Context<'_>, words: &Words<'_>) -> Outcome {
    if words.len() > 2 {
        return cx.fail("ERR syntax error");
    }
    let mut ids: Vec<ClientId> = cx.server.clients.keys().copied().collect();
    ids.sort_unstable();
    let text: String = ids.into_iter().map(|id| describe(cx, id)).collect();
    cx.out.verbatim(&text);
    Outcome::Answered
}

fn client_info(cx: &mut Context<'_>, _: &Words<'_>) -> Outcome {
    let text = describe(cx, cx.id);
    cx.out.verbatim(&text);
    Outcome::Answered
}

fn describe(cx: &Context<'_>, id: ClientId) -> String {
    let Some(client) = cx.server.clients.get(&id) else { return String::new() };
    let now = clock::now();
    let subscriptions = &cx.server.subscriptions;
    let (sub, psub) = (subscriptions.count_of(id, Kind::Channel), subscriptions.count_of(id, Kind::Pattern));
    let mut line = format!("id={id} addr={} laddr={} name={}", client.peer, client.local, client.name);
    writeln!(
        line,
        " age={} idle={} flags={} db=0 sub={sub} psub={psub} ssub=0 multi=-1 cmd={} user=default redir=-1 resp={}",
        (now - client.since).as_secs(),
        (now - client.last).as_secs(),
        if sub + psub > 0 { 'P' } else { 'N' },
        client.last_command,
        if client.resp3 { 3 } else { 2 },
    )
    .expect("writing to a string cannot fail");
    line
}

pub(super) fn command(cx: &mut Context<'_>, words: &Words<'_>) -> Outcome {
    match words.get(1) {
        Some(word) if word.eq_ignore_ascii_case("count") && words.len() == 2 => {
            cx.out.integer(COMMANDS.len() as i64)
        }
        Some(word) if word.eq_ignore_ascii_case("list") && words.len() == 2 => {
            cx.out.array(COMMANDS.len());
            COMMANDS.iter().for_each(|row| cx.out.bulk(row.name));
        }
        Some(word) if word.eq_ignore_ascii_case("docs") => cx.out.map(0),
        _ => cx.out.array(0),
    }
    Outcome::Answered
}

pub(super) fn shutdown(cx: &mut Context<'_>, words: &Words<'_>) -> Outcome {
    let known = |word: &&str| ["save", "nosave", "now", "force"].contains(word);
    let options: Vec<String> = words[1..].iter().map(|word| word.to_ascii_lowercase()).collect();
    if !options.iter().map(String::as_str).all(|word| known(&word)) {
        return cx.fail("ERR syntax error");
    }
    Outcome::Shutdown
}

pub(super) fn quit(cx: &mut Context<'_>, _: &Words<'_>) -> Outcome {
    cx.out.ok();
    Outcome::Close
}

pub(super) fn reset(cx: &mut Context<'_>, _: &Words<'_>) -> Outcome {
    let open = cx.server.settings.requirepass.is_none();
    cx.server.subscriptions.forget(cx.id);
    let client = cx.client();
    client.authenticated = open;
    client.resp3 = false;
    client.name.clear();
    cx.out.set_resp3(false);
    cx.out.simple("RESET");
    Outcome::Answered
}
