use super::*;
use crate::config::Settings;
use crate::log::LogLevel;
use bytes::BytesMut;
use consentinel_core::{
    Durable, DurableGroup, Endpoint, GroupConfig, GroupName, Level, Quorum, Request, Response, Secret,
    Sentinel, Time,
};
use proptest::prelude::*;

/// A server with one client, and a sentinel that watches one master.
struct Bench {
    server: Server,
    sentinel: Sentinel,
    turn: Turn,
    outbox: Rc<Outbox>,
    refused: Option<&'static str>,
}

const ME: ClientId = ClientId(1);

impl Bench {
    fn new(settings: Settings, peer: &str) -> Self {
        let master = Endpoint::parse("10.0.0.1", "6379").expect("an address");
        let mut state = Durable::default();
        state.groups.insert(GroupName::new("shop"), DurableGroup::new(master, GroupConfig::new(Quorum(2))));
        let identity = Identity { run_id: "0".into(), started: Time::ZERO, config_file: "s.conf".into() };
        let mut server =
            Server::new(settings, identity, LogLevel::new(Level::Notice), None).expect("the users are right");
        let outbox = Rc::new(Outbox::default());
        let address = |text: &str| End::Ip(text.parse().expect("an address"));
        let (peer, local) = (address(peer), address("127.0.0.1:1"));
        let opened = server.handle_opened(Opened { id: ME, peer, local, outbox: outbox.clone() });
        let refused = opened.and_then(|()| server.handle_ready(ME)).err();
        let turn = Turn { id: ME, input: BytesMut::new(), output: BytesMut::new() };
        Bench { server, sentinel: Sentinel::new(state, 1, Time::ZERO), turn, outbox, refused }
    }

    fn local() -> Self {
        Bench::new(Settings::default(), "127.0.0.1:2")
    }

    fn step(&mut self, input: &str) -> Step {
        self.turn.input.extend_from_slice(input.as_bytes());
        self.server.serve(&self.sentinel, &mut self.turn)
    }

    fn said(&mut self) -> String {
        String::from_utf8_lossy(&self.turn.output.split()).replace("\r\n", "|")
    }

    /// What is answered to lines that need nothing of the core.
    fn ask(&mut self, input: &str) -> String {
        assert!(matches!(self.step(&format!("{input}\r\n")), Step::Over(_)), "{input} needed more");
        self.said()
    }

    fn request(&mut self, input: &str) -> Request {
        match self.step(&format!("{input}\r\n")) {
            Step::Ask(request) => request,
            _ => panic!("{input} is no request: {}", self.said()),
        }
    }
}

#[test]
fn commands_are_answered_in_their_order() {
    let mut bench = Bench::local();
    assert_eq!(bench.ask("PING\r\nping x\r\nCLIENT GETNAME"), "+PONG|$1|x|$-1|");
}

#[test]
fn half_a_command_waits_for_the_rest() {
    let mut bench = Bench::local();
    assert!(matches!(bench.step("*1\r\n$4\r\nPI"), Step::Over(Then::Read)));
    assert_eq!(bench.said(), "");
    assert!(matches!(bench.step("NG\r\n"), Step::Over(Then::Read)));
    assert_eq!(bench.said(), "+PONG|");
}

#[test]
fn what_is_not_the_protocol_ends_the_connection() {
    let mut bench = Bench::local();
    assert!(matches!(bench.step("*1\r\n!\r\n"), Step::Over(Then::Close)));
    assert_eq!(bench.said(), "-ERR Protocol error: expected '$', got '!'|");
}

#[test]
fn the_master_is_named_by_its_name() {
    let mut bench = Bench::local();
    assert_eq!(bench.ask("SENTINEL GET-MASTER-ADDR-BY-NAME shop"), "*2|$8|10.0.0.1|$4|6379|");
    assert_eq!(bench.ask("sentinel get-primary-addr-by-name shop"), "*2|$8|10.0.0.1|$4|6379|");
    assert_eq!(bench.ask("SENTINEL get-master-addr-by-name none"), "*-1|");
    assert!(bench.ask("HELLO 3").starts_with("%6|"));
    assert_eq!(bench.ask("SENTINEL get-master-addr-by-name none"), "_|");
}

