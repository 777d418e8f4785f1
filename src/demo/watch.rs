//! What is seen of the servers, the daemons and DNS, as it is seen.

use super::dns::{Answer, Dns};
use super::redis::{self, Client};
use super::stage::GROUP;
use crate::status::Picture;
use consentinel_resolver::shared::Reply;
use std::cell::Cell;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

/// For one answer.
const PATIENCE: Duration = Duration::from_millis(250);

/// Between two looks: in the calm, and while something is going on.
const CALM: Duration = Duration::from_millis(100);
const BUSY: Duration = Duration::from_millis(10);
/// The same for DNS.
const DNS_CALM: Duration = Duration::from_millis(40);
const DNS_BUSY: Duration = Duration::from_millis(4);

/// Something that was seen, and when.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    /// When.
    pub at: Instant,
    /// What.
    pub seen: Seen,
}

/// What can be seen.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    /// A daemon told its subscribers something.
    Event {
        /// Which daemon.
        daemon: usize,
        /// `+sdown`
        name: String,
        /// `master mymaster 127.0.0.1 6379`
        payload: String,
    },
    /// What a server says of itself; nothing when it does not answer.
    Server(usize, Option<Replication>),
    /// What a daemon says of itself; nothing when it does not answer.
    Daemon(usize, Option<Box<Picture>>),
    /// What DNS answers.
    Dns(Answer),
    /// A write was acknowledged by the server on that port, and perhaps confirmed by a replica.
    Wrote {
        /// Where.
        port: u16,
        /// Which.
        number: u64,
        /// Whether a replica has it.
        confirmed: bool,
    },
    /// A write failed.
    NotWritten(String),
}

/// What a server says of its part in the replication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Replication {
    /// Whether it says that it is a master.
    pub is_master: bool,
    /// How far it has come.
    pub offset: u64,
    /// The port of the master that it follows.
    pub follows: Option<u16>,
    /// Whether its link to that one stands.
    pub linked: bool,
    /// A master's replicas: their ports, and how far they have come by its word.
    pub replicas: Vec<(u16, u64)>,
}

/// The busier, the closer it is looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace(Rc<Cell<bool>>);

impl Pace {
    /// Says whether something is going on.
    pub(super) fn set_busy(&self, busy: bool) {
        self.0.set(busy);
    }

    fn choose(&self, calm: Duration, busy: Duration) -> Duration {
        if self.0.get() { busy } else { calm }
    }
}

/// Where everything that is seen goes.
#[derive(Clone, Debug)]
pub(super) struct Eyes {
    sights: UnboundedSender<Sight>,
    pace: Pace,
}

impl Eyes {
    /// Eyes that report there.
    pub(super) fn new(sights: UnboundedSender<Sight>, pace: Pace) -> Self {
        Eyes { sights, pace }
    }

    /// Reports something that is seen now. False when nobody wants to know any more.
    pub(super) fn see(&self, seen: Seen) -> bool {
        self.see_at(Instant::now(), seen)
    }

    /// Reports something that was seen a moment ago.
    pub(super) fn see_at(&self, at: Instant, seen: Seen) -> bool {
        self.sights.send(Sight { at, seen }).is_ok()
    }

    /// Listens to what a daemon tells its subscribers, again whenever the connection is lost.
    pub(super) async fn listen(self, daemon: usize, port: u16) {
        loop {
            // A daemon that has ended is noticed elsewhere.
            let _ = self.subscribe(daemon, port).await;
            tokio::time::sleep(CALM).await;
        }
    }

    async fn subscribe(&self, daemon: usize, port: u16) -> std::io::Result<()> {
        let mut client = Client::connect(port, PATIENCE).await?;
        client.send(&[&["PSUBSCRIBE", "*"]]).await?;
        loop {
            let message = client.next().await?;
            let words: Vec<_> = message.items().iter().filter_map(Reply::text).collect();
            if let ["pmessage", _, name, payload] = words[..] {
                let (name, payload) = (name.to_owned(), payload.to_owned());
                self.see(Seen::Event { daemon, name, payload });
            }
        }
    }

    /// Looks at a server, again and again.
    pub(super) async fn watch_server(self, server: usize, port: u16) {
        let mut client = None;
        loop {
            let reply = ask(&mut client, port, &["INFO", "replication"]).await;
            let said = reply.as_ref().and_then(Reply::text).map(Replication::read);
            if !self.see(Seen::Server(server, said)) {
                return;
            }
            tokio::time::sleep(self.pace.choose(CALM, BUSY)).await;
        }
    }

