//! SENTINEL CONSUL, and what INFO says of Consul: what should be published, what is, and why it is not.

use super::context::{Context, Outcome};
use crate::clock;
use crate::net::wire::{Args, Writer};
use crate::registrar::Names;
use consentinel_core::{Entry, GroupName, GroupView, PublicationCounters, PublicationView, RegistryFault};
use std::fmt::Write;
use std::sync::Arc;

/// SENTINEL CONSUL `<master>`
pub(super) fn consul(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let Some(group) = cx.sentinel.group(&GroupName::new(&args[2])) else {
        return cx.fail(super::sentinel::NO_SUCH_MASTER);
    };
    let Some(publication) = &group.publication else {
        return cx.fail("ERR Nothing is published: this sentinel was not told of a Consul");
    };
    let mut fields = fields(publication);
    if let Some(names) = names(cx, &group.name) {
        fields.push(("service", names.service.clone()));
        fields.push(("node", names.node.clone()));
    }
    let published = publication.seen.as_ref().map(|seen| seen.entries.as_slice()).unwrap_or_default();
    let damaged = publication.seen.as_ref().map(|seen| seen.damaged.as_slice()).unwrap_or_default();
    let strangers = cx.server.consul.as_ref().map(|gauge| gauge.strangers(&group.name)).unwrap_or_default();
    cx.out.map(fields.len() + 4);
    for (field, value) in &fields {
        cx.out.bulk(field);
        cx.out.bulk(value);
    }
    cx.out.bulk("desired");
    entries(&publication.desired, &mut cx.out);
    cx.out.bulk("published");
    entries(published, &mut cx.out);
    cx.out.bulk("damaged");
    cx.out.array(damaged.len());
    damaged.iter().for_each(|name| cx.out.bulk(name));
    cx.out.bulk("foreign");
    cx.out.array(strangers.len());
    strangers.iter().for_each(|stranger| cx.out.bulk(stranger.to_string()));
    Outcome::Answered
}

/// What things are called, unless the group cannot be published under its name at all.
fn names(cx: &Context<'_>, group: &GroupName) -> Option<Arc<Names>> {
    cx.server.consul.as_ref()?.names(group)
}

fn fields(publication: &PublicationView) -> Vec<(&'static str, String)> {
    let seen = publication.seen.as_ref();
    let record = seen.and_then(|seen| seen.record.as_ref());
    let text = |text: Option<String>| text.unwrap_or_default();
    let age = publication.seen_at.map(|at| (clock::now() - at).as_millis().to_string());
    let mut fields = vec![
        ("state", publication.state.as_str().to_owned()),
        ("fault", text(publication.error.as_ref().map(|error| error.kind.as_str().to_owned()))),
        ("error", text(publication.error.as_ref().map(ToString::to_string))),
        ("tries", publication.tries.to_string()),
        ("seen-ago", text(age)),
        ("fence", text(seen.map(|seen| seen.fence.to_string()))),
        ("record-epoch", text(record.map(|record| record.epoch.to_string()))),
        ("record-master", text(record.map(|record| record.master.joined()))),
        ("record-run-id", text(record.map(|record| record.run_id.to_string()))),
        ("record-publisher", text(record.map(|record| record.publisher.to_string()))),
        ("lock", text(seen.map(|seen| seen.lock.as_str().to_owned()))),
    ];
    fields.extend(counters(&publication.counters));
    fields
}

fn counters(counters: &PublicationCounters) -> Vec<(&'static str, String)> {
    vec![
        ("claims", counters.claims.to_string()),
        ("amendments", counters.amendments.to_string()),
        ("repairs", counters.repairs.to_string()),
        ("stale", counters.stale.to_string()),
        ("failures", counters.failures.iter().sum::<u64>().to_string()),
    ]
}

fn entries(entries: &[Entry], out: &mut Writer<'_>) {
    out.array(entries.len());
    for entry in entries {
        let run_id = entry.run_id.as_ref().map_or("", |id| id.as_str());
        let fields = [
            ("role", entry.role.name()),
            ("address", &entry.addr.joined()),
            ("run-id", run_id),
            ("epoch", &entry.epoch.to_string()),
            ("health", entry.health.as_str()),
            ("sentence", &entry.sentence),
        ];
        out.map(fields.len());
        for (field, value) in fields {
            out.bulk(field);
            out.bulk(value);
        }
    }
}

/// The section of INFO.
pub(super) fn info(cx: &Context<'_>, text: &mut String) -> std::fmt::Result {
    let groups = cx.sentinel.view().groups;
    let Some(gauge) = &cx.server.consul else { return write!(text, "consul_enabled:0\r\n") };
    let counted = gauge.counters();
    write!(text, "consul_enabled:1\r\n")?;
    write!(text, "consul_address:{}\r\n", gauge.settings.address)?;
    write!(text, "consul_state:{}\r\n", counted.trouble.map_or("ok", |trouble| trouble.kind.as_str()))?;
    write!(text, "consul_requests:{}\r\n", counted.requests)?;
    write!(text, "consul_last_latency_usec:{}\r\n", counted.latency.as_micros())?;
    write!(text, "consul_net_input_bytes:{}\r\n", counted.received)?;
    write!(text, "consul_net_output_bytes:{}\r\n", counted.sent)?;
    write!(text, "consul_watched_masters:{}\r\n", counted.watched)?;
    let published = |group: &GroupView| group.publication.clone().map(|view| (group.name.clone(), view));
    let all: Vec<(GroupName, PublicationView)> = groups.iter().filter_map(published).collect();
    for (kind, count) in RegistryFault::ALL.iter().zip(counted.failures) {
        write!(text, "consul_failures_{}:{count}\r\n", kind.as_str())?;
    }
    for (index, (name, view)) in all.iter().enumerate() {
        let seen = view.seen.as_ref();
        let record = seen.and_then(|seen| seen.record.as_ref());
        write!(
            text,
            "consul_master{index}:name={name},state={},fault={},epoch={},lock={},claims={},amendments={},repairs={},stale={}\r\n",
            view.state.as_str(),
            view.error.as_ref().map_or("none", |error| error.kind.as_str()),
            record.map_or(0, |record| record.epoch.0),
            seen.map_or("unseen", |seen| seen.lock.as_str()),
            view.counters.claims,
            view.counters.amendments,
            view.counters.repairs,
            view.counters.stale,
        )?;
    }
    Ok(())
}
