//! What operators ask for.

use crate::bench::{Bench, MASTER, endpoint, group};
use consentinel_core::{
    ClientLine, Command, Epoch, Event, GroupChange, GroupName, Hello, Quorum, Refusal, Reply, Request,
    Response, SaveError, SentinelId,
};
use std::time::Duration;

fn refused(response: Response) -> Refusal {
    match response {
        Response::Refused(refusal) => refusal,
        other => panic!("it should be refused, not {other:?}"),
    }
}

#[test]
fn set_changes_all_or_nothing() {
    let mut bench = Bench::new(&[]);
    let changes = vec![GroupChange::ParallelSyncs(5), GroupChange::Quorum(Quorum(0))];
    let refusal = refused(bench.ask(Request::Set { group: group(), changes }));
    assert_eq!(refusal, Refusal::InvalidQuorum);
    assert_eq!(bench.sentinel.group(&group()).expect("it is watched").config.parallel_syncs, 1);
    let changes = vec![GroupChange::ParallelSyncs(5), GroupChange::Quorum(Quorum(2))];
    assert_eq!(bench.ask(Request::Set { group: group(), changes }), Response::Ok);
    assert_eq!(bench.sentinel.group(&group()).expect("it is watched").config.parallel_syncs, 5);
    let set: Vec<_> =
        bench.events.iter().filter(|(event, _)| *event == Event::Set).map(|(_, text)| &**text).collect();
    assert_eq!(
        set,
        ["master mymaster 127.0.0.1 6379 parallel-syncs 5", "master mymaster 127.0.0.1 6379 quorum 2"]
    );
}

#[test]
fn a_password_is_not_told_when_it_is_set() {
    let mut bench = Bench::new(&[]);
    let changes = vec![GroupChange::AuthPass(Some(consentinel_core::Secret::new("sesame")))];
    assert_eq!(bench.ask(Request::Set { group: group(), changes }), Response::Ok);
    assert!(bench.saw(Event::Set) && bench.events.iter().all(|(_, text)| !text.contains("sesame")));
}

#[test]
fn monitor_and_remove_work_at_run_time() {
    let mut bench = Bench::new(&[]);
    let other = GroupName::new("other");
    let monitor = |group: &GroupName| Request::Monitor {
        group: group.clone(),
        master: endpoint(7000),
        quorum: Quorum(1),
    };
    assert_eq!(bench.ask(monitor(&other)), Response::Ok);
    assert_eq!(refused(bench.ask(monitor(&other))), Refusal::DuplicateMaster);
    assert_eq!(bench.ask(Request::Remove { group: other.clone() }), Response::Ok);
    assert_eq!(refused(bench.ask(Request::Remove { group: other })), Refusal::NoSuchMaster);
    assert!(bench.saw(Event::Unmonitor));
}

#[test]
fn a_change_that_cannot_be_saved_is_refused() {
    let mut bench = Bench::new(&[]);
    bench.disk = Err(SaveError("no space left".to_owned()));
    let changes = vec![GroupChange::ParallelSyncs(5)];
    assert_eq!(refused(bench.ask(Request::Set { group: group(), changes })), Refusal::NotSaved);
}

#[test]
fn a_dead_replica_can_be_forgotten_alone_a_living_one_cannot() {
    let mut bench = Bench::new(&[6380, 6381]);
    bench.run(Duration::from_secs(5));
    let forget = |port| Request::ForgetReplica { group: group(), replica: endpoint(port) };
    assert_eq!(refused(bench.ask(forget(6380))), Refusal::StillThere("replica"));
    assert_eq!(refused(bench.ask(forget(MASTER))), Refusal::IsMaster);
    assert_eq!(refused(bench.ask(forget(9999))), Refusal::Unknown("replica", group()));
    bench.kill(6380);
    bench.servers.get_mut(&MASTER).expect("it runs").replicas.retain(|at| at.port != 6380);
    assert_eq!(bench.ask(forget(6380)), Response::Ok);
    bench.run(Duration::from_secs(30));
    let left = bench.sentinel.group(&group()).expect("it is watched").replicas;
    assert_eq!(left.iter().map(|replica| replica.addr.port).collect::<Vec<_>>(), [6381]);
}