#[test]
fn errors_have_the_words_of_the_original() {
    let mut bench = Bench::local();
    for (command, error) in [
        ("FOO a b", "-ERR unknown command 'FOO', with args beginning with: 'a' 'b' |"),
        ("SENTINEL", "-ERR wrong number of arguments for 'sentinel' command|"),
        ("SENTINEL FOO", "-ERR unknown subcommand 'FOO'. Try SENTINEL HELP.|"),
        ("SENTINEL MASTER", "-ERR wrong number of arguments for 'sentinel|master' command|"),
        ("SENTINEL MASTER none", "-ERR No such master with that name|"),
        ("SENTINEL SET shop quorum 0", "-ERR Invalid argument '0' for SENTINEL SET 'quorum'|"),
        ("SENTINEL SET shop x y", "-ERR Unknown option or number of arguments for SENTINEL SET 'x'|"),
        ("SENTINEL MONITOR a 10.0.0.1 99999 1", "-ERR Invalid port number.|"),
        ("SENTINEL CONFIG SET x y", "-ERR Invalid argument 'x' to SENTINEL CONFIG SET|"),
        ("SENTINEL DEBUG info-period 0", "-ERR Invalid argument '0' for SENTINEL DEBUG 'info-period'|"),
        ("PUBLISH other hello", "-ERR Only HELLO messages are accepted by Sentinel instances.|"),
    ] {
        assert_eq!(bench.ask(command), error, "{command}");
    }
}

#[test]
fn all_changes_of_one_command_reach_the_core_together_or_not_at_all() {
    let mut bench = Bench::local();
    let request = bench.request("SENTINEL SET shop quorum 3 auth-pass secret rename-command config geheim");
    assert!(matches!(request, Request::Set { changes, .. } if changes.len() == 3));
    assert!(bench.ask("SENTINEL SET shop quorum 3 parallel-syncs none").starts_with("-ERR Invalid argument"));
    let request = bench.request("SENTINEL CONFIG SET announce-port 7 sentinel-pass x");
    assert!(matches!(request, Request::ConfigSet(changes) if changes.len() == 2));
}

#[test]
fn a_connection_waits_for_the_core_before_it_goes_on() {
    let mut bench = Bench::local();
    let step = bench.step("PING\r\nSENTINEL FAILOVER shop\r\nPING\r\n");
    assert!(matches!(step, Step::Ask(Request::Failover { .. })));
    assert_eq!(String::from_utf8_lossy(&bench.turn.output), "+PONG\r\n");
    bench.server.answer(&mut bench.turn, &Response::Ok);
    assert!(matches!(bench.step(""), Step::Over(Then::Read)));
    assert_eq!(bench.said(), "+PONG|+OK|+PONG|");
}

#[test]
fn without_the_password_nothing_is_told() {
    let settings = Settings { requirepass: Some(Secret::new("sesame")), ..Settings::default() };
    let mut bench = Bench::new(settings, "127.0.0.1:2");
    assert_eq!(bench.ask("SENTINEL MASTERS"), "-NOAUTH Authentication required.|");
    assert!(bench.ask("AUTH wrong").starts_with("-WRONGPASS"));
    assert!(bench.ask("HELLO 3").starts_with("-NOAUTH"));
    assert_eq!(bench.ask("AUTH sesame"), "+OK|");
    assert_eq!(bench.ask("PING"), "+PONG|");
    assert_eq!(bench.ask("RESET\r\nPING"), "+RESET|-NOAUTH Authentication required.|");
}

#[test]
fn what_is_not_text_is_said_back_as_it_came() {
    let mut bench = Bench::local();
    bench.turn.input.extend_from_slice(b"PING \"\\xff\\x00\"\r\n*1\r\n$2\r\n\xfe\xff\r\n");
    assert!(matches!(bench.step(""), Step::Over(Then::Read)));
    let said = bench.turn.output.split();
    let expected = b"$2\r\n\xff\x00\r\n-ERR unknown command '\xfe\xff', with args beginning with: \r\n";
    assert_eq!(&said[..], &expected[..], "{}", said.escape_ascii());
}

#[test]
fn whoever_wants_no_answers_gets_none() {
    let mut bench = Bench::local();
    assert_eq!(bench.ask("CLIENT REPLY SKIP\r\nPING\r\nPING x"), "$1|x|");
    assert_eq!(bench.ask("CLIENT REPLY OFF\r\nPING\r\nFOO\r\nSUBSCRIBE a"), "*3|$9|subscribe|$1|a|:1|");
    assert_eq!(bench.ask("UNSUBSCRIBE\r\nCLIENT REPLY ON\r\nPING"), "*3|$11|unsubscribe|$1|a|:0|+OK|+PONG|");
    // Also when the core answers.
    assert!(matches!(bench.step("CLIENT REPLY SKIP\r\nSENTINEL FLUSHCONFIG\r\n"), Step::Ask(_)));
    bench.server.answer(&mut bench.turn, &Response::Ok);
    assert_eq!(bench.ask("PING"), "+PONG|");
}

