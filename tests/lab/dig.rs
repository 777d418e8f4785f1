//! The real dig, and what it prints.

use crate::redis::on_path;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

/// An answer as dig prints it. Records are lines with single spaces; the serial of an SOA record, which is a time, is a star.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dig {
    /// `NOERROR`, `NXDOMAIN`, `SERVFAIL` ...
    pub status: String,
    /// `qr`, `aa`, `tc` ...
    pub flags: BTreeSet<String>,
    /// What was asked for.
    pub answer: BTreeSet<String>,
    /// Who is in charge.
    pub authority: BTreeSet<String>,
    /// What comes along.
    pub additional: BTreeSet<String>,
    /// Extended DNS Errors: `22 (No Reachable Authority): (...)`.
    pub reasons: Vec<String>,
    /// All that it printed.
    pub text: String,
}

/// Asks one question; words as on dig's command line.
pub fn dig(server: SocketAddr, words: &str) -> Dig {
    dig_all(server, &[words]).pop().expect("one answer to one question")
}

/// Asks several, one after the other, with one dig.
pub fn dig_all(server: SocketAddr, questions: &[&str]) -> Vec<Dig> {
    let mut command = Command::new(on_path(&["dig"]));
    let (ip, port) = (server.ip().to_string(), server.port().to_string());
    for (number, question) in questions.iter().enumerate() {
        // What stands before the first question holds for all, and is only said there.
        if number == 0 {
            command.args(["+noall", "+comments", "+answer", "+authority", "+additional", "+nocookie"]);
            command.args(["+tries=1", "+timeout=5"]);
        }
        command.arg(format!("@{ip}")).args(["-p", &port]).args(question.split_whitespace());
    }
    let output = command.stdin(Stdio::null()).output().expect("dig runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let blocks: Vec<&str> = text.split(";; Got answer:").skip(1).collect();
    assert_eq!(blocks.len(), questions.len(), "every question of {questions:?} has an answer:\n{text}");
    blocks.into_iter().map(read).collect()
}

fn read(text: &str) -> Dig {
    let mut dig = Dig { text: text.to_owned(), ..Dig::default() };
    let mut section = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix(";; ->>HEADER<<-") {
            let status = rest.split(", ").find_map(|part| part.strip_prefix("status: "));
            dig.status = status.unwrap_or_default().to_owned();
        } else if let Some(rest) = line.strip_prefix(";; flags: ") {
            let flags = rest.split(';').next().unwrap_or_default();
            dig.flags = flags.split_whitespace().map(str::to_owned).collect();
        } else if let Some(rest) = line.strip_prefix("; EDE: ") {
            dig.reasons.push(rest.to_owned());
        } else if let Some(name) = line.strip_prefix(";; ").and_then(|rest| rest.strip_suffix(" SECTION:")) {
            name.clone_into(&mut section);
        } else if !line.starts_with(';') {
            let records = match section.as_str() {
                "ANSWER" => &mut dig.answer,
                "AUTHORITY" => &mut dig.authority,
                "ADDITIONAL" => &mut dig.additional,
                _ => continue,
            };
            records.insert(record(line));
        }
    }
    dig
}

fn record(line: &str) -> String {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    if words.get(3) == Some(&"SOA") && words.len() > 6 {
        words[6] = "*";
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dig_prints_is_taken_apart() {
        let text = "\n;; ->>HEADER<<- opcode: QUERY, status: NXDOMAIN, id: 26083\n\
            ;; flags: qr aa rd; QUERY: 1, ANSWER: 0, AUTHORITY: 1, ADDITIONAL: 1\n\
            ;; WARNING: recursion requested but not available\n\n;; OPT PSEUDOSECTION:\n\
            ; EDNS: version: 0, flags:; udp: 1232\n; EDE: 0 (Other): (a reason)\n;; AUTHORITY SECTION:\n\
            consul.\t\t0\tIN\tSOA\tns.consul. hostmaster.consul. 1795294355 3600 600 86400 0\n\n";
        let dig = read(text);
        assert_eq!(dig.status, "NXDOMAIN");
        assert!(dig.flags.contains("aa") && !dig.flags.contains("ra"));
        assert_eq!(dig.reasons, ["0 (Other): (a reason)"]);
        let soa = "consul. 0 IN SOA ns.consul. hostmaster.consul. * 3600 600 86400 0";
        assert_eq!(dig.authority, BTreeSet::from([soa.to_owned()]));
        assert!(dig.answer.is_empty() && dig.additional.is_empty());
    }
}
