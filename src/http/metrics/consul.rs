//! The metrics of publishing, and of how Consul takes it.

use super::text::Text;
use crate::registrar::Counted;
use crate::status::{Entry, Master, Publication};
use consentinel_core::{PublicationState, RegistryFault};

/// Consul as a whole.
pub(super) fn write(text: &mut Text, counted: &Counted) {
    text.gauge("consentinel_consul_up", "Whether Consul could be asked the last time.")
        .put(&[], counted.trouble.is_none());
    text.counter("consentinel_consul_requests_total", "Requests to Consul.").put(&[], counted.requests);
    let mut failures =
        text.counter("consentinel_consul_request_failures_total", "Those of them that failed.");
    for (fault, count) in RegistryFault::ALL.iter().zip(counted.failures) {
        failures.put(&[("fault", fault.as_str())], count);
    }
    text.histogram(
        "consentinel_consul_request_duration_seconds",
        "How long Consul took to answer; requests that wait for changes do not count.",
    )
    .put_counts(&[], &counted.latencies);
    text.counter("consentinel_consul_sent_bytes_total", "Bytes of requests.").put(&[], counted.sent);
    text.counter("consentinel_consul_received_bytes_total", "Bytes of answers.").put(&[], counted.received);
}

/// How the publishing of each master stands.
pub(super) fn write_publications(text: &mut Text, masters: &[Master]) {
    let published = |master: &Master| Some((master.name.clone(), master.publication.clone()?));
    let all: Vec<(String, Publication)> = masters.iter().filter_map(published).collect();
    let mut states = text
        .gauge("consentinel_publication_state", "How the publishing stands: 1 at the state that it is in.");
    for (name, publication) in &all {
        for state in PublicationState::ALL {
            let labels = [("master", name.as_str()), ("state", state.as_str())];
            states.put(&labels, publication.state == state.into());
        }
    }
    let mut drift =
        text.gauge("consentinel_publication_drift", "Whether Consul holds something else than it should.");
    for (name, publication) in &all {
        drift.put(&[("master", name)], drifts(publication));
    }
    let mut foreign = text.gauge(
        "consentinel_publication_foreign_entries",
        "Entries of somebody else under the same service names, which DNS answers, too.",
    );
    for (name, publication) in &all {
        foreign.put(&[("master", name)], publication.foreign.len());
    }
    let mut writes = text.counter(
        "consentinel_publication_writes_total",
        "Transactions: new records, other changes, and those that put back what somebody else had changed.",
    );
    for (name, publication) in &all {
        let Publication { claims, amendments, repairs, .. } = publication;
        // A repair is an amendment, too.
        let changes = amendments.saturating_sub(*repairs);
        for (kind, count) in [("record", *claims), ("change", changes), ("repair", *repairs)] {
            writes.put(&[("master", name), ("kind", kind)], count);
        }
    }
    let mut stale = text.counter(
        "consentinel_publication_stale_total",
        "Transactions that bounced because somebody was quicker or knows better.",
    );
    for (name, publication) in &all {
        stale.put(&[("master", name)], publication.stale);
    }
    let mut failures =
        text.counter("consentinel_publication_failures_total", "Looks and transactions that failed.");
    for (name, publication) in &all {
        failures.put(&[("master", name)], publication.failures);
    }
    let mut epochs = text.gauge("consentinel_publication_record_epoch", "The epoch of the record in Consul.");
    for (name, publication) in &all {
        if let Some(epoch) = publication.record_epoch {
            epochs.put(&[("master", name)], epoch);
        }
    }
    let mut ages = text.gauge("consentinel_publication_seen_seconds", "How long ago Consul was looked at.");
    for (name, publication) in &all {
        if let Some(millis) = publication.seen_ms {
            ages.put(&[("master", name)], millis as f64 / 1000.0);
        }
    }
}

/// Whether what is there is not what should be there. Sentences may differ: they tell times.
fn drifts(publication: &Publication) -> bool {
    let of = |entries: &[Entry]| {
        let mut all: Vec<_> = entries
            .iter()
            .map(|entry| (entry.role, entry.address.clone(), entry.health, entry.epoch))
            .collect();
        all.sort();
        all
    };
    let unknown = publication.seen_ms.is_none() || publication.desired.is_empty();
    !unknown && (of(&publication.desired) != of(&publication.published) || !publication.damaged.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_drifts_from_what_should_be_there() {
        let entry = |address: &str, sentence: &str| Entry {
            address: address.into(),
            sentence: sentence.into(),
            ..Entry::default()
        };
        let both = |desired: Vec<Entry>, published: Vec<Entry>| Publication {
            seen_ms: Some(1),
            desired,
            published,
            ..Publication::default()
        };
        assert!(!drifts(&both(vec![entry("a", "x"), entry("b", "")], vec![entry("b", ""), entry("a", "y")])));
        assert!(drifts(&both(vec![entry("a", "")], vec![entry("b", "")])));
        assert!(drifts(&both(vec![entry("a", "")], vec![])));
        assert!(!drifts(&Publication { seen_ms: None, ..both(vec![entry("a", "")], vec![]) }));
        let damaged =
            Publication { damaged: vec!["x".into()], ..both(vec![entry("a", "")], vec![entry("a", "")]) };
        assert!(drifts(&damaged));
    }
}