#[test]
fn a_user_may_do_what_the_rules_say_and_denials_are_remembered() {
    let mut bench = Bench::local();
    assert_eq!(
        bench.ask("ACL SETUSER ops on >p +ping +acl|whoami\r\nAUTH ops p\r\nACL WHOAMI"),
        "+OK|+OK|$3|ops|"
    );
    let denied = "-NOPERM this user has no permissions to run the 'sentinel|masters' command|";
    assert_eq!(bench.ask("SENTINEL MASTERS"), denied);
    assert_eq!(bench.ask("AUTH default x\r\nACL LOG RESET"), "+OK|+OK|");
    bench.ask("AUTH ops wrong\r\nAUTH ops wrong");
    assert!(bench.ask("ACL LOG").starts_with("*1|*14|$5|count|:2|$6|reason|$4|auth|$7|context|$8|toplevel|"));
    assert_eq!(bench.ask("AUTH ops p\r\nAUTH default x\r\nACL DELUSER ops nobody"), "+OK|+OK|:1|");
}

#[test]
fn a_subscriber_hears_events_and_may_not_ask_in_between() {
    let mut bench = Bench::local();
    assert_eq!(bench.ask("PSUBSCRIBE +s* -*"), "*3|$10|psubscribe|$3|+s*|:1|*3|$10|psubscribe|$2|-*|:2|");
    assert!(bench.ask("INFO").starts_with("-ERR Can't execute 'info'"));
    assert_eq!(bench.ask("PING"), "*2|$4|pong|$0||");
    bench.server.publish("+odown", "unheard");
    bench.server.publish("+sdown", "master shop");
    let event = b"*4\r\n$8\r\npmessage\r\n$3\r\n+s*\r\n$6\r\n+sdown\r\n$11\r\nmaster shop\r\n";
    assert_eq!(&bench.outbox.events()[..], event);
}

#[test]
fn a_subscriber_that_does_not_read_is_dropped() {
    let mut bench = Bench::local();
    bench.ask("SUBSCRIBE +sdown");
    let long = "x".repeat(1 << 20);
    (0..31).for_each(|_| bench.server.publish("+sdown", &long));
    assert!(!bench.outbox.is_given_up());
    bench.server.publish("+sdown", &long);
    assert!(bench.outbox.is_given_up() && bench.server.clients.is_empty());
}

#[test]
fn strangers_are_refused_in_protected_mode() {
    let settings = Settings { protected_mode: true, ..Settings::default() };
    let stranger = Bench::new(settings.clone(), "192.0.2.1:2");
    assert!(stranger.refused.is_some_and(|text| text.starts_with("DENIED")));
    let with_password = Settings { requirepass: Some(Secret::new("x")), ..settings.clone() };
    assert_eq!(Bench::new(with_password, "192.0.2.1:2").server.clients.len(), 1);
    assert_eq!(Bench::new(settings, "127.0.0.1:2").server.clients.len(), 1);
}

#[test]
fn clients_count_before_they_can_be_spoken_to() {
    let mut bench = Bench::new(Settings { maxclients: 2, ..Settings::default() }, "127.0.0.1:2");
    let mut open = |number| {
        let end = End::Ip("127.0.0.1:3".parse().expect("an address"));
        let outbox = Rc::new(Outbox::default());
        let opened = Opened { id: ClientId(number), peer: end.clone(), local: end, outbox: outbox.clone() };
        bench.server.handle_opened(opened).map(|()| outbox)
    };
    let shaking = open(2).expect("there is room");
    assert_eq!(open(3).err(), Some("ERR max number of clients reached"));
    assert!(bench.ask("INFO clients").contains("connected_clients:2|"));
    assert_eq!(bench.ask("CLIENT KILL ID 2"), ":1|");
    assert!(shaking.is_given_up());
    assert!(bench.ask("INFO stats").contains("|rejected_connections:1|"));
}

