//! Asking a running daemon what should be published.

use crate::cli::ask::{Answer, Connection, Reach};
use std::collections::BTreeMap;

/// What a daemon says of a master: fields, and lists of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// `state`, `error`, `lock`, ...
    pub fields: BTreeMap<String, String>,
    /// What should be published.
    pub desired: Vec<BTreeMap<String, String>>,
}

/// Asks for one master.
pub(super) async fn ask(reach: &Reach, master: &str) -> Result<Told, String> {
    let at = &reach.at;
    let mut connection = Connection::open(reach).await?;
    match connection.ask(&["SENTINEL", "CONSUL", master]).await? {
        Answer::Refused(text) => Err(format!("the sentinel at {at}: {text}")),
        answer => understood(&answer).ok_or_else(|| format!("what answers at {at} is no consentinel")),
    }
}

fn understood(answer: &Answer) -> Option<Told> {
    let mut told = Told::default();
    for (field, value) in answer.pairs()? {
        match value {
            Answer::List(items) if field == "desired" => {
                told.desired = items.iter().map(texts).collect::<Option<_>>()?;
            }
            Answer::List(_) => {}
            value => drop(told.fields.insert(field, value.text()?)),
        }
    }
    told.fields.contains_key("state").then_some(told)
}

fn texts(answer: &Answer) -> Option<BTreeMap<String, String>> {
    answer.pairs()?.into_iter().map(|(field, value)| Some((field, value.text()?))).collect()
}
