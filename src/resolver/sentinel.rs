//! The sentinels: whom to ask when DNS names nobody.

use crate::origin::Found;
use crate::resp::{self, Reply, Wire};
use crate::secret::Secret;
use crate::{Attempt, Builder, Epoch, LookupError, Source};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

/// After the first answer the others have this long to say something newer.
const OTHERS: Duration = Duration::from_millis(100);

/// No more sentinels than this are asked, however many they name to each other.
const MOST: usize = 16;

/// What the builder was told, and what the sentinels have told of each other.
#[derive(Clone, Debug)]
pub(crate) struct Sentinels {
    /// Those that were named, as `host:port`.
    named: Vec<String>,
    master: String,
    username: Option<String>,
    password: Option<Secret>,
    /// Those that DNS or another sentinel has named. Shared by all handles.
    heard: Arc<Mutex<BTreeSet<SocketAddr>>>,
}

impl Default for Sentinels {
    fn default() -> Sentinels {
        Sentinels {
            named: Vec::new(),
            master: "mymaster".into(),
            username: None,
            password: None,
            heard: Arc::default(),
        }
    }
}

impl Builder {
    /// A sentinel that is asked when DNS names nobody, as `host:port`. One of a group is enough, it names the others; but
    /// only as long as it lives itself.
    ///
    /// What a sentinel says counts by its epoch, as everything does: of those that answer the newest wins, and
    /// it is refused when something newer was seen.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// Resolver::builder("redis").sentinel("127.0.0.1:26379").sentinel("127.0.0.2:26379").build()?;
    /// # Ok::<(), consentinel_resolver::BuildError>(())
    /// ```
    pub fn sentinel(mut self, address: impl Into<String>) -> Builder {
        self.sentinels.named.push(address.into());
        self
    }

    /// What the sentinels call the master. Without it `mymaster`.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// Resolver::builder("redis").sentinel("127.0.0.1:26379").sentinel_master("shop").build()?;
    /// # Ok::<(), consentinel_resolver::BuildError>(())
    /// ```
    pub fn sentinel_master(mut self, name: impl Into<String>) -> Builder {
        self.sentinels.master = name.into();
        self
    }

    /// The user that the sentinels know us as. Without one it is `default`.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// Resolver::builder("redis").sentinel("127.0.0.1:26379").sentinel_username("shop").sentinel_password("secret").build()?;
    /// # Ok::<(), consentinel_resolver::BuildError>(())
    /// ```
    pub fn sentinel_username(mut self, username: impl Into<String>) -> Builder {
        self.sentinels.username = Some(username.into());
        self
    }

    /// The password of the sentinels themselves, not that of the servers. It appears in no error and no `Debug`.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// let builder = Resolver::builder("redis").sentinel("127.0.0.1:26379").sentinel_password("secret");
    /// # assert!(!format!("{builder:?}").contains("secret"));
    /// ```
    pub fn sentinel_password(mut self, password: impl Into<String>) -> Builder {
        self.sentinels.password = Some(Secret::new(password));
        self
    }
}

/// What a sentinel has said.
#[derive(Clone, Debug, PartialEq, Eq)]
struct View {
    from: String,
    host: String,
    port: u16,
    epoch: Epoch,
    /// A quorum takes it for down.
    is_down: bool,
    /// Its peers.
    others: Vec<SocketAddr>,
}

impl Sentinels {
    /// Whether anybody was named.
    pub(crate) fn are_there(&self) -> bool {
        !self.named.is_empty()
    }

