//! Asking a running sentinel, ours or an original, over its own port.

use crate::config::Settings;
use crate::config::TlsSettings;
use crate::net::tls::Asker;
use crate::net::tls::explain as tls_trouble;
use consentinel_core::Secret;
use consentinel_resolver::shared::{Malformed, Reply, Wire};
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// How long a sentinel may take for one answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// A status of thousands of masters has its room.
const MAX_ANSWER: usize = 256 << 20;

/// The port of sentinels.
const PORT: u16 = 26379;

/// How a sentinel is reached.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    /// `host:port`.
    pub at: String,
    /// Who we are; the default user when there is only a password.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// TLS, where that is spoken.
    pub tls: Option<TlsSettings>,
}

impl Reach {
    /// The sentinel that runs by a configuration, on this machine.
    pub(super) fn configured(settings: &Settings) -> Reach {
        let is_plain = settings.port != 0;
        let port = if is_plain { settings.port } else { settings.tls.port };
        Reach {
            at: join(&host_of(&settings.bind), port),
            user: None,
            password: settings.requirepass.clone(),
            tls: (!is_plain).then(|| at_home(settings)),
        }
    }

    /// The same way to another sentinel.
    pub(super) fn to(&self, at: &str) -> Reach {
        Reach { at: with_port(at), ..self.clone() }
    }
}

/// The address on this machine under which a sentinel with these `bind` addresses answers.
fn host_of(bind: &[String]) -> String {
    let addresses = || bind.iter().map(|address| address.trim_start_matches('-'));
    let everywhere = |address: &str| matches!(address, "" | "*" | "0.0.0.0" | "::" | "::*" | "localhost");
    let home = addresses().any(|address| everywhere(address) || address == "127.0.0.1");
    match addresses().next() {
        Some(first) if !home => first.to_owned(),
        _ => "127.0.0.1".to_owned(),
    }
}

fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// An address as it was typed, with the usual port where none was.
pub(super) fn with_port(at: &str) -> String {
    if let Ok(address) = at.parse::<std::net::Ipv6Addr>() {
        return format!("[{address}]:{PORT}");
    }
    let has_port = at.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { at.to_owned() } else { format!("{at}:{PORT}") }
}

/// The TLS of a configuration whose paths count from its `dir`.
fn at_home(settings: &Settings) -> TlsSettings {
    let mut tls = settings.tls.clone();
    if let Some(dir) = &settings.dir {
        let files: [&mut Option<PathBuf>; 6] = [
            &mut tls.cert_file,
            &mut tls.key_file,
            &mut tls.client_cert_file,
            &mut tls.client_key_file,
            &mut tls.ca_cert_file,
            &mut tls.ca_cert_dir,
        ];
        for file in files.into_iter().flatten() {
            *file = dir.join(&*file);
        }
    }
    tls
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Text.
    Text(String),
    /// A number.
    Number(i64),
    /// Nothing.
    Null,
    /// Several answers.
    List(Vec<Answer>),
    /// A refusal, in the sentinel's words.
    Refused(String),
}

impl Answer {
    /// As text, where it is one.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Answer::Text(text) => Some(text.clone()),
            Answer::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Names and values that follow each other.
    pub(super) fn pairs(&self) -> Option<Vec<(String, &Answer)>> {
        let Answer::List(items) = self else { return None };
        items.chunks(2).map(|pair| Some((pair.first()?.text()?, pair.get(1)?))).collect()
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Answer {
        let text = |text: Vec<u8>| String::from_utf8_lossy(&text).into_owned();
        match reply {
            Reply::Simple(bytes) | Reply::Bulk(bytes) => Answer::Text(text(bytes)),
            Reply::Error(bytes) => Answer::Refused(text(bytes)),
            Reply::Integer(number) => Answer::Number(number),
            Reply::Nil => Answer::Null,
            Reply::Array(items) => Answer::List(items.into_iter().map(Answer::from).collect()),
        }
    }
}

/// Bytes in both directions, in the clear or over TLS.
trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Bytes for T {}

/// A conversation with a sentinel.
pub(super) struct Connection {
    at: String,
    wire: Wire<Box<dyn Bytes>>,
}

impl Connection {
    /// Connects and logs in.
    pub(super) async fn open(reach: &Reach) -> Result<Connection, String> {
        let at = reach.at.clone();
        let opening = async {
            let stream = TcpStream::connect(&at)
                .await
                .map_err(|error| format!("the sentinel at {at} cannot be reached: {error}"))?;
            let stream: Box<dyn Bytes> = match &reach.tls {
                None => Box::new(stream),
                Some(tls) => {
                    let asker = Asker::new(tls).map_err(|error| format!("TLS cannot be spoken: {error}"))?;
                    Box::new(asker.connect(stream).await.map_err(|error| broken_tls(&at, &error))?)
                }
            };
            Ok::<Connection, String>(Connection { at: at.clone(), wire: Wire::new(stream, MAX_ANSWER) })
        };
        let mut line = in_time(&at, opening).await?;
        line.log_in(reach).await?;
        Ok(line)
    }

