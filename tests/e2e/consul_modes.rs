//! Ways to run beside Consul: not at all, only in words, only looking on.

use super::consul_stage::{NODE, STATE, Stage, is_named, is_passing, is_published, says};
use crate::{PATIENCE, ours, three_daemons};
use consentinel_lab::{
    Cluster, Consul, ConsulOptions, Extra, Folder, GROUP, Process, Program, Sentinel, Setup, eventually,
};
use std::net::TcpListener;

#[test]
fn whoever_is_not_told_of_a_consul_asks_none() {
    // Where Consul usually is; somebody else's may be there.
    let usual = TcpListener::bind("127.0.0.1:8500").ok();
    let extra = Extra::default().variable("CONSUL_HTTP_TOKEN", "secret").variable("CONSUL_DATACENTER", "dc1");
    let mut cluster = Cluster::start(&three_daemons().with(&extra));
    cluster.redis[0].kill();
    cluster.wait_for_new_master(0, PATIENCE);
    for sentinel in &cluster.sentinels {
        let answer = sentinel.call(&["SENTINEL", "CONSUL", GROUP]).expect("it answers");
        assert!(answer.error().is_some_and(|error| error.contains("not told of a Consul")), "{answer:?}");
        assert!(!sentinel.log().contains("Consul "), "{}", sentinel.log());
    }
    if let Some(usual) = usual {
        usual.set_nonblocking(true).expect("a listener can be told not to block");
        let nobody = usual.accept().expect_err("nobody has connected");
        assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
    }
}

#[test]
fn a_verbose_log_has_the_daemons_lines_and_not_those_of_its_libraries() {
    let extra = Extra::default().line("loglevel verbose");
    let mut stage = Stage::set_with(&ConsulOptions::default(), three_daemons(), &extra);
    let new = stage.fail_over(0);
    is_named(&stage.consul, stage.cluster.redis[new].port);
    for sentinel in &stage.cluster.sentinels {
        let log = sentinel.log();
        assert!(log.contains("+switch-master"), "{log}");
        for word in ["pooling idle", "reuse idle", "checkout", "hyper", "reqwest", "starting new connection"]
        {
            assert!(!log.contains(word), "{word}: {log}");
        }
    }
}

#[test]
fn a_dry_run_says_what_it_would_write_and_writes_nothing() {
    let folder = Folder::new();
    let consul = Consul::dev(&folder);
    let keys = || consul.get("/v1/kv/?keys");
    let before = keys();
    let extra = Extra::consul(&consul.address()).args(&["--dry-run"]);
    let mut cluster = Cluster::start(&three_daemons().with(&extra));
    let said = |cluster: &Cluster, port: &str| {
        let would = |log: String| {
            log.split_once("dry run").is_some_and(|(_, text)| text.contains(&format!("\"Port\": {port}")))
        };
        cluster.sentinels.iter().any(|sentinel| would(sentinel.log()))
    };
    let port = cluster.redis[0].port.to_string();
    eventually("the first publication is said", PATIENCE, || said(&cluster, &port).then_some(()));
    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    let port = cluster.redis[new].port.to_string();
    eventually("the failover is said", PATIENCE, || said(&cluster, &port).then_some(()));
    cluster.sentinels.iter_mut().for_each(Sentinel::terminate);
    assert_eq!(keys(), before);
    assert!(!consul.nodes().contains(NODE));
    assert!(consul.entries("redis-sentinel").is_empty());
    assert!(consul.sessions().is_empty());
}

