//! Bytes in, bytes out, read by the crate that also writes them; `tests/e2e` asks with a reader of its own, and with dig.

use super::*;
use hickory_proto::rr::rdata::opt::EdnsCode;
use std::net::Ipv4Addr;

const NAME: &str = "ReDiS.service.CONSUL";

/// A question over the wire; with that size by EDNS, if any.
fn question(kind: RecordType, size: Option<u16>) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(wired_name(NAME).expect("a name"), kind));
    if let Some(size) = size {
        let mut edns = Edns::new();
        edns.set_max_payload(size);
        message.set_edns(edns);
    }
    message
}

fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().expect("it can be written")
}

fn ask(bytes: &[u8]) -> Ask {
    match read(bytes) {
        Heard::Ask(ask) => *ask,
        Heard::Wrong(code, _) => panic!("no question: {code:?}"),
        Heard::Noise => panic!("no question"),
    }
}

fn fault(bytes: &[u8]) -> Option<(Code, [u8; HEADER])> {
    match read(bytes) {
        Heard::Wrong(code, answer) => Some((code, answer)),
        Heard::Ask(_) => panic!("a question"),
        Heard::Noise => None,
    }
}

/// So many servers, as an answer has them.
fn servers(count: u16) -> Reply {
    let record = |port| Record {
        owner: Owner::Asked,
        ttl: 3,
        data: Data::Srv { weight: 1, port, target: "0a000001.addr.dc1.consul".into() },
    };
    let owner = Owner::Name("0a000001.addr.dc1.consul".into());
    let address = Record { owner, ttl: 3, data: Data::A(Ipv4Addr::new(10, 0, 0, 1)) };
    Reply { answers: (0..count).map(record).collect(), additional: vec![address], ..Reply::default() }
}

fn written(ask: &Ask, reply: &Reply, limit: usize) -> Message {
    let (bytes, _) = ask.write(reply, limit);
    assert!(bytes.len() <= limit, "{} of {limit}", bytes.len());
    Message::from_vec(&bytes).expect("it can be read")
}

#[test]
fn a_name_is_read_in_small_letters_and_said_back_as_it_came() {
    let asked = bytes(&question(RecordType::SRV, Some(4096)));
    let ask = ask(&asked);
    assert_eq!(
        ask.question,
        Question {
            labels: ["redis", "service", "consul"].map(str::to_owned).to_vec(),
            written: ["ReDiS", "service", "CONSUL"].map(str::to_owned).to_vec(),
            kind: Kind::Srv
        }
    );
    let (answer, truncated) = ask.write(&servers(1), ask.limit());
    assert!(!truncated);
    // Byte by byte: not only equal to whoever does not mind the case.
    let length = NAME.len() + 2 + 4;
    assert_eq!(answer[HEADER..HEADER + length], asked[HEADER..HEADER + length]);
    let message = Message::from_vec(&answer).expect("it can be read");
    assert!(message.answers[0].name.eq_case(&wired_name(NAME).expect("a name")));
    let metadata = message.metadata;
    assert!(metadata.authoritative && metadata.recursion_desired && !metadata.recursion_available);
    assert_eq!((metadata.id, metadata.truncation, message.answers[0].ttl), (7, false, 3));
    let edns = message.edns.expect("who says how much it takes is told");
    assert_eq!((edns.max_payload(), edns.version()), (MOST_UDP, 0));
}

#[test]
fn who_does_not_speak_edns_hears_none() {
    let ask = ask(&bytes(&question(RecordType::SRV, None)));
    assert_eq!(ask.limit(), 512);
    let reply = servers(1).because(3, "a reason");
    assert_eq!(written(&ask, &reply, 512).edns, None);
}

#[test]
fn sizes_have_bounds() {
    for (said, taken) in [(0, 512), (100, 512), (800, 800), (65_535, 1232)] {
        let mut message = bytes(&question(RecordType::A, Some(1232)));
        let at = message.len() - 8;
        message[at..at + 2].copy_from_slice(&u16::to_be_bytes(said));
        assert_eq!(ask(&message).limit(), taken, "{said}");
    }
}

