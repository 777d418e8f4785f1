//! The metrics of DNS, where it is answered.

use super::text::Text;
use crate::dns::Counted;

/// What was asked and answered.
pub(super) fn write(text: &mut Text, counted: &Counted) {
    let mut asked = text.counter("consentinel_dns_queries_total", "Messages to the DNS port.");
    for (transport, count) in [("udp", counted.udp), ("tcp", counted.tcp)] {
        asked.put(&[("transport", transport)], count);
    }
    let mut answers = text.counter("consentinel_dns_responses_total", "Answers, by their code.");
    let codes = [
        ("NOERROR", counted.good),
        ("NXDOMAIN", counted.no_such_name),
        ("SERVFAIL", counted.failed),
        ("REFUSED", counted.refused),
        ("malformed", counted.malformed),
    ];
    for (code, count) in codes {
        answers.put(&[("rcode", code)], count);
    }
    let all = [
        ("consentinel_dns_unanswered_total", "Messages too short to be answered, or answers.", counted.noise),
        ("consentinel_dns_truncated_total", "Answers that did not fit, and say so.", counted.truncated),
        ("consentinel_dns_rate_limited_total", "Answers that the limit of the rate held back.", counted.held),
        ("consentinel_dns_tcp_connections_total", "Connections over TCP.", counted.connections),
        (
            "consentinel_dns_tcp_connections_refused_total",
            "Those that were closed because there were too many.",
            counted.crowded_out,
        ),
    ];
    for (name, help, count) in all {
        text.counter(name, help).put(&[], count);
    }
}
