//! The commands, one row each.

use super::server::{Context, Outcome};
use super::{connection, info, sentinel, subscribe};
use crate::driver::wire::Words;

/// One command.
pub(super) struct Row {
    /// Its name, in lower case.
    pub name: &'static str,
    /// How many words it has, its name included; negative: at least as many.
    pub arity: i32,
    /// When it may be used.
    pub when: When,
    /// What it does.
    pub run: fn(&mut Context<'_>, &Words<'_>) -> Outcome,
}

/// When a command may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// After logging in, if a password is set.
    LoggedIn,
    /// The same, and also while a RESP2 connection has subscriptions.
    Subscribed,
    /// Always.
    Always,
}

use When::{Always, LoggedIn, Subscribed};

/// All commands; the frequent ones first.
pub(super) const COMMANDS: &[Row] = &[
    Row { name: "ping", arity: -1, when: Subscribed, run: connection::ping },
    Row { name: "sentinel", arity: -2, when: LoggedIn, run: sentinel::sentinel },
    Row { name: "publish", arity: 3, when: LoggedIn, run: subscribe::publish },
    Row { name: "info", arity: -1, when: LoggedIn, run: info::info },
    Row { name: "role", arity: 1, when: LoggedIn, run: sentinel::role },
    Row { name: "auth", arity: -2, when: Always, run: connection::auth },
    Row { name: "hello", arity: -1, when: Always, run: connection::hello },
    Row { name: "client", arity: -2, when: LoggedIn, run: connection::client },
    Row { name: "command", arity: -1, when: LoggedIn, run: connection::command },
    Row { name: "subscribe", arity: -2, when: Subscribed, run: subscribe::subscribe },
    Row { name: "psubscribe", arity: -2, when: Subscribed, run: subscribe::psubscribe },
    Row { name: "unsubscribe", arity: -1, when: Subscribed, run: subscribe::unsubscribe },
    Row { name: "punsubscribe", arity: -1, when: Subscribed, run: subscribe::punsubscribe },
    Row { name: "shutdown", arity: -1, when: LoggedIn, run: connection::shutdown },
    Row { name: "quit", arity: -1, when: Always, run: connection::quit },
    Row { name: "reset", arity: 1, when: Always, run: connection::reset },
];

/// Runs a command, unless it is unknown, malformed or not allowed now.
pub(super) fn run(cx: &mut Context<'_>, words: &Words<'_>) -> Outcome {
    cx.server.stats.commands += 1;
    let Some(row) = COMMANDS.iter().find(|row| row.name.eq_ignore_ascii_case(&words[0])) else {
        let text = unknown(words);
        return cx.fail(&text);
    };
    if !fits(row.arity, words.len()) {
        return cx.fail(&format!("ERR wrong number of arguments for '{}' command", row.name));
    }
    let client = cx.client();
    client.last_command = row.name;
    if !client.authenticated && row.when != Always {
        return cx.fail("NOAUTH Authentication required.");
    }
    if row.when == LoggedIn && !client.resp3 && cx.server.subscriptions.count(cx.id) > 0 {
        return cx.fail(&format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            row.name
        ));
    }
    (row.run)(cx, words)
}

/// Runs a subcommand: the second word, out of a table whose arity counts both words.
pub(super) fn run_sub(cx: &mut Context<'_>, command: &str, rows: &[Row], words: &Words<'_>) -> Outcome {
    let Some(row) = rows.iter().find(|row| row.name.eq_ignore_ascii_case(&words[1])) else {
        let (word, upper) = (short(&words[1]), command.to_uppercase());
        return cx.fail(&format!("ERR unknown subcommand '{word}'. Try {upper} HELP."));
    };
    if !fits(row.arity, words.len()) {
        return cx.fail(&format!("ERR wrong number of arguments for '{command}|{}' command", row.name));
    }
    (row.run)(cx, words)
}

fn fits(arity: i32, words: usize) -> bool {
    let least = arity.unsigned_abs() as usize;
    if arity < 0 { words >= least } else { words == least }
}

fn unknown(words: &Words<'_>) -> String {
    const MAX: usize = 128;
    let mut args = String::new();
    for word in &words[1..] {
        if args.len() >= MAX {
            break;
        }
        let room = MAX - args.len();
        args.push_str(&format!("'{}' ", word.chars().take(room).collect::<String>()));
    }
    format!("ERR unknown command '{}', with args beginning with: {args}", short(&words[0]))
}

/// A word of a client as far as it belongs into an error.
pub(super) fn short(word: &str) -> String {
    word.chars().take(128).collect()
}
