//! SENTINEL ...: the queries. What changes something is in `change.rs`.

use super::context::{Context, Outcome};
use super::describe::{self, Shown};
use crate::clock;
use crate::net::wire::Args;
use consentinel_core::{Endpoint, Epoch, GroupName, GroupView, NodeView, Request, SentinelId};

pub(super) const NO_SUCH_MASTER: &str = "ERR No such master with that name";
pub(super) const NO_NUMBER: &str = "ERR value is not an integer or out of range";

pub(super) fn get_master_addr(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    match cx.sentinel.master_of(&args[2]) {
        Some(Endpoint { host, port }) => {
            cx.out.array(2);
            cx.out.bulk_host(&host);
            cx.out.bulk_number(port);
        }
        None => cx.out.null_array(),
    }
    Outcome::Answered
}

pub(super) fn is_master_down(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let (Some(port), Some(epoch)) = (args[3].number(), args[4].number()) else {
        return cx.fail(NO_NUMBER);
    };
    // The core gives no vote in an epoch that no honest history has reached, and a negative one becomes such.
    let epoch = u64::try_from(epoch).unwrap_or(u64::MAX);
    // `*`, or what is no identity: a vote for it would be written to disk, into the log and into every answer.
    let candidate = SentinelId::parse(&args[5]);
    match Endpoint::parse(&args[2], &port.to_string()) {
        Ok(master) => Outcome::Ask(Request::IsMasterDown { master, epoch: Epoch(epoch), candidate }),
        Err(_) => {
            // Nobody watches what cannot exist.
            cx.out.array(3);
            cx.out.integer(0);
            cx.out.bulk("*");
            cx.out.integer(0);
            Outcome::Answered
        }
    }
}

fn shown(cx: &Context<'_>) -> Shown {
    Shown { now: clock::now(), names: cx.sentinel.config().announce_hostnames }
}

pub(super) fn masters(cx: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    let (groups, shown) = (cx.sentinel.view().groups, shown(cx));
    cx.out.array(groups.len());
    groups.iter().for_each(|group| describe::master(group, shown).write(&mut cx.out));
    Outcome::Answered
}

fn with_group(cx: &mut Context<'_>, name: &str, show: impl FnOnce(&mut Context<'_>, GroupView)) -> Outcome {
    match cx.sentinel.group(&GroupName::new(name)) {
        Some(group) => {
            show(cx, group);
            Outcome::Answered
        }
        None => cx.fail(NO_SUCH_MASTER),
    }
}

pub(super) fn master(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    with_group(cx, &args[2], |cx, group| describe::master(&group, shown(cx)).write(&mut cx.out))
}

pub(super) fn replicas(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    with_group(cx, &args[2], |cx, group| {
        let shown = shown(cx);
        // Whoever asks not to be announced is watched like any other, and named to nobody.
        let is_announced = |node: &&NodeView| node.info.as_ref().is_none_or(|(_, info)| info.announced);
        let replicas = || group.told_replicas().filter(is_announced);
        cx.out.array(replicas().count());
        replicas().for_each(|node| describe::replica(node, &group, shown).write(&mut cx.out));
    })
}

pub(super) fn sentinels(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    with_group(cx, &args[2], |cx, group| {
        let shown = shown(cx);
        cx.out.array(group.sentinels.len());
        group.sentinels.iter().for_each(|peer| describe::sentinel(peer, &group, shown).write(&mut cx.out));
    })
}

pub(super) fn myid(cx: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    cx.out.bulk(cx.sentinel.myid().as_str());
    Outcome::Answered
}

pub(super) fn check_quorum(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let Some(group) = cx.sentinel.group(&GroupName::new(&args[2])) else { return cx.fail(NO_SUCH_MASTER) };
    let check = group.check_quorum();
    let mut lacking = Vec::new();
    if !check.quorum_reachable {
        lacking.push("Not enough available Sentinels to reach the specified quorum for this master");
    }
    if !check.majority_reachable {
        lacking.push("Not enough available Sentinels to reach the majority and authorize a failover");
    }
    let usable = check.usable;
    if lacking.is_empty() {
        cx.out.simple(&format!(
            "OK {usable} usable Sentinels. Quorum and failover authorization can be reached"
        ));
        return Outcome::Answered;
    }
    cx.fail(format!("NOQUORUM {usable} usable Sentinels. {}", lacking.join(". ")))
}

pub(super) fn pending_scripts(cx: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    let (scripts, now) = (cx.sentinel.view().scripts, clock::now());
    cx.out.array(scripts.len());
    for script in scripts {
        cx.out.map(5);
        cx.out.bulk("argv");
        cx.out.array(script.argv.len());
        script.argv.iter().for_each(|arg| cx.out.bulk(arg));
        let (flags, field, span) = match script.running_since {
            Some(since) => ("running", "run-time", now - since),
            None => ("scheduled", "run-delay", script.due - now),
        };
        cx.out.bulk("flags");
        cx.out.bulk(flags);
        cx.out.bulk("pid");
        cx.out.bulk_number(script.pid.unwrap_or(0));
        cx.out.bulk(field);
        cx.out.bulk_number(span.as_millis());
        cx.out.bulk("retry-num");
        cx.out.bulk_number(script.retries);
    }
    Outcome::Answered
}

/// What servers said of themselves the last time, as they said it.
pub(super) fn info_cache(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let wanted = |group: &GroupView| args[2..].iter().any(|name| **name == *group.name.as_str());
    let (groups, now) = (cx.sentinel.view().groups, clock::now());
    let groups: Vec<_> = groups.iter().filter(|group| wanted(group)).collect();
    cx.out.array(groups.len() * 2);
    for group in groups {
        cx.out.bulk(group.name.as_str());
        cx.out.array(group.replicas.len() + 1);
        for node in std::iter::once(&group.master).chain(&group.replicas) {
            cx.out.array(2);
            let age = node.info.as_ref().map_or(0, |(at, _)| (now - *at).as_millis());
            cx.out.integer(i64::try_from(age).unwrap_or(i64::MAX));
            match &node.info {
                Some((_, info)) => cx.out.bulk(info.text.to_string()),
                None => cx.out.null(),
            }
        }
    }
    Outcome::Answered
}

pub(super) fn role(cx: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    let names = cx.sentinel.group_names();
    cx.out.array(2);
    cx.out.bulk("sentinel");
    cx.out.array(names.len());
    names.for_each(|name| cx.out.bulk(name.as_str()));
    Outcome::Answered
}