#[test]
fn a_dead_sentinel_can_be_forgotten_alone() {
    let mut bench = Bench::new(&[]);
    let id = SentinelId::parse(&"ab".repeat(20)).expect("an identity");
    let text = format!("127.0.0.1,26380,{id},0,mymaster,127.0.0.1,6379,0");
    bench.hear(Hello::parse(&text).expect("well formed"));
    assert_eq!(bench.sentinel.group(&group()).expect("it is watched").sentinels.len(), 1);
    bench.kill(26380);
    let forget = || Request::ForgetSentinel { group: group(), sentinel: id.clone() };
    assert_eq!(bench.ask(forget()), Response::Ok);
    assert_eq!(refused(bench.ask(forget())), Refusal::Unknown("sentinel", group()));
    assert!(bench.sentinel.group(&group()).expect("it is watched").sentinels.is_empty());
}

#[test]
fn reset_takes_a_pattern_and_forgets_only_what_is_down() {
    let mut bench = Bench::new(&[6380, 6381]);
    bench.run(Duration::from_secs(5));
    bench.kill(6381);
    bench.servers.get_mut(&MASTER).expect("it runs").replicas = vec![endpoint(6380)];
    bench.run(Duration::from_secs(3));
    assert_eq!(bench.ask(Request::Reset { pattern: "nothing*".to_owned() }), Response::Count(0));
    assert_eq!(bench.ask(Request::Reset { pattern: "my*".to_owned() }), Response::Count(1));
    assert!(bench.saw(Event::ResetMaster));
    let left = bench.sentinel.group(&group()).expect("it is watched").replicas;
    assert_eq!(left.iter().map(|replica| replica.addr.port).collect::<Vec<_>>(), [6380]);
}

#[test]
fn a_failover_by_order_moves_a_healthy_master_and_turns_it_at_once() {
    let mut bench = Bench::new(&[6380]);
    bench.run(Duration::from_secs(5));
    assert_eq!(bench.ask(Request::Failover { group: group() }), Response::Ok);
    bench.run(Duration::from_millis(300));
    assert_eq!(bench.master(), endpoint(6380));
    assert_eq!(bench.turned, [(6380, None), (MASTER, Some(endpoint(6380)))]);
}

/// What the old master was told from the order to be a replica on, in that order.
fn told_from_demotion_on(bench: &Bench) -> Vec<Command> {
    let told = bench.commands.iter().filter(|(port, _)| *port == MASTER).map(|(_, command)| command);
    let orders = told.filter(|command| !matches!(command, Command::Ping | Command::Publish(_)));
    orders.skip_while(|command| !matches!(command, Command::Demote(_))).cloned().collect()
}

#[test]
fn a_held_write_is_answered_before_its_client_is_cut_off() {
    let mut bench = Bench::new(&[6380]);
    bench.run(Duration::from_secs(5));
    assert_eq!(bench.ask(Request::Failover { group: group() }), Response::Ok);
    bench.run(Duration::from_millis(100));
    let expected =
        [Command::Demote(endpoint(6380)), Command::Info, Command::CutClients, Command::RewriteConfig];
    assert_eq!(told_from_demotion_on(&bench)[..4], expected, "it has said that it is a replica by then");
}

#[test]
fn a_master_that_refuses_the_transaction_has_its_clients_cut_off_all_the_same() {
    let mut bench = Bench::new(&[6380]);
    bench.run(Duration::from_secs(5));
    bench.stubborn.insert(MASTER, Reply::Error("NOPERM this user has no permissions".to_owned()));
    assert_eq!(bench.ask(Request::Failover { group: group() }), Response::Ok);
    bench.run(Duration::from_millis(100));
    let told = told_from_demotion_on(&bench);
    let place = |wanted: &Command| told.iter().position(|command| command == wanted);
    let plain = place(&Command::ReplicaOfPlain(Some(endpoint(6380))));
    assert!(plain.is_some() && plain < place(&Command::CutClients), "{told:?}");
}