    /// Looks at a daemon, again and again.
    pub(super) async fn watch_daemon(self, daemon: usize, port: u16) {
        let mut client = None;
        loop {
            let reply = ask(&mut client, port, &["SENTINEL", "STATUS"]).await;
            let picture =
                reply.as_ref().and_then(Reply::text).and_then(|text| serde_json::from_str(text).ok());
            if !self.see(Seen::Daemon(daemon, picture.map(Box::new))) {
                return;
            }
            tokio::time::sleep(self.pace.choose(2 * CALM, 2 * BUSY)).await;
        }
    }

    /// Asks DNS, again and again.
    pub(super) async fn watch_dns(self, server: SocketAddr) {
        loop {
            let answer = match Dns::new(server, PATIENCE).await {
                Ok(dns) => dns.ask().await,
                Err(_) => Answer::Silence,
            };
            if !self.see(Seen::Dns(answer)) {
                return;
            }
            tokio::time::sleep(self.pace.choose(DNS_CALM, DNS_BUSY)).await;
        }
    }
}

/// Asks over the connection that there is, or a new one: a server whose part changes closes those that it has.
async fn ask(client: &mut Option<Client>, port: u16, words: &[&str]) -> Option<Reply> {
    if let Some(mut old) = client.take() {
        match old.call(words).await {
            Ok(reply) => {
                *client = Some(old);
                return Some(reply);
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => return None,
            Err(_) => {}
        }
    }
    let mut new = Client::connect(port, PATIENCE).await.ok()?;
    let reply = new.call(words).await.ok()?;
    *client = Some(new);
    Some(reply)
}

/// Orders a failover of the master.
pub(super) async fn order_failover(port: u16) -> Result<(), String> {
    match redis::call(port, PATIENCE, &["SENTINEL", "FAILOVER", GROUP]).await {
        Ok(refusal @ Reply::Error(_)) => Err(refusal.to_string()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

impl Replication {
    /// Reads the section of INFO.
    fn read(text: &str) -> Replication {
        let mut said = Replication::default();
        let (mut own, mut master_offset) = (None, None);
        for (field, value) in text.lines().filter_map(|line| line.trim_end().split_once(':')) {
            match field {
                "role" => said.is_master = value == "master",
                "master_port" => said.follows = value.parse().ok(),
                "master_link_status" => said.linked = value == "up",
                "slave_repl_offset" => own = value.parse().ok(),
                "master_repl_offset" => master_offset = value.parse().ok(),
                _ if field.starts_with("slave") => said.replicas.extend(Replication::replica(value)),
                _ => {}
            }
        }
        let offset: Option<u64> = if said.is_master { master_offset } else { own };
        said.offset = offset.unwrap_or_default();
        said
    }

    /// `ip=127.0.0.1,port=6380,state=online,offset=14,lag=0`
    fn replica(value: &str) -> Option<(u16, u64)> {
        let field = |name: &str| {
            value.split(',').filter_map(|part| part.split_once('=')).find(|(key, _)| *key == name)
        };
        let online = field("state")?.1 == "online";
        online.then_some((field("port")?.1.parse().ok()?, field("offset")?.1.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_tells_how_far_its_replicas_are() {
        let text = "# Replication\r\nrole:master\r\nconnected_slaves:2\r\n\
            slave0:ip=127.0.0.1,port=2,state=online,offset=90,lag=0\r\n\
            slave1:ip=127.0.0.1,port=3,state=wait_bgsave,offset=0,lag=0\r\nmaster_repl_offset:100\r\n";
        let expected = Replication {
            is_master: true,
            offset: 100,
            follows: None,
            linked: false,
            replicas: vec![(2, 90)],
        };
        assert_eq!(Replication::read(text), expected);
    }

    #[test]
    fn a_replica_tells_whom_it_follows() {
        let text = "role:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:1\r\nmaster_link_status:up\r\n\
            slave_read_repl_offset:7\r\nslave_repl_offset:7\r\nslave_priority:100\r\nmaster_repl_offset:8\r\n";
        let expected =
            Replication { is_master: false, offset: 7, follows: Some(1), linked: true, replicas: vec![] };
        assert_eq!(Replication::read(text), expected);
    }
}
