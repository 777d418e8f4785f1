//! Masters, replicas and sentinels as SENTINEL MASTERS, REPLICAS and SENTINELS tell of them: the original's fields,
//! in the original's order.

use crate::net::wire::Writer;
use consentinel_core::{Endpoint, GroupView, LinkView, NodeView, PeerView, ReconfPhase, Time};
use std::fmt::Display;

/// Fields and their values.
pub(super) struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn put(&mut self, field: &'static str, value: impl Display) {
        self.0.push((field, value.to_string()));
    }

    fn put_some(&mut self, field: &'static str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.put(field, value);
        }
    }

    fn put_age(&mut self, field: &'static str, since: Time, now: Time) {
        self.put(field, (now - since).as_millis());
    }

    /// Writes them as one map.
    pub(super) fn write(&self, out: &mut Writer<'_>) {
        out.map(self.0.len());
        for (field, value) in &self.0 {
            out.bulk(field);
            out.bulk(value);
        }
    }
}

/// What all descriptions need besides the thing described.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    /// When it is described.
    pub now: Time,
    /// Whether names, not addresses, are shown.
    pub names: bool,
}

/// A master.
pub(super) fn master(group: &GroupView, shown: Shown) -> Fields {
    let node = group.told_master();
    let mut fields = Fields(Vec::with_capacity(32));
    fields.put("name", &group.name);
    fields.put("ip", node.shown_host(shown.names));
    fields.put("port", node.addr.port);
    fields.put("runid", node.run_id.as_ref().map_or("", |id| id.as_str()));
    fields.put("flags", master_flags(group));
    link(&mut fields, &node.link, 1, shown.now, |fields| {
        if group.is_failing_over() {
            fields.put("failover-state", group.failover.as_str());
        }
    });
    if let Some(since) = group.odown {
        fields.put_age("o-down-time", since, shown.now);
    }
    let config = &group.config;
    fields.put("down-after-milliseconds", config.down_after.as_millis());
    server(&mut fields, node, shown.now);
    fields.put("config-epoch", group.announced_epoch);
    fields.put("num-slaves", group.replicas.len());
    fields.put("num-other-sentinels", group.sentinels.len());
    fields.put("quorum", config.quorum);
    fields.put("failover-timeout", config.failover_timeout.as_millis());
    fields.put("parallel-syncs", config.parallel_syncs);
    fields.put_some("notification-script", config.notification_script.as_ref());
    fields.put_some("client-reconfig-script", config.client_reconfig_script.as_ref());
    fields
}

/// A replica.
pub(super) fn replica(node: &NodeView, group: &GroupView, shown: Shown) -> Fields {
    let mut fields = Fields(Vec::with_capacity(32));
    let host = node.shown_host(shown.names);
    fields.put("name", Endpoint::new(host.clone(), node.addr.port).joined());
    fields.put("ip", &host);
    fields.put("port", node.addr.port);
    fields.put("runid", node.run_id.as_ref().map_or("", |id| id.as_str()));
    fields.put("flags", replica_flags(node));
    link(&mut fields, &node.link, 1, shown.now, |_| {});
    fields.put("down-after-milliseconds", group.config.down_after.as_millis());
    server(&mut fields, node, shown.now);
    let info = node.info.as_ref().map(|(_, info)| &**info);
    let master = info.and_then(|info| info.master.as_ref());
    fields.put("master-link-down-time", info.map_or(0, |info| info.master_link_down.as_millis()));
    fields.put("master-link-status", if info.is_some_and(|info| info.master_link_up) { "ok" } else { "err" });
    fields.put("master-host", master.map_or("?".into(), |master| master.host.to_string()));
    fields.put("master-port", master.map_or(0, |master| master.port));
    fields.put("slave-priority", info.map_or(100, |info| info.priority));
    fields.put("slave-repl-offset", node.offset());
    fields.put("replica-announced", u8::from(info.is_none_or(|info| info.announced)));
    fields
}

