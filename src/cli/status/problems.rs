//! What is wrong, by what was found out: each sentence is a reason for the exit status 2.

use super::gather::Gathered;
use crate::status::{
    ConsulState, Entry, Health, Master, Picture, Publication, PublicationState, Server, StateKind, span_words,
};
use std::time::Duration;

/// Everything that is wrong.
pub(super) fn find(gathered: &Gathered) -> Vec<String> {
    let mut problems = Vec::new();
    of_daemon(&gathered.picture, &mut problems);
    let trouble = gathered.picture.consul.as_ref().and_then(|consul| consul.trouble.as_deref());
    for master in &gathered.picture.masters {
        of_master(master, trouble, &mut problems);
        of_others(gathered, master, &mut problems);
    }
    problems
}

fn of_daemon(picture: &Picture, problems: &mut Vec<String>) {
    if let Some(error) = &picture.storage_error {
        problems.push(format!("this sentinel cannot save its state, so it neither votes nor leads: {error}"));
    }
    if let Some(span) = picture.tilt_ms {
        let span = span_words(Duration::from_millis(span));
        problems.push(format!("this sentinel has distrusted the clock for {span} (TILT), and does nothing"));
    }
    if let Some(consul) = &picture.consul
        && consul.state != ConsulState::Ok
    {
        let why = || format!("Consul at {}: {}", consul.address, consul.state);
        problems.push(consul.trouble.clone().unwrap_or_else(why));
    }
}

fn of_master(master: &Master, trouble: Option<&str>, problems: &mut Vec<String>) {
    let name = &master.name;
    let server = &master.server;
    // Without a link it may be a moment, or a master that was never there.
    if master.odown_ms.is_some() || server.sdown_ms.is_some() || !server.linked {
        problems.push(format!("{name}: the master {}{}", server.address, predicate(server)));
    }
    let Master { usable_sentinels: usable, all_sentinels: all, quorum, .. } = master;
    if !master.quorum_reachable {
        problems.push(format!(
            "{name}: {usable} of {all} sentinels answer, and {quorum} must agree (the quorum)"
        ));
    }
    if !master.majority_reachable {
        problems
            .push(format!("{name}: {usable} of {all} sentinels answer, which is no majority: no failover"));
    }
    for replica in master.replicas.iter().filter(|replica| replica.health == Health::Critical) {
        problems.push(format!("{name}: the replica {}{}", replica.address, predicate(replica)));
    }
    for sentinel in &master.sentinels {
        if let Some(span) = sentinel.sdown_ms {
            let span = span_words(Duration::from_millis(span));
            problems.push(format!("{name}: the sentinel {} has been down for {span}", sentinel.address));
        }
    }
    if let Some(publication) = &master.publication {
        of_publication(name, publication, trouble, problems);
    }
}

/// States are written to stand alone: `down for 3 s`, `does not answer`.
fn predicate(server: &Server) -> String {
    let state = &server.state;
    match server.state_kind {
        Some(StateKind::Down | StateKind::Silent) => format!(" is {state}"),
        Some(StateKind::Linked | StateKind::Other) => format!(" {state}"),
        // A daemon of another release does not tell what the sentence says.
        Some(StateKind::Unsaid) | None => format!(": {state}"),
    }
}

fn of_publication(name: &str, publication: &Publication, trouble: Option<&str>, problems: &mut Vec<String>) {
    for foreign in &publication.foreign {
        problems.push(format!(
            "{name}: DNS answers {foreign}, too: consentinel consul deregister --foreign {name} takes it away"
        ));
    }
    if publication.error.is_some() && publication.error.as_deref() == trouble {
        // Consul as a whole cannot be asked, which is said already.
        return;
    }
    if publication.state != PublicationState::Published {
        let why = publication.error.clone().unwrap_or_else(|| meaning(publication.state).to_owned());
        problems.push(format!("{name}: Consul is {}: {why}", publication.state));
        return;
    }
    for difference in differences(publication) {
        let Difference { entry, kind } = difference;
        let Entry { role, address, .. } = entry;
        match kind {
            Kind::Missing => problems.push(format!("{name}: Consul lacks the {role} {address}")),
            Kind::Surplus => {
                problems.push(format!("{name}: Consul has a {role} {address} that should not be there"))
            }
            // How well a server is may be seen differently by whoever writes it.
            Kind::Same | Kind::Other(_) => {}
        }
    }
    for damaged in &publication.damaged {
        problems.push(format!("{name}: somebody has altered {damaged} in Consul"));
    }
}