#[test]
fn who_asks_for_much_gets_it_in_shares() {
    let mut bench = Bench::local();
    let many = "INFO\r\n".repeat(10_000);
    assert!(matches!(bench.step(&many), Step::Over(Then::Again)));
    assert!(bench.turn.output.len() < (16 << 10) + 10_000);
    // Nor does it help not to want the answers.
    let left = bench.turn.input.len();
    bench.turn.input = BytesMut::from(format!("CLIENT REPLY OFF\r\n{many}").as_bytes());
    assert!(matches!(bench.step(""), Step::Over(Then::Again)));
    assert!(left > 59_000 && bench.turn.input.len() > 59_000, "most of it is not even looked at");
}

proptest! {
    #[test]
    fn no_bytes_make_the_server_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bench = Bench::local();
        bench.turn.input.extend_from_slice(&bytes);
        let _ = bench.server.serve(&bench.sentinel, &mut bench.turn);
    }

    #[test]
    fn no_words_make_the_server_panic(
        command in proptest::sample::select(vec!["SENTINEL", "CLIENT", "HELLO", "AUTH", "INFO", "SUBSCRIBE", "COMMAND", "ACL"]),
        sub in proptest::sample::select(vec![
            "", "SET shop", "CONFIG SET", "CONFIG GET", "DEBUG", "MONITOR", "FORGET", "IS-MASTER-DOWN-BY-ADDR",
            "SIMULATE-FAILURE", "LIST", "SETNAME", "3 AUTH", "RENAME-COMMAND", "CKQUORUM", "SETUSER a", "DRYRUN default",
            "KILL", "TRACKING on", "REPLY", "LOG", "DELUSER", "GETKEYS", "LIST FILTERBY", "UNBLOCK", "INFO-CACHE",
        ]),
        rest in "[a-z0-9* -]{0,40}",
    ) {
        let mut bench = Bench::local();
        let _ = bench.step(&format!("{command} {sub} {rest}\r\n"));
    }
}

/// The bulk string that was answered, as JSON.
fn json(answer: &str) -> serde_json::Value {
    let text = answer.split('|').nth(1).unwrap_or_default();
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

#[test]
fn the_status_of_a_daemon_that_has_just_started_claims_nothing() {
    let mut bench = Bench::local();
    let picture = json(&bench.ask("SENTINEL STATUS"));
    let myid = bench.sentinel.myid().to_string();
    assert_eq!((&picture["myid"], &picture["current_epoch"]), (&myid.into(), &0.into()));
    let master = &picture["masters"][0];
    assert_eq!((&master["name"], &master["address"]), (&"shop".into(), &"10.0.0.1:6379".into()));
    assert_eq!((&master["quorum"], &master["quorum_reachable"]), (&2.into(), &false.into()));
    let server = &master["server"];
    assert_eq!((&server["health"], &server["linked"]), (&"unknown".into(), &false.into()));
    assert_eq!(server["state"], "has not told anything of itself yet");
    assert_eq!(master["failover"], serde_json::Value::Null);
    assert_eq!(json(&bench.ask("SENTINEL STATUS shop"))["masters"].as_array().map(Vec::len), Some(1));
    assert_eq!(bench.ask("SENTINEL STATUS shop shoe"), "-ERR No such master with that name|");
}

#[test]
fn history_and_explanation_are_answered_in_their_forms() {
    let mut bench = Bench::local();
    assert_eq!(bench.ask("SENTINEL HISTORY"), "$2|[]|");
    let moment = crate::status::Moment { now: Time::from_millis(10), unix_ms: 7 };
    let group = GroupName::new("shop");
    let at = |host| consentinel_core::Endpoint::parse(host, "6379").expect("an address");
    let switch =
        consentinel_core::Detail::Switch { group: group.clone(), from: at("10.0.0.1"), to: at("10.0.0.2") };
    let event = consentinel_core::Event::SwitchMaster;
    bench.server.history.handle_event(moment, event, &switch, Some(&group), Default::default());
    let history = json(&bench.ask("SENTINEL HISTORY shop"));
    assert_eq!((&history[0]["to"], &history[0]["outcome"]), (&"10.0.0.2:6379".into(), &"done".into()));
    assert!(bench.ask("SENTINEL EXPLAIN shop").starts_with("*5|$"));
    let told = json(&bench.ask("SENTINEL EXPLAIN shop json"));
    assert_eq!(told["obstacles"], serde_json::json!(["master-answers", "votes", "no-candidate"]));
    assert_eq!(bench.ask("SENTINEL EXPLAIN shop json json"), "-ERR syntax error|");
}