#[test]
fn two_masters_under_one_name_are_refused_at_the_start() {
    let folder = Folder::new();
    let Program::Ours(program) = ours() else { panic!("ours is ours") };
    let config = folder.path().join("sentinel.conf");
    let lines = "sentinel monitor orders 127.0.0.1 6379 2\nsentinel monitor carts 127.0.0.1 6380 2\n";
    let start = |more: &str| {
        let port = consentinel_lab::free_port();
        std::fs::write(&config, format!("port {port}\ndir {}\n{lines}{more}", folder.path().display()))
            .expect("the folder is ours");
        let args = [config.display().to_string(), "--consul".into(), "127.0.0.1:1".into()];
        Process::start(&program, &args, &folder.path().join("log"))
    };
    let mut refused = start("");
    assert!(!refused.wait_for_exit(PATIENCE).success());
    let log = refused.log();
    let both = log.contains("'orders'") && log.contains("'carts'") && log.contains("service 'redis'");
    assert!(both && log.contains("sentinel consul-service"), "{log}");

    let mut accepted = start("sentinel consul service-template redis-{master}\n");
    eventually("it runs", PATIENCE, || accepted.log().contains("+monitor master orders").then_some(()));
    assert_eq!(accepted.exit_status(), None);
}

#[test]
fn an_observer_publishes_for_real_sentinels_that_never_hear_of_it() {
    let folder = Folder::new();
    let consul = Consul::dev(&folder);
    let mut setup = Setup::new(vec![Program::Original; 3]);
    setup.down_after = super::mixed::DOWN_AFTER;
    let mut cluster = Cluster::start(&setup);
    let observer = Extra::consul(&consul.address()).args(&["--observe"]);
    let config = format!(
        "sentinel monitor {GROUP} 127.0.0.1 {} 2\nsentinel down-after-milliseconds {GROUP} 4000\n",
        cluster.redis[0].port
    );
    let observers: Vec<_> =
        (0..2).map(|_| Sentinel::start_new(&folder, ours(), &config, observer.clone())).collect();
    is_published(&consul, &cluster, 0);
    let unknown = |cluster: &Cluster| {
        for sentinel in &cluster.sentinels {
            assert_eq!(sentinel.sentinels().len(), 2, "{:?}", sentinel.sentinels());
            assert!(observers.iter().all(|observer| !sentinel.config_text().contains(&observer.id())));
        }
    };
    unknown(&cluster);
    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    is_named(&consul, cluster.redis[new].port);
    cluster.redis[0].start();
    cluster.wait_until_settled(new);
    is_published(&consul, &cluster, new);
    unknown(&cluster);
    for observer in &observers {
        assert_eq!(observer.master_port(), Some(cluster.redis[new].port));
        let votes = ["+vote-for-leader", "+try-failover"];
        assert!(votes.iter().all(|vote| !observer.log().contains(vote)), "{}", observer.log());
    }
}

#[test]
fn when_all_daemons_die_the_last_master_stays_or_goes_as_told() {
    for (told, goes) in [("static", false), ("critical", true)] {
        let extra = Extra::default().line(&format!("sentinel consul on-publishers-lost {told}"));
        let mut stage = Stage::set_with(&ConsulOptions::default(), three_daemons(), &extra);
        eventually("somebody holds the lock", PATIENCE, || {
            (0..3).any(|daemon| says(&stage.cluster, daemon, "lock").as_deref() == Some("ours")).then_some(())
        });
        if goes {
            eventually("every agent has its instructions", PATIENCE, || {
                (stage.consul.entries("consentinel-will").len() == 3).then_some(())
            });
        }
        stage.cluster.sentinels.iter_mut().for_each(Sentinel::kill);
        eventually("the session of the lock's holder is over", PATIENCE, || {
            stage.consul.sessions().is_empty().then_some(())
        });
        let gone = || stage.consul.entries("redis").iter().all(|entry| !is_passing(entry));
        if goes {
            eventually("there is no master any more", PATIENCE, || gone().then_some(()));
            stage.cluster.sentinels.iter_mut().for_each(Sentinel::start);
            is_published(&stage.consul, &stage.cluster, 0);
        } else {
            // Nobody is left who would change anything.
            assert!(!gone());
            assert!(stage.consul.kv(STATE).is_some());
        }
    }
}