    async fn log_in(&mut self, reach: &Reach) -> Result<(), String> {
        let Some(password) = &reach.password else { return Ok(()) };
        let answer = match &reach.user {
            Some(user) => self.ask(&["AUTH", user, password.reveal()]).await?,
            None => self.ask(&["AUTH", password.reveal()]).await?,
        };
        match answer {
            // A sentinel that wants no password is none the worse.
            Answer::Refused(text) if !text.contains("without any password configured") => {
                Err(format!("the sentinel at {} refuses the password: {text}", self.at))
            }
            _ => Ok(()),
        }
    }

    /// Asks, and waits for the answer. A refusal is an answer, unless it is about who we are.
    pub(super) async fn ask(&mut self, words: &[&str]) -> Result<Answer, String> {
        let at = self.at.clone();
        let answer = in_time(&at, self.converse(words)).await?;
        match &answer {
            Answer::Refused(text) if text.starts_with("NOAUTH") => Err(format!(
                "the sentinel at {at} asks for a password: name a file with it by --password-file, or put it into \
                 REDISCLI_AUTH"
            )),
            Answer::Refused(text) if text.starts_with("DENIED") => {
                Err(format!("the sentinel at {at} is in protected mode, and only answers its own machine"))
            }
            Answer::Refused(text) if text.starts_with("NOPERM") => {
                let shown = words.iter().take(2).copied().collect::<Vec<_>>().join(" ");
                Err(format!(
                    "the sentinel at {at} does not let this user ask {shown}: {text}. It needs: ACL SETUSER <user> \
                     +sentinel|status +sentinel|history +sentinel|explain"
                ))
            }
            _ => Ok(answer),
        }
    }

    async fn converse(&mut self, words: &[&str]) -> Result<Answer, String> {
        let at = &self.at;
        let failed = |error: io::Error| match error.get_ref().is_some_and(|inner| inner.is::<Malformed>()) {
            true => format!("what answers at {at} is no sentinel: {error}"),
            false if error.kind() == io::ErrorKind::UnexpectedEof => {
                format!("the sentinel at {at} has closed the connection")
            }
            false => format!("the sentinel at {at}: {}", lost(&error)),
        };
        self.wire.send(&[words]).await.map_err(failed)?;
        self.wire.read().await.map(Answer::from).map_err(failed)
    }
}

async fn in_time<T>(at: &str, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(result) => result,
        Err(_) => Err(format!("the sentinel at {at} does not answer")),
    }
}

fn broken_tls(at: &str, error: &io::Error) -> String {
    let why = tls_trouble(error).unwrap_or_else(|| error.to_string());
    format!("no TLS with the sentinel at {at}: {why}")
}

/// Over TLS a refusal of our certificate only shows when something is read.
fn lost(error: &io::Error) -> String {
    tls_trouble(error).unwrap_or_else(|| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_leave_out_the_usual_port() {
        for (typed, meant) in [
            ("10.0.0.1", "10.0.0.1:26379"),
            ("10.0.0.1:5000", "10.0.0.1:5000"),
            ("::1", "[::1]:26379"),
            ("[::1]:5000", "[::1]:5000"),
            ("db-1", "db-1:26379"),
        ] {
            assert_eq!(with_port(typed), meant);
        }
    }

    #[test]
    fn a_configuration_says_where_its_sentinel_answers() {
        let mut settings = Settings { port: 5000, ..Settings::default() };
        for (bind, at) in [
            ("", "127.0.0.1:5000"),
            ("* -::*", "127.0.0.1:5000"),
            ("10.0.0.1 127.0.0.1", "127.0.0.1:5000"),
            ("10.0.0.1 -::1", "10.0.0.1:5000"),
            ("::1", "[::1]:5000"),
        ] {
            settings.bind = bind.split_whitespace().map(str::to_owned).collect();
            assert_eq!(Reach::configured(&settings).at, at, "{bind}");
        }
        settings.bind.clear();
        (settings.port, settings.tls.port, settings.dir) = (0, 5001, Some("/etc/redis".into()));
        settings.tls.ca_cert_file = Some("ca.pem".into());
        settings.tls.cert_file = Some("/own/cert.pem".into());
        let reach = Reach::configured(&settings);
        assert_eq!(reach.at, "127.0.0.1:5001");
        let tls = reach.tls.expect("nothing else is served");
        assert_eq!(tls.ca_cert_file.as_deref(), Some("/etc/redis/ca.pem".as_ref()));
        assert_eq!(tls.cert_file.as_deref(), Some("/own/cert.pem".as_ref()));
    }
}
