//! Open files: enough for the servers, the peers and the state, whatever clients do.

use crate::config::Settings;
use consentinel_core::DurableGroup;
use rustix::process::{Resource, getrlimit, setrlimit};
use tracing::warn;

/// The listening sockets, the log, a file that is being saved, scripts and lookups.
const OWN: usize = 32;
/// Servers and sentinels that a group may yet come to have.
const TO_COME: usize = 2;

/// Every server takes two connections: the system's default of 1024 files is soon not enough.
pub(crate) fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Not allowed: then what is allowed must do.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Where files are few, clients are let in only as long as what keeps the groups alive has enough: a sentinel that cannot
/// open its state can neither vote nor lead. `others` is what is needed besides.
pub(crate) fn fit_clients<'a>(
    settings: &mut Settings,
    groups: impl Iterator<Item = &'a DurableGroup>,
    others: usize,
) {
    let Some(limit) = getrlimit(Resource::Nofile).current else { return };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let most = clients(limit, OWN + others + groups.map(links).sum::<usize>());
    if most < settings.maxclients {
        // The original's words.
        warn!(
            "Current maximum open files is {limit}. maxclients has been reduced to {most} to compensate for low ulimit. \
             If you need higher maxclients increase 'ulimit -n'."
        );
        settings.maxclients = most;
    }
}

/// How many clients there is room for beside what is needed; some must be let in all the same, or nobody could ask.
fn clients(limit: usize, needed: usize) -> usize {
    limit.saturating_sub(needed).max(limit / 4).max(1)
}

/// The connections of a group: two for each server, one for each peer, which other groups may share.
fn links(group: &DurableGroup) -> usize {
    2 * (1 + group.replicas.len() + TO_COME) + group.sentinels.len() + TO_COME
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_is_left_but_never_nothing() {
        assert_eq!(clients(20_000, 50), 19_950);
        assert_eq!(clients(256, 50), 206);
        assert_eq!(clients(256, 250), 64);
        assert_eq!(clients(1, 50), 1);
    }
}
