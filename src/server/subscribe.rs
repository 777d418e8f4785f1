//! Commands about events: listening to them, and taking hellos in.

use super::context::{Context, Outcome};
use crate::net::wire::Args;
use crate::server::pubsub::Kind;
use consentinel_core::{HELLO_CHANNEL, Hello};

pub(super) fn subscribe(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    add(cx, Kind::Channel, "subscribe", args)
}

pub(super) fn psubscribe(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    add(cx, Kind::Pattern, "psubscribe", args)
}

pub(super) fn unsubscribe(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    remove(cx, Kind::Channel, "unsubscribe", args)
}

pub(super) fn punsubscribe(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    remove(cx, Kind::Pattern, "punsubscribe", args)
}

fn add(cx: &mut Context<'_>, kind: Kind, verb: &str, args: &Args<'_>) -> Outcome {
    for name in &args[1..] {
        match cx.server.subscriptions.add(cx.id, kind, name.bytes()) {
            Some(count) => confirm(cx, verb, Some(name.bytes()), count),
            None => return cx.fail("ERR too many subscriptions for one connection"),
        }
    }
    Outcome::Pushed
}

fn remove(cx: &mut Context<'_>, kind: Kind, verb: &str, args: &Args<'_>) -> Outcome {
    let names: Vec<Vec<u8>> = match &args[1..] {
        [] => cx.server.subscriptions.names(cx.id, kind),
        named => named.iter().map(|name| name.bytes().to_vec()).collect(),
    };
    if names.is_empty() {
        let count = cx.server.subscriptions.count(cx.id);
        confirm(cx, verb, None, count);
    }
    for name in names {
        let count = cx.server.subscriptions.remove(cx.id, kind, &name);
        confirm(cx, verb, Some(&name), count);
    }
    Outcome::Pushed
}

fn confirm(cx: &mut Context<'_>, verb: &str, name: Option<&[u8]>, count: usize) {
    cx.out.push(3);
    cx.out.bulk(verb);
    match name {
        Some(name) => cx.out.bulk(name),
        None => cx.out.null(),
    }
    cx.out.integer(count as i64);
}

/// A peer says hello without the way over a server.
pub(super) fn publish(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    if &*args[1] != HELLO_CHANNEL {
        return cx.fail("ERR Only HELLO messages are accepted by Sentinel instances.");
    }
    cx.out.integer(1);
    match Hello::parse(&args[2]) {
        Ok(hello) => Outcome::Tell(hello),
        Err(error) => {
            tracing::debug!("a hello is dropped: {error}");
            Outcome::Answered
        }
    }
}
