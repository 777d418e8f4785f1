//! Whether this sentinel can do its work, and why not.

use crate::status::{Picture, PublicationState};

/// More masters than these are counted, not named.
const NAMED: usize = 5;

/// Why it is not ready. Nothing when it is.
pub(super) fn troubles(picture: &Picture) -> Vec<String> {
    let mut troubles = Vec::new();
    if let Some(error) = &picture.storage_error {
        troubles.push(format!("its state cannot be written, so it neither votes nor leads: {error}"));
    }
    if picture.tilt_ms.is_some() {
        troubles.push("it distrusts its clock (TILT): it watches, and does not act".to_owned());
    }
    let names = |fits: &dyn Fn(&&crate::status::Master) -> bool| -> Option<String> {
        let found: Vec<&str> =
            picture.masters.iter().filter(fits).map(|master| master.name.as_str()).collect();
        let more = found.len().saturating_sub(NAMED);
        let named = found[..found.len() - more].join(", ");
        match more {
            _ if found.is_empty() => None,
            0 => Some(named),
            more => Some(format!("{named} and {more} more")),
        }
    };
    if let Some(names) = names(&|master| master.server.role.is_none()) {
        troubles.push(format!("never seen since the start: {names}"));
    }
    let has_strangers = |master: &&crate::status::Master| {
        master.publication.as_ref().is_some_and(|publication| !publication.foreign.is_empty())
    };
    let is_taken = |master: &&crate::status::Master| {
        master.publication.as_ref().is_some_and(|publication| publication.state == PublicationState::Taken)
    };
    if let Some(names) = names(&is_taken) {
        troubles.push(format!("another fleet publishes in Consul under the same names: {names}"));
    }
    if let Some(names) = names(&has_strangers) {
        troubles.push(format!("DNS answers entries of somebody else under the same name: {names}"));
    }
    // An observer needs nobody.
    if let Some(names) = names(&|master| !master.majority_reachable && !picture.observes) {
        troubles.push(format!("no majority of the sentinels is heard, no failover is possible: {names}"));
    }
    troubles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Master, Publication, Server};

    fn master(name: &str) -> Master {
        let server = Server { role: Some("master".into()), ..Server::default() };
        Master { name: name.into(), majority_reachable: true, server, ..Master::default() }
    }

    #[test]
    fn each_trouble_has_its_sentence() {
        let mut picture = Picture { masters: vec![master("a"), master("b")], ..Picture::default() };
        assert!(troubles(&picture).is_empty());
        picture.storage_error = Some("disk full".into());
        picture.tilt_ms = Some(1);
        picture.masters[0].server.role = None;
        picture.masters[1].majority_reachable = false;
        let foreign = vec!["service redis on node other".into()];
        picture.masters[0].publication = Some(Publication { foreign, ..Publication::default() });
        let told = troubles(&picture).join("\n");
        for part in [
            "disk full",
            "TILT",
            "never seen since the start: a",
            "no failover is possible: b",
            "same name: a",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        picture.observes = true;
        assert!(!troubles(&picture).join("\n").contains("majority"));
    }

    #[test]
    fn many_masters_are_counted() {
        let masters =
            (0..1000).map(|number| Master { majority_reachable: false, ..master(&format!("m{number}")) });
        let picture = Picture { masters: masters.collect(), ..Picture::default() };
        assert!(troubles(&picture)[0].ends_with("m0, m1, m2, m3, m4 and 995 more"));
    }
}
