//! What went wrong, in words that say what to do.

use super::client::{Answer, Trouble, shortened};
use consentinel_core::{RegistryError, RegistryFault};
use std::fmt;

/// A rule that a token needs; it is written as it belongs into a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    /// For what: `key_prefix`, `node`, `service`, ...
    pub kind: &'static str,
    /// For which.
    pub name: String,
    /// `read` or `write`.
    pub policy: &'static str,
}

impl Rule {
    /// To write something.
    pub(crate) fn write(kind: &'static str, name: impl Into<String>) -> Rule {
        Rule { kind, name: name.into(), policy: "write" }
    }

    /// To read something.
    pub(crate) fn read(kind: &'static str, name: impl Into<String>) -> Rule {
        Rule { kind, name: name.into(), policy: "read" }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rule { kind, name, policy } = self;
        write!(f, "{kind} \"{name}\" {{ policy = \"{policy}\" }}")
    }
}

/// Rules without repetition as a policy: a line each.
pub(crate) fn rules_as_policy(rules: &[Rule]) -> String {
    let mut rules: Vec<String> = rules.iter().map(|rule| format!("{rule}\n")).collect();
    rules.sort();
    rules.dedup();
    rules.concat()
}

/// Rules without repetition, one after the other.
fn rules(rules: &[Rule]) -> String {
    rules_as_policy(rules).trim_end().replace('\n', " ")
}

fn error(kind: RegistryFault, text: String) -> RegistryError {
    RegistryError { kind, text }
}

/// Nothing usable came back from the agent at this address.
pub(super) fn of_trouble(address: &str, trouble: &Trouble) -> RegistryError {
    match trouble {
        Trouble::Unreachable(why) => error(
            RegistryFault::Unreachable,
            format!(
                "Consul at {address} cannot be reached ({why}): is its agent running, and the address right?"
            ),
        ),
        Trouble::Silent => error(
            RegistryFault::Silent,
            format!(
                "Consul at {address} does not answer in time: is its agent overloaded or cut off from its servers?"
            ),
        ),
        Trouble::Cut(why) => error(
            RegistryFault::Unreachable,
            format!(
                "Consul at {address} has closed a connection without an answer ({why}): is it restarting?"
            ),
        ),
        Trouble::Malformed(why) => error(
            RegistryFault::Nonsense,
            format!("what answers at {address} is not Consul as we know it ({why}): is the address right?"),
        ),
    }
}

/// Connection after connection is taken and closed: so an agent does to clients with too many of them.
pub(super) fn of_cuts(address: &str) -> RegistryError {
    limited(address, "it closes our connections without an answer")
}

fn limited(address: &str, how: &str) -> RegistryError {
    let text = format!(
        "Consul at {address} limits us ({how}): raise limits.http_max_conns_per_client in the configuration of its agent \
         (200 connections for one address otherwise), or its request limits"
    );
    error(RegistryFault::Limited, text)
}

/// A right is missing, or several.
pub(super) fn denied(address: &str, missing: &[Rule], said: &str) -> RegistryError {
    let said = shortened(said);
    let text = match missing.is_empty() {
        true => format!("Consul at {address} does not accept the token ({said}): check the token"),
        false => format!("Consul at {address} denies it ({said}): the token needs {}", rules(missing)),
    };
    error(RegistryFault::Denied, text)
}

/// Something that cannot be understood.
pub(super) fn nonsense(address: &str, what: &str) -> RegistryError {
    error(RegistryFault::Nonsense, format!("Consul at {address}: {}", shortened(what)))
}

/// An answer that is no success. `needs` is what a token must have for what was asked.
pub(super) fn of_answer(address: &str, answer: &Answer, needs: &[Rule]) -> RegistryError {
    let said = String::from_utf8_lossy(&answer.body);
    match answer.status {
        // Consul says this of a token that it does not know; everything else with this status is a missing right.
        403 if said.contains("ACL not found") => denied(address, &[], &said),
        401 | 403 => denied(address, needs, &said),
        413 => nonsense(
            address,
            "what was sent is too large for it: raise limits.txn_max_req_len in its configuration",
        ),
        429 | 503 if !is_leaderless(&said) || is_limit(&said) => limited(address, &shortened(&said)),
        500.. if is_limit(&said) => limited(address, &shortened(&said)),
        429 | 500.. if is_leaderless(&said) => error(
            RegistryFault::Leaderless,
            format!(
                "Consul at {address} has no leader, or cannot reach it ({}): how many of its servers are running?",
                shortened(&said)
            ),
        ),
        status => nonsense(address, &format!("it answers with status {status}: {said}")),
    }
}

