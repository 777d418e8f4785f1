//! What holds for any message.

use super::DnsSettings;
use super::answer::Update;
use super::counters::Counters;
use super::group_records::{Answerability, GroupRecords};
use super::query_handler::{Pulse, QueryHandler, Way};
use super::settings::WithoutMajority;
use super::wire::MOST_UDP;
use crate::clock;
use crate::registrar::{ConsulSettings, Names};
use consentinel_core::{DnsView, Endpoint, Entry, Epoch, GroupName, Health, Host, Role, SentinelId};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// A desk that knows masters of every kind, each by its own service: `redis-<name>`.
fn handler() -> QueryHandler {
    let (pulse, counters) = (Arc::new(Pulse::default()), Arc::new(Counters::default()));
    pulse.beat(clock::now());
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    let settings = ConsulSettings { service_template: "redis-{master}".into(), ..ConsulSettings::default() };
    for (group, host, servers) in [
        ("four", "10.0.0.1", 3),
        ("six", "2001:db8::1", 2),
        ("name", "db-1.example", 2),
        ("many", "10.0.0.1", 90),
    ] {
        let names = Names::new(&GroupName::new(group), &settings).expect("good names");
        let host = Host::parse(host).expect("a host");
        let entry = |number: u16| Entry {
            role: if number == 0 { Role::Master } else { Role::Replica },
            addr: Endpoint::new(host.clone(), 6379 + number),
            run_id: None,
            epoch: Epoch(1),
            health: Health::Passing,
            cause: None,
            sentence: String::new(),
        };
        let entries: Vec<Entry> = (0..servers).map(entry).collect();
        let sentinels = vec![(SentinelId::new(group), entries[0].addr.clone())];
        let view =
            DnsView { epoch: Epoch(1), entries, vouched: true, heard: (2, 2), majority: true, sentinels };
        let group_records = GroupRecords::new(Arc::new(names), view, None, WithoutMajority::Silent);
        let group_records = if group == "name" {
            GroupRecords { answerability: Answerability::Stale("old".into()), ..group_records }
        } else {
            group_records
        };
        tell.send(Update::Group(Arc::new(group_records))).expect("it is listened to");
    }
    QueryHandler::new(&DnsSettings::default(), told, pulse, counters)
}

/// A message of anybody's.
pub(crate) fn answer(bytes: &[u8]) {
    let mut handler = handler();
    for way in [Way::Udp(Ipv4Addr::LOCALHOST.into()), Way::Tcp] {
        let Some(answer) = handler.answer(bytes, way, Some(IpAddr::V4(Ipv4Addr::LOCALHOST))) else {
            assert!(bytes.len() < 12 || bytes[2] & 0x80 != 0, "only noise is not answered");
            continue;
        };
        assert_eq!(answer[..2], bytes[..2], "the question's number");
        assert!(answer[2] & 0x80 != 0, "it is an answer");
        assert_eq!(answer[3] & 0x80, 0, "we do not ask others");
        if matches!(way, Way::Udp(_)) {
            assert!(answer.len() <= usize::from(MOST_UDP), "{} bytes", answer.len());
        }
        // Whoever asks something well formed gets it back as it was written.
        if let (true, Some(end)) = (answer[5] == 1, question_end(bytes)) {
            assert_eq!(answer.get(12..end), bytes.get(12..end));
        }
    }
}

/// Where the question ends, when its name is written out.
fn question_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 12;
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 5),
            length @ 1..64 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
}