/// Another sentinel.
pub(super) fn sentinel(peer: &PeerView, group: &GroupView, shown: Shown) -> Fields {
    let mut fields = Fields(Vec::with_capacity(20));
    fields.put("name", &peer.id);
    fields.put("ip", &peer.addr.host);
    fields.put("port", peer.addr.port);
    fields.put("runid", &peer.id);
    let flags = [
        (peer.link.sdown.is_some(), "s_down"),
        (true, "sentinel"),
        (peer.link.missing, "disconnected"),
        (peer.says_down, "master_down"),
    ];
    fields.put("flags", joined_flags(&flags));
    link(&mut fields, &peer.link, peer.link_shared_by, shown.now, |_| {});
    fields.put("down-after-milliseconds", group.config.down_after.as_millis());
    fields.put_age("last-hello-message", peer.last_hello, shown.now);
    fields.put("voted-leader", peer.voted_leader.as_ref().map_or("?", |id| id.as_str()));
    fields.put("voted-leader-epoch", peer.voted_leader_epoch);
    fields
}

fn link(
    fields: &mut Fields,
    link: &LinkView,
    shared_by: usize,
    now: Time,
    between: impl FnOnce(&mut Fields),
) {
    fields.put("link-pending-commands", link.pending);
    fields.put("link-refcount", shared_by);
    between(fields);
    // Without a connection the original counts a ping as sent and not answered.
    let unanswered = link.ping_pending.or((!link.up).then_some(link.last_ok));
    fields.put("last-ping-sent", unanswered.map_or(0, |since| (now - since).as_millis()));
    fields.put_age("last-ok-ping-reply", link.last_ok, now);
    fields.put_age("last-ping-reply", link.last_reply, now);
    if let Some(since) = link.sdown {
        fields.put_age("s-down-time", since, now);
    }
}

fn server(fields: &mut Fields, node: &NodeView, now: Time) {
    fields.put("info-refresh", node.info.as_ref().map_or(0, |(at, _)| (now - *at).as_millis()));
    fields.put("role-reported", node.role.wire_word());
    fields.put_age("role-reported-time", node.role_since, now);
}

fn master_flags(group: &GroupView) -> String {
    let node = group.told_master();
    joined_flags(&[
        (node.link.sdown.is_some(), "s_down"),
        (group.odown.is_some(), "o_down"),
        (true, "master"),
        (is_missing(node), "disconnected"),
        (group.is_failing_over(), "failover_in_progress"),
        (group.is_failing_over() && group.ordered, "force_failover"),
    ])
}

fn replica_flags(node: &NodeView) -> String {
    joined_flags(&[
        (node.link.sdown.is_some(), "s_down"),
        (true, "slave"),
        (is_missing(node), "disconnected"),
        (node.promoted, "promoted"),
        (node.reconf == ReconfPhase::Sent, "reconf_sent"),
        (node.reconf == ReconfPhase::InProgress, "reconf_inprog"),
        (node.reconf == ReconfPhase::Done, "reconf_done"),
    ])
}

/// The original counts a server as connected when both connections stand. A connection that comes back at the first
/// attempt was never missing: clients wait for a second or a minute when they read that it was.
fn is_missing(node: &NodeView) -> bool {
    node.link.missing || node.pubsub_missing
}

fn joined_flags(flags: &[(bool, &str)]) -> String {
    flags.iter().filter(|(set, _)| *set).map(|(_, flag)| *flag).collect::<Vec<_>>().join(",")
}

/// A master's state in one word, as INFO has it.
pub(super) fn status(group: &GroupView) -> &'static str {
    match (group.odown, group.told_master().link.sdown) {
        (Some(_), _) => "odown",
        (None, Some(_)) => "sdown",
        (None, None) => "ok",
    }
}

/// What INFO says of a master.
pub(super) fn info_line(index: usize, group: &GroupView) -> String {
    let Endpoint { host, port } = &group.address;
    format!(
        "master{index}:name={},status={},address={host}:{port},slaves={},sentinels={}\r\n",
        group.name,
        status(group),
        group.replicas.len(),
        group.sentinels.len() + 1,
    )
}