    /// DNS has named sentinels while it could.
    pub(crate) fn hear(&self, others: impl IntoIterator<Item = SocketAddr>) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        for address in others {
            if heard.len() < MOST {
                heard.insert(address);
            }
        }
    }

    /// Who is master, by the newest of those who answer.
    pub(crate) async fn ask(&self, name: &str, within: Duration) -> Result<Found, LookupError> {
        let (views, tried) = self.views(within).await;
        self.hear(views.iter().flat_map(|view| view.others.iter().copied()));
        let unanswered =
            |tried: Vec<_>| LookupError::Unanswered { name: name.to_owned(), tried: tried.into() };
        let Some(newest) = views.iter().map(|view| view.epoch).max() else { return Err(unanswered(tried)) };
        let newest: Vec<_> = views.iter().filter(|view| view.epoch == newest).collect();
        if let Some(down) = newest.iter().find(|view| view.is_down) {
            let said =
                format!("that {}:{} is objectively down, and no other is master yet", down.host, down.port);
            return Err(LookupError::Nobody { name: name.to_owned(), from: down.from.clone(), said });
        }
        let masters: BTreeSet<_> = newest.iter().map(|view| format!("{}:{}", view.host, view.port)).collect();
        if masters.len() > 1 {
            let from = newest.iter().map(|view| view.from.as_str()).collect::<Vec<_>>().join(" and ");
            let masters = masters.into_iter().collect();
            return Err(LookupError::Ambiguous { name: name.to_owned(), from, masters });
        }
        let view = newest[0];
        match locate(&view.host, view.port, within).await {
            Ok(addr) => Ok(Found {
                addr,
                host: view.host.clone(),
                epoch: Some(view.epoch),
                source: Source::Sentinel,
                ttl: Duration::ZERO,
                from: format!("the sentinel {}", view.from),
            }),
            Err(outcome) => {
                let question =
                    format!("the address of {}, which the sentinel {} names", view.host, view.from);
                Err(unanswered(vec![Attempt::new("the system", question, outcome)]))
            }
        }
    }

    /// Asks all at once. The first who answers sets the time for the others.
    async fn views(&self, within: Duration) -> (Vec<View>, Vec<Attempt>) {
        let mut asking = JoinSet::new();
        for address in self.addresses() {
            let this = self.clone();
            asking.spawn(async move {
                let silent = || Err(format!("no answer within {within:?}"));
                let outcome = timeout(within, this.view(&address)).await.unwrap_or_else(|_| silent());
                outcome.map_err(|outcome| Attempt::new(&address, this.question(), outcome))
            });
        }
        let (mut views, mut tried) = (Vec::new(), Vec::new());
        let mut deadline = Instant::now() + within + OTHERS;
        while let Ok(Some(joined)) = timeout_at(deadline, asking.join_next()).await {
            match joined {
                Ok(Ok(view)) => {
                    deadline = deadline.min(Instant::now() + OTHERS);
                    views.push(view);
                }
                Ok(Err(attempt)) => {
                    tracing::debug!("{attempt}");
                    tried.push(attempt);
                }
                Err(_) => {}
            }
        }
        (views, tried)
    }

    fn addresses(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.named.clone();
        all.extend(heard.iter().map(ToString::to_string).filter(|address| !self.named.contains(address)));
        all.truncate(MOST.max(self.named.len()));
        all
    }

    fn question(&self) -> String {
        format!("SENTINEL MASTER {}", self.master)
    }

    async fn view(&self, address: &str) -> Result<View, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let mut wire = Wire::new(stream, resp::MAX_ANSWER);
        let auth: Option<Vec<&str>> = self.password.as_ref().map(|password| {
            ["AUTH"].into_iter().chain(self.username.as_deref()).chain([password.reveal()]).collect()
        });
        let questions: [&[&str]; 2] =
            [&["SENTINEL", "MASTER", &self.master], &["SENTINEL", "SENTINELS", &self.master]];
        let commands: Vec<&[&str]> = auth.iter().map(Vec::as_slice).chain(questions).collect();
        let replies = wire.ask(&commands).await.map_err(|error| self.quote(&error.to_string()))?;
        for reply in &replies {
            if let Reply::Error(_) = reply {
                return Err(self.quote(&reply.to_string()));
            }
        }
        let [.., master, others] = &replies[..] else { return Err("too few answers".into()) };
        view_of(address, master, others)
            .ok_or_else(|| self.quote(&format!("an answer that names no master: {master:?}")))
    }

    /// What somebody has said, without our password.
    fn quote(&self, text: &str) -> String {
        resp::one_line(&match &self.password {
            Some(password) if !password.reveal().is_empty() => text.replace(password.reveal(), "…"),
            _ => text.to_owned(),
        })
    }
}

fn view_of(from: &str, master: &Reply, others: &Reply) -> Option<View> {
    let flags = field(master, "flags")?;
    Some(View {
        from: from.to_owned(),
        host: field(master, "ip").filter(|host| !host.is_empty())?.to_owned(),
        port: field(master, "port")?.parse().ok().filter(|port| *port != 0)?,
        epoch: Epoch(field(master, "config-epoch")?.parse().ok()?),
        is_down: flags.split(',').any(|flag| flag == "o_down"),
        others: others.items().iter().filter_map(address_of).collect(),
    })
}

fn address_of(sentinel: &Reply) -> Option<SocketAddr> {
    let ip: IpAddr = field(sentinel, "ip")?.parse().ok()?;
    let port = field(sentinel, "port")?.parse().ok().filter(|port| *port != 0)?;
    Some(SocketAddr::new(ip, port))
}

