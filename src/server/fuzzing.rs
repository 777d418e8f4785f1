//! What holds for every client, whatever it sends.

use super::*;
use crate::config::Settings;
use crate::log::LogLevel;
use crate::net::wire;
use consentinel_core::{
    Durable, DurableGroup, Endpoint, GroupConfig, GroupName, Level, Quorum, Response, Sentinel, Time,
};

const ME: ClientId = ClientId(1);

/// More than these turns nobody needs for the bytes of one input.
const MOST_TURNS: usize = 100_000;

/// Whatever is sent, what is answered is well formed, and there is an end of it.
pub(crate) fn serve(bytes: &[u8]) {
    let mut state = Durable::default();
    let master = Endpoint::parse("10.0.0.1", "6379").expect("an address");
    state.groups.insert(GroupName::new("shop"), DurableGroup::new(master, GroupConfig::new(Quorum(2))));
    let sentinel = Sentinel::new(state, 1, Time::ZERO);
    let identity = Identity { run_id: "0".into(), started: Time::ZERO, config_file: "s.conf".into() };
    let level = LogLevel::new(Level::Notice);
    let mut server = Server::new(Settings::default(), identity, level, None).expect("no users, no mistake");
    let local = End::Ip(SocketAddr::from(([127, 0, 0, 1], 1)));
    let opened = Opened { id: ME, peer: local.clone(), local, outbox: Rc::new(Outbox::default()) };
    assert_eq!(server.handle_opened(opened).and_then(|()| server.handle_ready(ME)), Ok(()));
    let mut turn = Turn { id: ME, input: bytes.into(), output: BytesMut::new() };
    let mut answers = BytesMut::new();
    for _ in 0..MOST_TURNS {
        let step = server.serve(&sentinel, &mut turn);
        if let Step::Ask(_) = step {
            server.answer(&mut turn, &Response::Ok);
        }
        answers.unsplit(turn.output.split());
        match step {
            Step::Over(Then::Again | Then::Later(_)) | Step::Ask(_) | Step::Tell(_) => {}
            Step::Over(_) | Step::Shutdown => return well_formed(&answers),
        }
    }
    panic!("no end of it");
}

/// Reads the answers as a client would, up to the first that only RESP3 has.
fn well_formed(mut answers: &[u8]) {
    while let Some(first) = answers.first() {
        if b"%~_,#=(>|".contains(first) {
            return;
        }
        match wire::reply(answers) {
            Ok(Some((_, length))) => answers = &answers[length..],
            // A map within an array.
            Err(_)
                if answers.windows(3).any(|part| part[..2] == *b"\r\n" && b"%~_,#=(>".contains(&part[2])) =>
            {
                return;
            }
            other => panic!("{other:?}: {}", String::from_utf8_lossy(answers)),
        }
    }
}