/// Consul has one status for all that goes wrong inside of it; only the text tells that it has no leader, has just lost
/// it, or that its agent cannot reach one.
pub(super) fn is_leaderless(said: &str) -> bool {
    const SIGNS: [&str; 11] = [
        "No cluster leader",
        "Raft leader not found",
        "Not ready to serve consistent reads",
        "leadership",
        "not the leader",
        "No known Consul servers",
        "rpc error getting client",
        "failed to get conn",
        "connection refused",
        "EOF",
        "i/o timeout",
    ];
    SIGNS.iter().any(|sign| said.contains(sign))
}

/// Since 1.16 requests have limits, too; where the leader refuses, the text mentions it all the same.
fn is_limit(said: &str) -> bool {
    said.contains("rate limit") || said.contains("too many")
}

/// Since 1.21.5 a key may not have `..` in it; since 1.22 this is so for a whole segment only.
pub(super) fn is_bad_key(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    said.contains("key") && (said.contains("must not contain") || said.contains("invalid"))
}

/// Whether that is a release that refuses every key with `..` in it.
pub(super) fn refuses_dots(version: &str) -> bool {
    let mut parts = version.split(['.', '-', '+']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = [(); 3].map(|()| parts.next().unwrap_or(0));
    ([1, 21, 5]..[1, 22, 0]).contains(&version)
}

/// Operations of a transaction that were not permitted have the same status as those that did not apply; only the
/// text tells.
pub(super) fn is_denied(said: &str) -> bool {
    said.contains("Permission denied") || said.contains("ACL not found")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(status: u16, body: &str) -> RegistryFault {
        let answer = Answer { status, index: None, body: body.into() };
        of_answer("x", &answer, &[Rule::write("key_prefix", "consentinel/")]).kind
    }

    #[test]
    fn every_bad_answer_has_its_kind() {
        assert_eq!(fault(403, "Permission denied"), RegistryFault::Denied);
        assert_eq!(fault(403, "ACL not found"), RegistryFault::Denied);
        assert_eq!(fault(500, "No cluster leader"), RegistryFault::Leaderless);
        assert_eq!(fault(429, "No cluster leader"), RegistryFault::Leaderless);
        assert_eq!(fault(500, "rpc error making call: No cluster leader"), RegistryFault::Leaderless);
        assert_eq!(fault(500, "leadership lost while committing log"), RegistryFault::Leaderless);
        let dead = "rpc error getting client: failed to get conn: dial tcp: connect: connection refused";
        assert_eq!(fault(500, dead), RegistryFault::Leaderless);
        for newer in ["Raft leader not found in server lookup mapping", "Not ready to serve consistent reads"]
        {
            assert_eq!(fault(500, newer), RegistryFault::Leaderless);
            assert_eq!(fault(500, &format!("rpc error making call: {newer}")), RegistryFault::Leaderless);
        }
        let limits = [
            "Your IP is issuing too many concurrent connections, please rate limit your calls",
            "rate limit exceeded, try again later or against a different server",
            "rate limit exceeded for operation that can only be performed by the leader, try again later",
        ];
        assert_eq!(fault(429, limits[0]), RegistryFault::Limited);
        assert_eq!(fault(429, limits[1]), RegistryFault::Limited);
        assert_eq!(fault(503, limits[2]), RegistryFault::Limited);
        assert_eq!(fault(500, &format!("rpc error making call: {}", limits[2])), RegistryFault::Limited);
        assert_eq!(fault(413, ""), RegistryFault::Nonsense);
        assert_eq!(fault(500, "boom"), RegistryFault::Nonsense);
        assert_eq!(fault(302, ""), RegistryFault::Nonsense);
    }

    #[test]
    fn releases_that_refuse_two_dots_are_known() {
        for (version, refuses) in
            [("1.8.7", false), ("1.21.4", false), ("1.21.5", true), ("1.21.6+ent", true)]
        {
            assert_eq!(refuses_dots(version), refuses, "{version}");
        }
        assert!(!refuses_dots("1.22.0") && !refuses_dots("2.1.0-dev") && !refuses_dots("nonsense"));
        assert!(is_bad_key("Invalid key. Key must not contain \"..\"") && !is_bad_key("Permission denied"));
    }

    #[test]
    fn a_missing_right_is_told_as_it_is_written_into_a_policy() {
        let needs = [Rule::write("node", "consentinel-a"), Rule::write("key_prefix", "consentinel/a/")];
        let text = denied("x", &needs, "Permission denied").text;
        let policy =
            r#"key_prefix "consentinel/a/" { policy = "write" } node "consentinel-a" { policy = "write" }"#;
        assert!(text.ends_with(policy), "{text}");
    }

    #[test]
    fn a_long_answer_is_cut() {
        let answer = Answer { status: 500, index: None, body: vec![b'x'; 1 << 20] };
        let text = of_answer("x", &answer, &[]).text;
        assert!(text.len() < 500, "{}", text.len());
    }
}
