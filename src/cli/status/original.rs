//! What a real redis-sentinel tells, put into the form of our own picture. It tells less: what it does not, stays empty.

use super::gather::{Kind, Seen};
use crate::cli::ask::{Answer, Connection};
use crate::status::{Health, Master, Phase, Picture, Sentinel, Server, ServerRole, StateKind, span_words};
use std::collections::BTreeMap;
use std::time::Duration;

/// The fields of one thing.
struct Fields(BTreeMap<String, String>);

impl Fields {
    fn read(answer: &Answer) -> Option<Fields> {
        let pairs = answer.pairs()?.into_iter();
        pairs.map(|(name, value)| Some((name, value.text()?))).collect::<Option<_>>().map(Fields)
    }

    fn text(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_default()
    }

    fn some(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|text| !text.is_empty() && *text != "?").cloned()
    }

    fn number(&self, name: &str) -> u64 {
        self.0.get(name).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    fn small(&self, name: &str) -> u32 {
        u32::try_from(self.number(name)).unwrap_or(u32::MAX)
    }

    fn has(&self, flag: &str) -> bool {
        self.text("flags").split(',').any(|other| other == flag)
    }

    fn place(&self, host: &str, port: &str) -> String {
        let host = self.text(host);
        let port = self.text(port);
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    fn down(&self, flag: &str, since: &str) -> Option<u64> {
        self.has(flag).then(|| self.number(since))
    }
}

/// Asks it for everything.
pub(super) async fn look(connection: &mut Connection, masters: &[String]) -> Result<Seen, String> {
    let info = connection.ask(&["INFO", "server"]).await?.text().unwrap_or_default();
    let field = |name: &str| info.lines().find_map(|text| text.strip_prefix(name)?.strip_prefix(':'));
    let version = field("valkey_version").or(field("redis_version")).unwrap_or_default().trim().to_owned();
    let uptime = field("uptime_in_seconds").and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0);
    let myid = connection.ask(&["SENTINEL", "MYID"]).await?.text().unwrap_or_default();
    let mut picture = Picture {
        version,
        myid,
        pid: field("process_id").and_then(|text| text.trim().parse().ok()).unwrap_or(0),
        uptime_ms: uptime * 1000,
        ..Picture::default()
    };
    for answer in list(connection, &["SENTINEL", "MASTERS"]).await? {
        let Some(fields) = Fields::read(&answer) else { continue };
        let name = fields.text("name");
        if !masters.is_empty() && !masters.contains(&name) {
            continue;
        }
        let replicas = list(connection, &["SENTINEL", "REPLICAS", &name]).await?;
        let sentinels = list(connection, &["SENTINEL", "SENTINELS", &name]).await?;
        let master = master(&fields, &replicas, &sentinels);
        picture.current_epoch = picture.current_epoch.max(master.epoch);
        picture.masters.push(master);
    }
    Ok(Seen { kind: Kind::RedisSentinel, picture })
}

async fn list(connection: &mut Connection, words: &[&str]) -> Result<Vec<Answer>, String> {
    match connection.ask(words).await? {
        Answer::List(items) => Ok(items),
        Answer::Refused(text) => Err(text),
        _ => Err("what answers is no sentinel".to_owned()),
    }
}

fn master(fields: &Fields, replicas: &[Answer], sentinels: &[Answer]) -> Master {
    let address = fields.place("ip", "port");
    let sentinels: Vec<Sentinel> =
        sentinels.iter().filter_map(Fields::read).map(|other| sentinel(&other)).collect();
    let quorum = fields.small("quorum");
    let all = sentinels.len() as u32 + 1;
    let usable = 1 + sentinels.iter().filter(|sentinel| sentinel.sdown_ms.is_none()).count() as u32;
    Master {
        name: fields.text("name"),
        address,
        epoch: fields.number("config-epoch"),
        quorum,
        usable_sentinels: usable,
        all_sentinels: all,
        quorum_reachable: usable >= quorum,
        majority_reachable: usable > all / 2,
        down_after_ms: fields.number("down-after-milliseconds"),
        failover_timeout_ms: fields.number("failover-timeout"),
        parallel_syncs: fields.small("parallel-syncs"),
        odown_ms: fields.down("o_down", "o-down-time"),
        server: server(fields, "master"),
        replicas: replicas.iter().filter_map(Fields::read).map(|node| server(&node, "replica")).collect(),
        sentinels,
        failover: fields.some("failover-state").map(|phase| Phase {
            words: phase.replace('_', " "),
            phase,
            ..Phase::default()
        }),
        ..Master::default()
    }
}

fn server(fields: &Fields, role: &str) -> Server {
    let sdown = fields.down("s_down", "s-down-time");
    let linked = !fields.has("disconnected");
    let unlinked = Duration::from_millis(fields.number("master-link-down-time"));
    let master_link_up = fields.text("master-link-status") == "ok";
    let down = |span| format!("down for {}", span_words(Duration::from_millis(span)));
    let (health, state_kind, state) = match sdown {
        Some(span) => (Health::Critical, StateKind::Down, down(span)),
        None if role == "master" => (Health::Passing, StateKind::Other, "master".to_owned()),
        None if master_link_up => (Health::Passing, StateKind::Linked, "replica, linked".to_owned()),
        None => {
            let state = format!("no link to the master for {}", span_words(unlinked));
            (Health::Warning, StateKind::Other, state)
        }
    };
    Server {
        address: fields.place("ip", "port"),
        run_id: fields.some("runid"),
        role: fields.some("role-reported").map(|role| match role.as_str() {
            "master" => ServerRole::Master,
            "slave" | "replica" => ServerRole::Replica,
            _ => ServerRole::Unsaid,
        }),
        linked,
        subscribed: linked,
        last_ok_ms: fields.number("last-ok-ping-reply"),
        sdown_ms: sdown,
        follows: fields.some("master-host").map(|_| fields.place("master-host", "master-port")),
        master_link_up,
        master_link_down_ms: fields.number("master-link-down-time"),
        announced: fields.0.get("replica-announced").is_none_or(|text| text != "0"),
        offset: fields.number("slave-repl-offset"),
        priority: fields.small("slave-priority"),
        state,
        state_kind: Some(state_kind),
        health,
        ..Server::default()
    }
}

fn sentinel(fields: &Fields) -> Sentinel {
    Sentinel {
        id: fields.text("name"),
        address: fields.place("ip", "port"),
        linked: !fields.has("disconnected"),
        sdown_ms: fields.down("s_down", "s-down-time"),
        last_hello_ms: fields.number("last-hello-message"),
        says_down: fields.has("master_down"),
        voted_for: fields.some("voted-leader"),
        voted_epoch: fields.number("voted-leader-epoch"),
    }
}
