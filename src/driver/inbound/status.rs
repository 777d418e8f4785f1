//! SENTINEL STATUS: the picture of this daemon, as JSON.

use super::context::{Context, Outcome};
use crate::driver::picture::{Picture, draw, draw_some};
use crate::driver::wire::Words;
use consentinel_core::GroupName;
use serde::Serialize;

/// SENTINEL STATUS [`<master>` ...]
pub(super) fn status(cx: &mut Context<'_>, words: &Words<'_>) -> Outcome {
    let names: Vec<GroupName> = words[2..].iter().map(|word| GroupName::new(word)).collect();
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

fn json(cx: &mut Context<'_>, value: &impl Serialize) -> Outcome {
    match serde_json::to_vec(value) {
        Ok(text) => cx.out.bulk(text),
        Err(error) => return cx.fail(format!("ERR this cannot be shown as JSON: {error}")),
    }
    Outcome::Answered
}
