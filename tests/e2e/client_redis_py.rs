//! redis-py, as it comes from its authors.

use super::client_journey::{Application, two_failovers_and_a_return};
use crate::{PATIENCE, ours};
use consentinel_lab::{Cluster, Dialogue, Extra, Program, Setup, cached};
use std::collections::BTreeSet;
use std::time::Duration;

const SECRET: &str = "a-word-for-sentinels";

struct RedisPy(Dialogue);

impl RedisPy {
    fn start(cluster: &Cluster, protocol: &str) -> RedisPy {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/redis_py.py");
        let ports: Vec<_> = cluster.sentinels.iter().map(|sentinel| sentinel.port.to_string()).collect();
        let secret = cluster.sentinels[0].extra.password.clone().unwrap_or_default();
        RedisPy(Dialogue::start(&cached("venv/bin/python"), &[script, &ports.join(","), &secret, protocol]))
    }

    fn ask(&mut self, line: &str) -> String {
        self.0.ask(line, PATIENCE)
    }
}

impl Application for RedisPy {
    fn master(&mut self) -> Option<u16> {
        self.ask("master").parse().ok()
    }

    fn replicas(&mut self) -> BTreeSet<u16> {
        self.ask("replicas").split(',').filter_map(|port| port.parse().ok()).collect()
    }

    fn write(&mut self, key: &str, value: &str) -> bool {
        self.ask(&format!("write {key} {value}")) == "True"
    }

    fn read(&mut self, key: &str) -> Option<String> {
        Some(self.ask(&format!("read {key}")))
    }
}

#[test]
fn redis_py_finds_its_way() {
    all_is_well_for_redis_py(&Setup::new(vec![ours(); 3]), "3");
}

#[test]
fn redis_py_finds_its_way_with_passwords() {
    all_is_well_for_redis_py(&with_passwords(ours()), "2");
}

#[test]
fn redis_py_finds_its_way_with_passwords_among_originals() {
    let mut setup = with_passwords(Program::Original);
    // Originals take a replica that was silent for a moment for down, and promote nobody for a long time then.
    setup.down_after = Duration::from_secs(4);
    all_is_well_for_redis_py(&setup, "2");
}

fn with_passwords(program: Program) -> Setup {
    Setup::new(vec![program; 3]).with(&Extra::default().password(SECRET))
}

fn all_is_well_for_redis_py(setup: &Setup, protocol: &str) {
    let begin = |cluster: &Cluster| RedisPy::start(cluster, protocol);
    let (cluster, mut application) = two_failovers_and_a_return(setup, begin);
    assert_eq!(application.ask("known"), "2 2 2 quorum 2");
    consentinel_lab::eventually("every sentinel has its quorum", PATIENCE, || {
        (application.ask("quorum") == "3").then_some(())
    });
    drop(cluster);
}
