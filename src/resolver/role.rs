//! What a server says to ROLE: the first word of its reply.

/// The role that a server tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldRole {
    /// It takes writes.
    Master,
    /// It follows one that does.
    Replica,
    /// It is no server for data.
    Sentinel,
}

impl ToldRole {
    /// The role of that word, as Redis and Valkey say it.
    pub fn parse(word: &str) -> Option<ToldRole> {
        match word {
            "master" => Some(ToldRole::Master),
            "slave" | "replica" => Some(ToldRole::Replica),
            "sentinel" => Some(ToldRole::Sentinel),
            _ => None,
        }
    }
}
