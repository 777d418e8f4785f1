//! Asking: one sentinel for all that it knows, and the others for what they see.

use super::original;
use crate::cli::ask::{Answer, Connection, Reach};
use crate::status::{Failover, Picture};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long the other sentinels may take: they are only asked what they see.
const SHORT: Duration = Duration::from_millis(1500);

/// More of them than this are not asked.
const MOST_OTHERS: usize = 32;

/// All that was found out.
#[derive(Debug, Serialize)]
pub(super) struct Gathered {
    /// Whom we asked.
    pub at: String,
    /// `consentinel` or `redis-sentinel`.
    pub kind: Kind,
    /// What it knows.
    pub picture: Picture,
    /// The failovers that it remembers.
    pub history: Vec<Failover>,
    /// The other sentinels.
    pub others: Vec<Other>,
    /// What is wrong, in sentences.
    pub problems: Vec<String>,
}

/// What kind of sentinel it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Consentinel,
    RedisSentinel,
}

/// Another sentinel, by what it says itself.
#[derive(Debug, Serialize)]
pub(super) struct Other {
    pub id: String,
    pub address: String,
    /// What it sees; nothing when it cannot be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture: Option<Picture>,
    /// Why it cannot be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What one sentinel says.
pub(super) struct Seen {
    pub kind: Kind,
    pub picture: Picture,
}

/// Asks a sentinel and, through what it says, the others.
pub(super) async fn gather(reach: &Reach, masters: &[String]) -> Result<Gathered, String> {
    let mut connection = Connection::open(reach).await?;
    let Seen { kind, picture } = look(&mut connection, masters).await?;
    for name in masters {
        if !picture.masters.iter().any(|master| master.name == *name) {
            return Err(format!("the sentinel at {} watches no master '{name}'", reach.at));
        }
    }
    let history = match kind {
        Kind::RedisSentinel => Vec::new(),
        Kind::Consentinel => history(&mut connection).await?,
    };
    let wanted = |failover: &Failover| masters.is_empty() || masters.contains(&failover.master);
    let history = history.into_iter().filter(wanted).collect();
    let others = ask_others(reach, &picture, masters).await;
    let at = reach.at.clone();
    let mut gathered = Gathered { at, kind, picture, history, others, problems: Vec::new() };
    gathered.problems = super::problems::find(&gathered);
    Ok(gathered)
}

/// The state of some masters, or of all.
async fn look(connection: &mut Connection, masters: &[String]) -> Result<Seen, String> {
    let words: Vec<&str> =
        ["SENTINEL", "STATUS"].into_iter().chain(masters.iter().map(String::as_str)).collect();
    let mut answer = connection.ask(&words).await?;
    if matches!(&answer, Answer::Refused(text) if text.contains("No such master")) {
        answer = connection.ask(&["SENTINEL", "STATUS"]).await?;
    }
    match answer {
        Answer::Text(text) => {
            let mut picture: Picture =
                serde_json::from_str(&text).map_err(|error| format!("its status cannot be read: {error}"))?;
            picture.masters.retain(|master| masters.is_empty() || masters.contains(&master.name));
            Ok(Seen { kind: Kind::Consentinel, picture })
        }
        // The original does not know the command, in the words of its version.
        Answer::Refused(text) if text.to_lowercase().contains("unknown") => {
            original::look(connection, masters).await
        }
        Answer::Refused(text) => Err(text),
        _ => Err("what answers is no sentinel".to_owned()),
    }
}

async fn history(connection: &mut Connection) -> Result<Vec<Failover>, String> {
    match connection.ask(&["SENTINEL", "HISTORY"]).await? {
        Answer::Text(text) => {
            serde_json::from_str(&text).map_err(|error| format!("its history cannot be read: {error}"))
        }
        Answer::Refused(text) => Err(text),
        _ => Err("its history cannot be read".to_owned()),
    }
}

/// Asks all others that are known, at the same time.
async fn ask_others(reach: &Reach, picture: &Picture, masters: &[String]) -> Vec<Other> {
    let sentinels = picture.masters.iter().flat_map(|master| &master.sentinels);
    let known: BTreeMap<&str, &str> =
        sentinels.map(|sentinel| (sentinel.id.as_str(), sentinel.address.as_str())).collect();
    let mut asking = JoinSet::new();
    for (id, address) in known.into_iter().take(MOST_OTHERS) {
        let (id, address, masters) = (id.to_owned(), address.to_owned(), masters.to_vec());
        let reach = reach.to(&address);
        asking.spawn(async move {
            let conversation = async {
                let mut connection = Connection::open(&reach).await?;
                look(&mut connection, &masters).await
            };
            let told = match tokio::time::timeout(SHORT, conversation).await {
                Ok(told) => told,
                Err(_) => Err(format!("the sentinel at {address} does not answer")),
            };
            let (picture, error) = match told {
                Ok(seen) => (Some(seen.picture), None),
                Err(error) => (None, Some(error)),
            };
            Other { id, address, picture, error }
        });
    }
    let mut others = asking.join_all().await;
    others.sort_by(|a, b| (&a.address, &a.id).cmp(&(&b.address, &b.id)));
    others
}
