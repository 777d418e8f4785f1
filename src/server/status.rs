//! SENTINEL STATUS, HISTORY and EXPLAIN: the picture of this daemon, what it remembers, and why it does what it does.

use super::context::{Context, Outcome};
use crate::net::wire::Args;
use crate::status::{Picture, draw, draw_some, explain};
use consentinel_core::GroupName;
use serde::Serialize;

/// SENTINEL STATUS [`<master>` ...]
pub(super) fn status(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let names: Vec<GroupName> = args[2..].iter().map(|arg| GroupName::new(arg)).collect();
    if names.iter().any(|name| cx.sentinel.master_of(name.as_str()).is_none()) {
        return cx.fail(super::sentinel::NO_SUCH_MASTER);
    }
    let scene = cx.server.scene();
    let picture: Picture = match names.as_slice() {
        [] => draw(cx.sentinel, scene),
        names => draw_some(cx.sentinel, scene, names),
    };
    json(cx, &picture)
}

/// SENTINEL HISTORY [`<master>`]
pub(super) fn history(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let master = args.get(2).map(|arg| &**arg);
    if args.len() > 3 {
        return cx.wrong_subcommand(args);
    }
    if master.is_some_and(|name| cx.sentinel.master_of(name).is_none()) {
        return cx.fail(super::sentinel::NO_SUCH_MASTER);
    }
    let failovers = cx.server.history.failovers(master);
    json(cx, &failovers)
}

/// SENTINEL EXPLAIN `<master>` [JSON]
pub(super) fn why(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let as_json = match args.get(3) {
        Some(arg) if arg.eq_ignore_ascii_case("json") && args.len() == 4 => true,
        None => false,
        Some(_) => return cx.fail(super::connection::SYNTAX),
    };
    let Some(told) = cx.sentinel.explain(&GroupName::new(&args[2])) else {
        return cx.fail(super::sentinel::NO_SUCH_MASTER);
    };
    let explanation = explain(&told);
    if as_json {
        return json(cx, &explanation);
    }
    cx.out.array(explanation.lines.len());
    explanation.lines.iter().for_each(|line| cx.out.bulk(line));
    Outcome::Answered
}

fn json(cx: &mut Context<'_>, value: &impl Serialize) -> Outcome {
    match serde_json::to_vec(value) {
        Ok(text) => cx.out.bulk(text),
        Err(error) => return cx.fail(format!("ERR this cannot be shown as JSON: {error}")),
    }
    Outcome::Answered
}