/// Of names and values by turns.
fn field<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    let pair = reply.items().chunks_exact(2).find(|pair| pair[0].text() == Some(name))?;
    pair[1].text()
}

async fn locate(host: &str, port: u16, within: Duration) -> Result<SocketAddr, String> {
    if let Ok(ip) = host.parse() {
        return Ok(SocketAddr::new(ip, port));
    }
    match timeout(within, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(mut all)) => all.next().ok_or_else(|| "no address".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {within:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const WITHIN: Duration = Duration::from_millis(500);

    fn array(words: &[&str]) -> String {
        let word = |word: &&str| format!("${}\r\n{word}\r\n", word.len());
        format!("*{}\r\n", words.len()) + &words.iter().map(word).collect::<String>()
    }

    fn master(port: u16, epoch: u64, flags: &str) -> String {
        let (port, epoch) = (port.to_string(), epoch.to_string());
        array(&["name", "mymaster", "ip", "127.0.0.1", "port", &port, "flags", flags, "config-epoch", &epoch])
    }

    /// A sentinel that says this to whoever asks.
    async fn sentinel(says: String) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 500]).await;
                let _ = stream.write_all(says.as_bytes()).await;
                kept.push(stream);
            }
        });
        address
    }

    async fn asked(all: &[SocketAddr]) -> (Sentinels, Result<Found, LookupError>) {
        let named = all.iter().map(ToString::to_string).collect();
        let sentinels = Sentinels { named, ..Sentinels::default() };
        let found = sentinels.ask("redis.service.consul", WITHIN).await;
        (sentinels, found)
    }

    #[tokio::test]
    async fn the_newest_epoch_wins() {
        let old = sentinel(master(7001, 3, "master") + "*0\r\n").await;
        let new = sentinel(master(7002, 4, "master") + "*0\r\n").await;
        for order in [[old, new], [new, old]] {
            let found = asked(&order).await.1.expect("somebody is named");
            assert_eq!(
                (found.addr.port(), found.epoch, found.source),
                (7002, Some(Epoch(4)), Source::Sentinel)
            );
        }
    }

    #[tokio::test]
    async fn who_is_objectively_down_is_not_named() {
        let down = sentinel(master(7001, 3, "master,s_down,o_down") + "*0\r\n").await;
        let error = asked(&[down]).await.1.expect_err("it is down");
        assert!(
            error.is_nobody() && error.to_string().contains("127.0.0.1:7001 is objectively down"),
            "{error}"
        );
        let well = sentinel(master(7001, 3, "master,s_down") + "*0\r\n").await;
        asked(&[well]).await.1.expect("that is one sentinel's opinion");
    }

    #[tokio::test]
    async fn two_masters_of_one_epoch_are_none() {
        let one = sentinel(master(7001, 3, "master") + "*0\r\n").await;
        let two = sentinel(master(7002, 3, "master") + "*0\r\n").await;
        let error = asked(&[one, two]).await.1.expect_err("which one?");
        assert!(matches!(error, LookupError::Ambiguous { .. }), "{error}");
    }

    #[tokio::test]
    async fn nonsense_and_silence_do_not_keep_the_others_from_being_heard() {
        let mut all = Vec::new();
        for nonsense in
            ["", "-ERR No such master with that name\r\n*0\r\n", "HTTP/1.1 200\r\n", "*0\r\n*0\r\n"]
        {
            all.push(sentinel(nonsense.into()).await);
        }
        let error = asked(&all).await.1.expect_err("none of them knows").to_string();
        for expected in ["no answer within 500ms", "No such master", "no RESP", "names no master"] {
            assert!(error.contains(expected), "{expected}: {error}");
        }
        all.push(sentinel(master(7001, 3, "master") + "*0\r\n").await);
        assert_eq!(asked(&all).await.1.expect("one knows").addr.port(), 7001);
    }

    #[tokio::test]
    async fn one_sentinel_names_the_others() {
        let peer = sentinel(master(7002, 4, "master") + "*0\r\n").await;
        let port = peer.port().to_string();
        let others = format!("*1\r\n{}", array(&["ip", "127.0.0.1", "port", &port]));
        let first = sentinel(master(7001, 3, "master") + &others).await;
        let (sentinels, found) = asked(&[first]).await;
        assert_eq!(found.expect("it is named").addr.port(), 7001);
        assert_eq!(sentinels.addresses(), [first.to_string(), peer.to_string()]);
    }
}
