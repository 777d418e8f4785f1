//! How a story ends: who thinks what, who follows whom, what became of the writes.

use crate::data::DataRef;
use crate::redis::Redis;
use crate::world::{Process, World};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The last lines of a transcript.
pub(super) fn describe(world: &World) -> String {
    let mut text = String::from("in the end\n");
    for (index, group) in world.groups.iter().enumerate() {
        let mut opinions: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for host in &world.sentinels {
            if !runs(&world.processes[host.node.index()]) {
                continue;
            }
            let opinion = match host.brain.group(&group.name) {
                Some(view) => {
                    let master = world.addresses.call(&view.address);
                    let replicas: Vec<String> =
                        view.replicas.iter().map(|replica| world.addresses.call(&replica.addr)).collect();
                    format!(
                        "the master of {} is {master} since epoch {}; its replicas are {}; {} sentinels watch it",
                        group.name,
                        view.config_epoch,
                        if replicas.is_empty() { "none".into() } else { replicas.join(" ") },
                        view.sentinels.len() + 1
                    )
                }
                None => format!("{} is not watched", group.name),
            };
            opinions.entry(opinion).or_default().push(world.addresses.name(host.node));
        }
        for (opinion, who) in opinions {
            let _ = writeln!(text, "  {}: {opinion}", who.join(" "));
        }
        for server in &group.redises {
            let _ = writeln!(text, "  {}", state(world, &world.redises[usize::from(*server)]));
        }
        let acked = world.clients.iter().filter(|client| usize::from(client.group) == index);
        for client in acked {
            let _ = writeln!(text, "  {}", writes(world, index, client));
        }
    }
    text
}

fn runs(process: &Process) -> bool {
    process.running() && !process.paused
}

fn state(world: &World, server: &Redis) -> String {
    let name = world.addresses.name(server.node);
    let process = &world.processes[server.node.index()];
    if !process.running() {
        return format!("{name} is down");
    }
    let stopped = if process.paused { " (stopped)" } else { "" };
    match &server.upstream {
        None => format!("{name} is a master{stopped}"),
        Some(upstream) => {
            let master = world.addresses.call(&upstream.master);
            let link = if server.is_linked() { "" } else { ", without a link" };
            format!("{name} is a replica of {master}{link}{stopped}")
        }
    }
}

/// What became of the writes that a client saw acknowledged.
fn writes(world: &World, group: usize, client: &crate::clients::Client) -> String {
    let name = world.addresses.name(client.node);
    let master = world.groups[group]
        .redises
        .iter()
        .map(|redis| &world.redises[usize::from(*redis)])
        .filter(|server| server.is_master() && world.processes[server.node.index()].running())
        .max_by_key(|server| world.writes.count(server.data));
    let held = master.map_or(DataRef::EMPTY, |server| server.data);
    let lost = client.acked_writes.iter().filter(|write| !world.writes.contains(held, **write)).count();
    format!("{name} saw {} writes acknowledged; {lost} of them are lost", client.acked_writes.len())
}
