//! Starting, and waiting until what was started is of use.

use super::{COUNT, GROUP, Stage};
use crate::demo::dns::Dns;
use crate::demo::redis;
use consentinel_resolver::shared::Reply;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than anything takes that goes well.
const PATIENCE: Duration = Duration::from_secs(30);
/// For one answer.
const ANSWER: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(20);

impl Stage {
    /// Starts the servers, and returns when the replicas have the master's data.
    pub(in crate::demo) async fn start_servers(&mut self) -> Result<(), String> {
        for server in &mut self.servers {
            server.actor.start()?;
        }
        for number in 0..COUNT {
            let port = self.server_port(number);
            let (is, last) = if number == 0 { ("master", 0) } else { ("slave", 3) };
            self.eventually(&format!("redis {port} does not become a {}", role(is)), async || {
                let role = redis::call(port, ANSWER, &["ROLE"]).await.ok()?;
                let text = |at: usize| role.items().get(at).and_then(Reply::text);
                let linked = number == 0 || text(last) == Some("connected");
                (text(0) == Some(is) && linked).then_some(())
            })
            .await?;
        }
        Ok(())
    }

    /// Starts Consul, and returns when it has a leader: itself.
    pub(in crate::demo) async fn start_consul(&mut self) -> Result<(), String> {
        let Some(consul) = &mut self.consul else { return Ok(()) };
        consul.start()?;
        let at = self.consul_http();
        self.eventually("Consul finds no leader", async || {
            let answer = tokio::time::timeout(ANSWER, get(at, "/v1/status/leader")).await.ok()?.ok()?;
            answer.contains("\"127.0.0.1:").then_some(())
        })
        .await
    }

    /// Starts the daemons, and returns when each knows everybody and DNS names the master.
    pub(in crate::demo) async fn start_daemons(&mut self) -> Result<(), String> {
        for daemon in &mut self.daemons {
            daemon.start()?;
        }
        for number in 0..COUNT {
            let port = self.daemon_port(number);
            self.eventually(
                &format!("{} does not find everybody", self.daemons[number].name()),
                async || {
                    for (list, others) in [("REPLICAS", COUNT - 1), ("SENTINELS", COUNT - 1)] {
                        let found = redis::call(port, ANSWER, &["SENTINEL", list, GROUP]).await.ok()?;
                        (found.items().len() == others).then_some(())?;
                    }
                    let quorum = redis::call(port, ANSWER, &["SENTINEL", "CKQUORUM", GROUP]).await.ok()?;
                    quorum.text()?.starts_with("OK").then_some(())
                },
            )
            .await?;
        }
        let (dns, master) = (self.dns(), self.server_port(0));
        let asker = Dns::new(dns, ANSWER).await.map_err(|error| format!("DNS cannot be asked: {error}"))?;
        self.eventually(&format!("DNS at {dns} does not name the master"), async || {
            (asker.ask().await.port() == Some(master)).then_some(())
        })
        .await
    }

    /// Asks until there is an answer, the time is over, or something has ended that should run.
    async fn eventually<T>(
        &mut self,
        otherwise: &str,
        mut ask: impl AsyncFnMut() -> Option<T>,
    ) -> Result<T, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = ask().await {
                return Ok(answer);
            }
            self.look_after()?;
            if Instant::now() > deadline {
                return Err(format!(
                    "{otherwise} within {} s. {}",
                    PATIENCE.as_secs(),
                    self.all_last_words()
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn all_last_words(&self) -> String {
        let servers = self.servers.iter().map(|server| &server.actor);
        let actors = servers.chain(&self.daemons).chain(&self.consul);
        let last = actors.map(|actor| format!("  {}:\n{}", actor.name(), actor.last_words(3)));
        format!("The last words of all that runs:\n{}", last.collect::<String>())
    }
}

fn role(word: &str) -> &str {
    if word == "slave" { "replica with all data" } else { word }
}

/// What a web server on this machine answers.
async fn get(at: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {at}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