#[test]
fn once_a_replica_is_promoted_the_old_master_holds_writes_until_others_can_demote_it() {
    let mut bench = Bench::new(&[6380]);
    bench.run(Duration::from_secs(5));
    assert_eq!(bench.ask(Request::Failover { group: group() }), Response::Ok);
    bench.run(Duration::from_millis(300));
    let told = bench.commands.iter().filter(|(port, _)| *port == MASTER).map(|(_, command)| command.clone());
    let holds: Vec<Command> =
        told.filter(|command| matches!(command, Command::HoldWrites(_) | Command::Demote(_))).collect();
    let down_after = bench.sentinel.group(&group()).expect("it is watched").config.down_after;
    let last = Command::HoldWrites(down_after * 2 + Duration::from_secs(2));
    assert_eq!(holds[holds.len() - 2..], [last, Command::Demote(endpoint(6380))], "of {holds:?}");
}

#[test]
fn clients_that_come_back_to_a_replaced_master_and_write_are_cut_off_again() {
    let mut bench = Bench::new(&[6380]);
    bench.run(Duration::from_secs(5));
    bench.clients = ClientLine::parse(
        "id=1 name=sentinel-0123abcd-cmd flags=N cmd=ping\nid=2 name= flags=N cmd=set\nid=3 name= flags=N cmd=get\n\
         id=4 name= flags=P cmd=subscribe\nid=5 name= flags=N cmd=hello\nid=6 name= flags=S cmd=replconf\n",
    );
    assert_eq!(bench.ask(Request::Failover { group: group() }), Response::Ok);
    bench.run(Duration::from_secs(1));
    let cut = |bench: &Bench| -> Vec<Vec<u64>> {
        let killed = bench.commands.iter().filter(|(port, _)| *port == MASTER).map(|(_, command)| command);
        let ids = |command: &Command| match command {
            Command::KillClients(ids) => Some(ids.clone()),
            _ => None,
        };
        killed.filter_map(ids).collect()
    };
    assert_eq!(cut(&bench), [vec![2]], "after half a second those that have written");
    bench.run(Duration::from_secs(1));
    assert_eq!(cut(&bench), [vec![2], vec![2, 5]], "after 1.5 s also those that have done nothing yet");
    bench.run(Duration::from_secs(9));
    bench.clients = ClientLine::parse("id=9 name= flags=N cmd=set\n");
    let before = cut(&bench).len();
    bench.run(Duration::from_secs(10));
    assert_eq!(cut(&bench)[before..], [vec![9], vec![9]], "a health check may take ten seconds and more");
    bench.run(Duration::from_secs(40));
    let looks = bench.commands.iter().filter(|(_, command)| *command == Command::ListClients).count();
    assert_eq!(looks, 9, "and after half a minute nobody looks any more");
}

#[test]
fn where_clients_may_not_be_listed_all_of_them_are_cut_off_now_and_then() {
    let mut bench = Bench::new(&[6380]);
    bench.run(Duration::from_secs(5));
    bench.may_list_clients = false;
    assert_eq!(bench.ask(Request::Failover { group: group() }), Response::Ok);
    bench.run(Duration::from_secs(40));
    let all = bench.commands.iter().filter(|(_, command)| *command == Command::KillNormalClients);
    assert_eq!(all.map(|(port, _)| *port).collect::<Vec<_>>(), [MASTER; 3]);
}

#[test]
fn a_vote_is_not_given_again_after_remove_and_monitor() {
    let mut bench = Bench::new(&[]);
    let vote_for = |bench: &mut Bench, candidate: &str, epoch: u64| {
        let candidate = Some(SentinelId::new(&candidate.repeat(40)));
        match bench.ask(Request::IsMasterDown { master: endpoint(MASTER), epoch: Epoch(epoch), candidate }) {
            Response::Down { leader, .. } => leader.map(|id| id.to_string()[..1].to_owned()),
            other => panic!("a vote was asked for, not {other:?}"),
        }
    };
    assert_eq!(vote_for(&mut bench, "a", 5).as_deref(), Some("a"));
    assert_eq!(bench.ask(Request::Remove { group: group() }), Response::Ok);
    let again = Request::Monitor { group: group(), master: endpoint(MASTER), quorum: Quorum(2) };
    assert_eq!(bench.ask(again), Response::Ok);
    assert_eq!(vote_for(&mut bench, "b", 5), None);
    assert_eq!(vote_for(&mut bench, "b", 6).as_deref(), Some("b"));
}
