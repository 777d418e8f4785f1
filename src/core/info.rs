//! INFO as a struct: what a Redis server says about itself.

use crate::{Endpoint, Host, Offset, RunId, StoredInfo};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a server is, by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// It accepts writes and follows nobody.
    Master,
    /// It follows a master.
    Replica,
}

impl Role {
    /// Our word, as Consul, the log and the metrics have it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Master => "master",
            Role::Replica => "replica",
        }
    }

    /// Redis's word.
    pub fn wire_word(self) -> &'static str {
        match self {
            Role::Master => "master",
            Role::Replica => "slave",
        }
    }
}

/// The part of INFO that a sentinel cares about. What a server does not say stays at its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// Which run of the server this is.
    pub run_id: Option<RunId>,
    /// Master or replica.
    pub role: Option<Role>,
    /// Whether it is still reading its data from disk.
    pub loading: bool,
    /// How many keys it holds in all databases.
    pub keys: u64,
    /// The history of writes that it holds.
    pub replid: Option<RunId>,
    /// The history that this one goes on from: that of its former master, where it was promoted.
    pub former_replid: Option<RunId>,
    /// How far that history has come.
    pub master_repl_offset: Offset,
    /// The replicas that are connected to it.
    pub replicas: Vec<Endpoint>,
    /// How far each of them has acknowledged its history.
    pub replica_offsets: Vec<(Endpoint, Offset)>,
    /// Whom it follows.
    pub master: Option<Endpoint>,
    /// Whether its link to that master stands.
    pub master_link_up: bool,
    /// Whether it is copying that master's data, and has nothing of its own to offer until that is done.
    pub syncing: bool,
    /// For how long that link has been down.
    pub master_link_down: Duration,
    /// Its priority for promotion: the lowest is promoted first, zero never.
    pub priority: u32,
    /// How far it has followed its master.
    pub repl_offset: Offset,
    /// Whether clients may be told of it (`replica-announced`).
    pub announced: bool,
    /// All that it said; nothing depends on it.
    #[serde(skip)]
    pub text: StoredInfo,
}

impl Default for Info {
    fn default() -> Self {
        Info {
            run_id: None,
            role: None,
            loading: false,
            keys: 0,
            replid: None,
            former_replid: None,
            master_repl_offset: Offset(0),
            replicas: Vec::new(),
            replica_offsets: Vec::new(),
            master: None,
            master_link_up: false,
            syncing: false,
            master_link_down: Duration::ZERO,
            priority: 100,
            repl_offset: Offset(0),
            announced: true,
            text: StoredInfo::default(),
        }
    }
}

/// More replicas of one master are not looked at: a server must not make us connect to thousands.
const MAX_REPLICAS: usize = 512;

impl Info {
    /// Reads the reply to INFO. Lines that are unknown or malformed are passed over: a server of another version
    /// says other things, and what is missing shows in the result.
    ///
    /// ```
    /// use consentinel_core::{Info, Role};
    /// let info = Info::parse("# Replication\r\nrole:slave\r\nslave_priority:90\r\n");
    /// assert_eq!((info.role, info.priority), (Some(Role::Replica), 90));
    /// ```
    pub fn parse(text: &str) -> Info {
        let mut info = Info::default();
        let mut master = (None, None);
        let text = StoredInfo::read(text, |field, value| {
            match field {
                "run_id" => info.run_id = name(value),
                "role" => info.role = role(value),
                "loading" => info.loading = value == "1",
                "master_replid" => info.replid = name(value),
                "master_replid2" => info.former_replid = name(value).filter(|id| !is_nothing(id)),
                "master_repl_offset" => set(&mut info.master_repl_offset.0, value),
                "master_host" => master.0 = Host::parse(value).ok(),
                "master_port" => master.1 = value.parse::<u16>().ok(),
                "master_link_status" => info.master_link_up = value == "up",
                "master_sync_in_progress" => info.syncing = value == "1",
                "master_link_down_since_seconds" => {
                    // A link that was never up says -1.
                    info.master_link_down = Duration::from_secs(value.parse().unwrap_or(0));
                }
                "slave_priority" => set(&mut info.priority, value),
                "slave_repl_offset" => set(&mut info.repl_offset.0, value),
                "replica_announced" => info.announced = value != "0",
                _ if is_numbered(field, "db") => info.keys = info.keys.saturating_add(keys(value)),
                _ if is_numbered(field, "slave") => info.follower(value),
                _ => {}
            }
        });
        info.text = text;
        if let (Some(host), Some(port)) = master {
            info.master = Some(Endpoint::new(host, port));
        }
        info
    }
}

impl Info {
    /// A line `slaveN`; those after the first 512 are passed over. The second connection of a replica that copies over two channels (Valkey 8) is no replica.
    fn follower(&mut self, value: &str) {
        if self.replicas.len() == MAX_REPLICAS || field_of(value, "type") == Some("rdb-channel") {
            return;
        }
        let Some(addr) = replica(value) else { return };
        if let Some(offset) = field_of(value, "offset").and_then(|offset| offset.parse().ok()) {
            self.replica_offsets.push((addr.clone(), Offset(offset)));
        }
        self.replicas.push(addr);
    }
}

fn set<T: std::str::FromStr>(field: &mut T, value: &str) {
    if let Ok(value) = value.parse() {
        *field = value;
    }
}

fn name(value: &str) -> Option<RunId> {
    let fits = !value.is_empty() && value.len() <= 64 && value.bytes().all(|c| c.is_ascii_alphanumeric());
    fits.then(|| RunId::new(value))
}