fn meaning(state: PublicationState) -> &'static str {
    match state {
        PublicationState::Unseen => "it was not looked at yet",
        PublicationState::Behind => {
            "the record there is missing or older, and will be replaced as soon as the master answers"
        }
        PublicationState::Fenced => "the record there is of a newer epoch than this sentinel knows",
        PublicationState::Contradicted => "the record there names another master of the same epoch",
        PublicationState::Taken => {
            "another fleet of sentinels publishes under the same names, so nothing is published here; give this fleet others: \
             sentinel consul kv-prefix <prefix>, and sentinel consul service-template <name>"
        }
        PublicationState::Published | PublicationState::Unsaid => "nothing more is known",
    }
}

/// How an entry of Consul stands between what is and what should be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Difference {
    pub entry: Entry,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// It is as it should be.
    Same,
    /// It should be there, and is not.
    Missing,
    /// It is there, and should not be.
    Surplus,
    /// It is there, and should be this.
    Other(Entry),
}

/// What is beside what should be, what should be first.
pub(super) fn differences(publication: &Publication) -> Vec<Difference> {
    let same_place = |a: &Entry, b: &Entry| (&a.role, &a.address) == (&b.role, &b.address);
    let mut rest: Vec<&Entry> = publication.published.iter().collect();
    let mut found = Vec::new();
    for desired in &publication.desired {
        let there = rest.iter().position(|entry| same_place(entry, desired)).map(|at| rest.remove(at));
        found.push(match there {
            Some(entry) if entry == desired => Difference { entry: entry.clone(), kind: Kind::Same },
            Some(entry) => Difference { entry: entry.clone(), kind: Kind::Other(desired.clone()) },
            None => Difference { entry: desired.clone(), kind: Kind::Missing },
        });
    }
    found.extend(rest.into_iter().map(|entry| Difference { entry: entry.clone(), kind: Kind::Surplus }));
    found
}

/// Sentinels that see it otherwise than the one that was asked.
fn of_others(gathered: &Gathered, master: &Master, problems: &mut Vec<String>) {
    for other in &gathered.others {
        let Some(picture) = &other.picture else { continue };
        let Some(theirs) = picture.masters.iter().find(|theirs| theirs.name == master.name) else { continue };
        let (name, at) = (&master.name, &other.address);
        if theirs.address != master.address && theirs.epoch >= master.epoch {
            let (address, epoch) = (&theirs.address, theirs.epoch);
            problems.push(format!("{name}: for the sentinel {at} the master is {address}, by epoch {epoch}"));
        } else if theirs.epoch < master.epoch {
            let epoch = theirs.epoch;
            problems
                .push(format!("{name}: the sentinel {at} only knows epoch {epoch}, not {}", master.epoch));
        }
        let theirs_down = theirs.server.sdown_ms.is_some() || theirs.odown_ms.is_some();
        let ours_down = master.server.sdown_ms.is_some() || master.odown_ms.is_some();
        if theirs_down && !ours_down && theirs.address == master.address {
            problems.push(format!("{name}: for the sentinel {at} the master is down"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> String {
        predicate(&serde_json::from_str(json).expect("it is read"))
    }

    #[test]
    fn a_sentence_on_a_state_is_fitted_by_its_kind_and_stands_alone_where_none_is_told() {
        assert_eq!(read(r#"{"state": "down for 3 s", "state_kind": "down"}"#), " is down for 3 s");
        assert_eq!(read(r#"{"state": "does not answer", "state_kind": "other"}"#), " does not answer");
        assert_eq!(read(r#"{"state": "down for 3 s"}"#), ": down for 3 s", "an earlier release");
        assert_eq!(read(r#"{"state": "asleep", "state_kind": "asleep"}"#), ": asleep", "a later one");
    }
}
