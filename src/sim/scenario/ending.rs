//! How a story ends: who thinks what, who follows whom, what became of the writes.

use crate::data::DataRef;
use crate::redis::Redis;
use crate::world::{Process, World};
use consentinel_core::{GroupName, Role};
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
                        view.sentinels.len() + usize::from(!host.observes)
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
        if let Some(line) = published(world, &group.name) {
            let _ = writeln!(text, "  {line}");
        }
        let acked = world.clients.iter().filter(|client| usize::from(client.group) == index);
        for client in acked {
            let _ = writeln!(text, "  {}", writes(world, index, client));
        }
    }
    text
}

/// What Consul says of a group.
fn published(world: &World, group: &GroupName) -> Option<String> {
    let consul = world.consul.as_ref()?;
    let Some(shelf) = consul.state.shelves.get(group) else { return Some("consul knows nothing".into()) };
    let record = shelf.record().map_or_else(
        || "no record".into(),
        |record| format!("{} by epoch {}", world.addresses.call(&record.master), record.epoch),
    );
    let mut entries: Vec<(Role, String)> = Vec::new();
    for stored in shelf.entries.values() {
        let (entry, damaged) = (&stored.entry, if stored.spoilt { " (damaged)" } else { "" });
        let name = world.addresses.call(&entry.addr);
        entries.push((entry.role, format!("{name} {}{damaged}", entry.health.as_str())));
    }
    entries.sort();
    let list = |role| {
        let of: Vec<&str> =
            entries.iter().filter(|(of, _)| *of == role).map(|(_, text)| text.as_str()).collect();
        if of.is_empty() { "none".to_owned() } else { of.join(", ") }
    };
    let (masters, replicas) = (list(Role::Master), list(Role::Replica));
    let holder = consul.state.holder(group).map(|holder| world.sentinel_name(holder));
    let lock = holder.map_or("nobody holds the lock".into(), |holder| format!("{holder} holds the lock"));
    Some(format!("consul: {group} is {record}; master: {masters}; replicas: {replicas}; {lock}"))
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