/// Where there is no former history the server writes zeros.
fn is_nothing(id: &RunId) -> bool {
    id.as_str().bytes().all(|c| c == b'0')
}

fn role(value: &str) -> Option<Role> {
    match value {
        "master" => Some(Role::Master),
        "slave" | "replica" => Some(Role::Replica),
        _ => None,
    }
}

fn is_numbered(field: &str, prefix: &str) -> bool {
    field
        .strip_prefix(prefix)
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|c| c.is_ascii_digit()))
}

/// `keys=12,expires=0,avg_ttl=0`
fn keys(value: &str) -> u64 {
    field_of(value, "keys").and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// `ip=127.0.0.1,port=6380,state=online,…`, or from servers before 2.8 `127.0.0.1,6380,online`.
fn replica(value: &str) -> Option<Endpoint> {
    let (host, port) = match (field_of(value, "ip"), field_of(value, "port")) {
        (Some(host), Some(port)) => (host, port),
        _ => {
            let mut words = value.split(',');
            (words.next()?, words.next()?)
        }
    };
    Endpoint::parse(host, port).ok().filter(|endpoint| endpoint.port != 0)
}

fn field_of<'a>(value: &'a str, field: &str) -> Option<&'a str> {
    value.split(',').find_map(|pair| pair.strip_prefix(field)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MASTER: &str = "# Server\r\nredis_version:7.0.15\r\nrun_id:0123456789abcdef0123456789abcdef01234567\r\n\
        # Persistence\r\nloading:0\r\n# Replication\r\nrole:master\r\nconnected_slaves:2\r\n\
        slave0:ip=127.0.0.1,port=6380,state=online,offset=140,lag=0\r\n\
        slave1:ip=::1,port=6381,state=online,offset=140,lag=1\r\n\
        master_replid:8c1a\r\nmaster_replid2:0000\r\nmaster_repl_offset:154\r\n# Keyspace\r\ndb0:keys=3,expires=0,avg_ttl=0\r\n\
        db15:keys=4,expires=0,avg_ttl=0\r\n";

    #[test]
    fn a_master_tells_its_replicas_and_its_keys() {
        let info = Info::parse(MASTER);
        assert_eq!(info.role, Some(Role::Master));
        assert_eq!(info.run_id.expect("given").as_str().len(), 40);
        assert_eq!(info.keys, 7);
        assert_eq!((info.replid, info.former_replid), (Some(RunId::new("8c1a")), None));
        assert_eq!(info.master_repl_offset, Offset(154));
        assert_eq!(format!("{:?}", info.replicas), "[127.0.0.1:6380, ::1:6381]");
        assert_eq!(info.replica_offsets.iter().map(|(_, offset)| offset.0).collect::<Vec<_>>(), [140, 140]);
    }

    #[test]
    fn a_replica_tells_whom_it_follows() {
        let info = Info::parse(
            "role:slave\nmaster_host:redis-1\nmaster_port:6379\nmaster_link_status:down\n\
             master_link_down_since_seconds:12\nslave_repl_offset:99\nslave_priority:0\nreplica_announced:0\n",
        );
        assert_eq!(format!("{:?}", info.master.expect("given")), "redis-1:6379");
        assert!(!info.master_link_up && !info.announced);
        assert_eq!(info.master_link_down, Duration::from_secs(12));
        assert_eq!((info.repl_offset, info.priority), (Offset(99), 0));
    }

    #[test]
    fn servers_before_2_8_list_replicas_without_names() {
        let info = Info::parse("slave0:10.0.0.7,6380,online\n");
        assert_eq!(format!("{:?}", info.replicas), "[10.0.0.7:6380]");
    }

    #[test]
    fn no_more_than_512_replicas_are_looked_at() {
        let line = |at: u32| {
            format!("slave{at}:ip=10.0.{}.{},port=6379,state=online,offset=1,lag=0\r\n", at >> 8, at & 255)
        };
        let text: String = (0..2000).map(line).collect();
        let info = Info::parse(&(text + "role:master\r\n"));
        assert_eq!((info.replicas.len(), info.replica_offsets.len()), (512, 512));
        assert_eq!(info.role, Some(Role::Master), "what follows is read");
    }

    /// Half a million lines, which would each be compared with 190 known ones, and kept.
    #[test]
    fn what_no_server_says_is_passed_over_cheaply() {
        let info = Info::parse(&("a:\r\n".repeat(500_000) + "role:master\r\n"));
        assert_eq!(info.role, Some(Role::Master));
        assert!(info.text.to_string().len() <= 64 << 10);
        let long = "db0:keys=1,".to_owned() + &",".repeat(1 << 20) + "\r\nrole:slave\r\n";
        assert_eq!((Info::parse(&long).keys, Info::parse(&long).role), (0, Some(Role::Replica)));
    }

    #[test]
    fn the_channel_that_carries_a_copy_is_no_replica() {
        let info = Info::parse(
            "slave0:ip=10.0.0.7,port=6380,state=wait_bgsave,offset=0,lag=0,type=rdb-channel\n\
             slave1:ip=10.0.0.8,port=6380,state=bg_transfer,offset=0,lag=0,type=main-channel\n",
        );
        assert_eq!(format!("{:?}", info.replicas), "[10.0.0.8:6380]");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(?s).{0,400}") {
            let _ = Info::parse(&text);
        }

        #[test]
        fn a_truncated_reply_is_read_as_far_as_it_goes(end in 0..MASTER.len()) {
            let info = Info::parse(&MASTER[..end]);
            prop_assert!(info.keys <= 7 && info.replicas.len() <= 2);
        }
    }
}