#[test]
fn what_does_not_fit_is_left_out_and_only_what_was_asked_for_is_missed() {
    let ask = ask(&bytes(&question(RecordType::SRV, None)));
    let (least, most) = (1, 200);
    let whole = (least..most).take_while(|count| {
        let message = written(&ask, &servers(*count), 512);
        !message.metadata.truncation && message.answers.len() == usize::from(*count)
    });
    let fits = whole.last().expect("one fits");
    assert!((5..20).contains(&fits), "{fits}");
    let all = ask.write(&servers(3), MOST_TCP).0.len();
    let without_address = written(&ask, &servers(3), all - 1);
    assert!(without_address.additionals.is_empty() && !without_address.metadata.truncation);
    assert_eq!(without_address.answers.len(), 3);
    for count in [fits + 1, fits * 2, 199] {
        let message = written(&ask, &servers(count), 512);
        assert!(message.metadata.truncation, "{count}");
        assert!((1..=usize::from(fits)).contains(&message.answers.len()), "{count}");
    }
    assert!(!written(&ask, &servers(199), MOST_TCP).metadata.truncation);
    let again = Message::from_vec(&ask.come_again()).expect("it can be read");
    assert!(again.metadata.truncation && again.answers.is_empty());
}

#[test]
fn the_reason_is_an_extended_error() {
    let ask = ask(&bytes(&question(RecordType::A, Some(1232))));
    let long = "ä".repeat(400);
    let message = written(&ask, &Reply::only(Code::Failed).because(22, long), 1232);
    assert_eq!(message.metadata.response_code, ResponseCode::ServFail);
    assert!(!message.metadata.authoritative);
    let edns = message.edns.expect("EDNS");
    let Some(EdnsOption::Unknown(_, bytes)) = edns.option(EdnsCode::Unknown(EXTENDED_ERROR)) else {
        panic!("no reason: {edns:?}")
    };
    assert_eq!(bytes[..2], [0, 22]);
    assert!(std::str::from_utf8(&bytes[2..]).is_ok_and(|text| (200..=LONGEST_NOTE).contains(&text.len())));
}

#[test]
fn a_version_of_edns_that_nobody_knows_and_other_classes() {
    let mut future = question(RecordType::A, Some(1232));
    if let Some(edns) = &mut future.edns {
        edns.set_version(1);
    }
    let future = ask(&bytes(&future));
    assert_eq!(future.fault(), Some(Code::BadVersion));
    let message = written(&future, &Reply::only(Code::BadVersion), 512);
    assert_eq!(u16::from(message.metadata.response_code), 16);
    assert_eq!(message.edns.map(|edns| edns.version()), Some(0));
    let mut chaos = question(RecordType::TXT, None);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(ask(&bytes(&chaos)).fault(), Some(Code::Refused));
}

#[test]
fn what_is_no_question_gets_what_it_deserves() {
    let good = bytes(&question(RecordType::A, Some(1232)));
    for length in 0..HEADER {
        assert_eq!(fault(&good[..length]), None, "{length} bytes");
    }
    for length in HEADER..good.len() {
        let (code, answer) = fault(&good[..length]).expect("an answer");
        assert_eq!(code, Code::Malformed);
        assert_eq!(answer, [0, 7, 0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0], "{length} bytes");
    }
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        fault(&bytes).map(|(code, answer)| (code, answer[2..4].to_vec()))
    };
    assert_eq!(with(2, 0x81), None, "an answer is not answered");
    assert_eq!(with(2, 0x29), Some((Code::NotKnown, vec![0xa9, 4])), "an UPDATE");
    assert_eq!(with(5, 0), Some((Code::Malformed, vec![0x81, 1])), "no question");
    assert_eq!(with(5, 2), Some((Code::Malformed, vec![0x81, 1])), "two questions");
    assert_eq!(with(4, 255), Some((Code::Malformed, vec![0x81, 1])), "more than anybody has");
    assert_eq!(with(7, 1), Some((Code::Malformed, vec![0x81, 1])), "an answer in it");
    assert_eq!(with(11, 9), Some((Code::Malformed, vec![0x81, 1])), "more than there is");
    let mut circle = good[..HEADER].to_vec();
    circle.extend([0xc0, 12, 0, 1, 0, 1]);
    circle[11] = 0;
    assert_eq!(fault(&circle).map(|(code, _)| code), Some(Code::Malformed), "a name that goes on in itself");
}

#[test]
fn a_name_that_is_too_long_for_dns_costs_only_its_record() {
    let ask = ask(&bytes(&question(RecordType::SRV, Some(1232))));
    let mut reply = servers(1);
    let owner = Owner::Name(format!("{}.node.dc1.consul", "x".repeat(64)));
    reply.additional.push(Record { owner, ttl: 0, data: Data::Txt("epoch=1".into()) });
    let message = written(&ask, &reply, 1232);
    assert_eq!((message.answers.len(), message.additionals.len()), (1, 1));
}
