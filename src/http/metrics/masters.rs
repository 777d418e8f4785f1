//! The metrics of the watched masters, with their servers, sentinels and failovers.

use super::text::{Text, Value};
use crate::status::{FailoverCounts, Health, Master, Sentinel, Server, ServerRole};

/// All masters: one family after the other, as the format wants it.
pub(super) fn write(text: &mut Text, masters: &[Master], failovers: &[(String, FailoverCounts)]) {
    for (name, help, value) in OF_MASTER {
        let mut family = text.gauge(name, help);
        for master in masters {
            family.put(&[("master", &master.name)], value(master));
        }
    }
    let mut info =
        text.gauge("consentinel_master_info", "Which server clients are told, in the label address.");
    for master in masters {
        info.put(&[("master", &master.name), ("address", &master.address)], true);
    }
    write_servers(text, masters);
    write_sentinels(text, masters);
    let watched = |name: &str| masters.iter().any(|master| master.name == name);
    let failovers: Vec<_> = failovers.iter().filter(|(name, _)| watched(name)).collect();
    write_failovers(text, masters, &failovers);
}

type OfMaster = (&'static str, &'static str, fn(&Master) -> Value);

const OF_MASTER: &[OfMaster] = &[
    ("consentinel_master_up", "Whether this sentinel takes the master for alive.", |master| {
        (master.server.role.is_some() && master.server.sdown_ms.is_none()).into()
    }),
    ("consentinel_master_sdown", "Whether this sentinel takes the master for down.", |master| {
        master.server.sdown_ms.is_some().into()
    }),
    ("consentinel_master_odown", "Whether a quorum takes the master for down.", |master| {
        master.odown_ms.is_some().into()
    }),
    ("consentinel_master_config_epoch", "The epoch of the failover that made it master.", |master| {
        master.epoch.into()
    }),
    (
        "consentinel_master_failover_in_progress",
        "Whether this sentinel leads a failover, or wants to.",
        |master| master.failover.is_some().into(),
    ),
    ("consentinel_master_quorum", "Sentinels that must agree that it is down.", |master| {
        master.quorum.into()
    }),
    ("consentinel_master_quorum_reachable", "Whether so many answer.", |master| {
        master.quorum_reachable.into()
    }),
    ("consentinel_master_majority_reachable", "Whether enough answer to elect a leader.", |master| {
        master.majority_reachable.into()
    }),
    ("consentinel_master_sentinels", "Sentinels that are known, this one included.", |master| {
        master.all_sentinels.into()
    }),
    ("consentinel_master_sentinels_usable", "Those of them that answer.", |master| {
        master.usable_sentinels.into()
    }),
    ("consentinel_master_replicas", "Replicas that are known.", |master| master.replicas.len().into()),
    ("consentinel_master_replicas_healthy", "Those of them that are well.", |master| {
        master.replicas.iter().filter(|replica| replica.health == Health::Passing).count().into()
    }),
    ("consentinel_master_named", "Whether DNS names a master at the moment.", |master| {
        master.answer.master.is_some().into()
    }),
];

fn servers(master: &Master) -> impl Iterator<Item = (bool, &Server)> {
    std::iter::once((true, &master.server)).chain(master.replicas.iter().map(|replica| (false, replica)))
}

fn write_servers(text: &mut Text, masters: &[Master]) {
    let mut roles = text.gauge("consentinel_server_role", "What each server says it is, in the label role.");
    for master in masters {
        for (_, server) in servers(master) {
            let role = server.role.map_or("unknown", ServerRole::as_str);
            roles.put(&[("master", &master.name), ("server", &server.address), ("role", role)], true);
        }
    }
    type OfServer = (&'static str, &'static str, fn(&Server) -> Value);
    let all: [OfServer; 4] = [
        ("consentinel_server_up", "Whether this sentinel takes the server for alive.", |server| {
            (server.role.is_some() && server.sdown_ms.is_none()).into()
        }),
        ("consentinel_server_linked", "Whether the link to it stands.", |server| server.linked.into()),
        ("consentinel_server_last_ok_seconds", "How long ago it last said that it is alive.", |server| {
            (server.last_ok_ms as f64 / 1000.0).into()
        }),
        ("consentinel_server_loading", "Whether it is reading its data.", |server| server.loading.into()),
    ];
    for (name, help, value) in all {
        let mut family = text.gauge(name, help);
        for master in masters {
            for (is_master, server) in servers(master) {
                let kind = if is_master { "master" } else { "replica" };
                let labels =
                    [("master", master.name.as_str()), ("server", &server.address), ("watched_as", kind)];
                family.put(&labels, value(server));
            }
        }
    }
    let mut lag =
        text.gauge("consentinel_replica_lag_bytes", "How far it is behind, by the master's own word.");
    for master in masters {
        for replica in &master.replicas {
            if let Some(bytes) = replica.lag_bytes {
                lag.put(&[("master", &master.name), ("server", &replica.address)], bytes);
            }
        }
    }
    let mut linked =
        text.gauge("consentinel_replica_master_link_up", "Whether its link to its master stands.");
    for master in masters {
        for replica in &master.replicas {
            linked.put(&[("master", &master.name), ("server", &replica.address)], replica.master_link_up);
        }
    }
}

fn write_sentinels(text: &mut Text, masters: &[Master]) {
    type OfSentinel = (&'static str, &'static str, fn(&Sentinel) -> Value);
    let all: [OfSentinel; 3] = [
        ("consentinel_peer_up", "Whether this sentinel takes the other for alive.", |peer| {
            peer.sdown_ms.is_none().into()
        }),
        ("consentinel_peer_linked", "Whether the link to it stands.", |peer| peer.linked.into()),
        ("consentinel_peer_last_hello_seconds", "How long ago it last said hello for this master.", |peer| {
            (peer.last_hello_ms as f64 / 1000.0).into()
        }),
    ];
    for (name, help, value) in all {
        let mut family = text.gauge(name, help);
        for master in masters {
            for peer in &master.sentinels {
                family.put(&[("master", &master.name), ("sentinel", &peer.address)], value(peer));
            }
        }
    }
}

fn write_failovers(text: &mut Text, masters: &[Master], failovers: &[&(String, FailoverCounts)]) {
    let mut results = text.counter(
        "consentinel_failovers_total",
        "Failovers that named a new master, attempts that came to nothing, masters that came back by themselves.",
    );
    for master in masters {
        let counts = failovers.iter().find(|(name, _)| *name == master.name);
        for (at, result) in RESULTS.iter().enumerate() {
            let count = counts.map_or(0, |(_, counts)| counts.results[at]);
            results.put(&[("master", &master.name), ("result", result)], count);
        }
    }
    let mut phases = text.histogram(
        "consentinel_failover_phase_duration_seconds",
        "How long each phase of the failovers took that named a new master.",
    );
    for (name, counts) in failovers {
        for (phase, counts) in &counts.phases {
            phases.put_counts(&[("master", name), ("phase", phase)], counts);
        }
    }
}

/// In the order in which they are counted.
const RESULTS: [&str; 3] = FailoverCounts::RESULTS;
