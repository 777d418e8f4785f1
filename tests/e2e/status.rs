//! `consentinel status` and `explain`, and the commands behind them.

use super::consul_stage::Stage;
use crate::{PATIENCE, ours, three_daemons};
use consentinel_lab::{
    Authority, Cluster, Extra, Folder, GROUP, Program, Sentinel, Setup, Value, eventually, free_port,
};
use serde_json::Value as Json;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

/// What the tool says, and how it ends.
fn tool(words: &[&str], environment: &[(&str, &str)]) -> (String, i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consentinel"));
    command.env_remove("REDISCLI_AUTH").envs(environment.iter().copied());
    let output = command.args(words).stdin(Stdio::null()).output().expect("it runs");
    let Output { status, stdout, stderr } = output;
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    (text, status.code().expect("it exits"))
}

fn at(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn status(port: u16, more: &[&str]) -> (String, i32) {
    let at = at(port);
    tool(&[&["status", "--sentinel", &at], more].concat(), &[])
}

/// Waits until everything is well, as seen from a sentinel, and gives what is shown then.
fn is_well(port: u16) -> String {
    eventually("all is well", PATIENCE, || {
        let (text, code) = status(port, &[]);
        (code == 0).then_some(text)
    })
}

fn json(sentinel: &Sentinel, words: &[&str]) -> Json {
    let answer = sentinel.call(words).expect("it answers");
    let text = answer.text().unwrap_or_else(|| panic!("{words:?}: {answer:?}"));
    serde_json::from_str(text).expect("it is JSON")
}

fn history(sentinel: &Sentinel) -> Vec<Json> {
    json(sentinel, &["SENTINEL", "HISTORY", GROUP]).as_array().expect("a list").clone()
}

/// When something happened in a failover, in milliseconds since its beginning.
fn phase(failover: &Json, name: &str) -> Option<f64> {
    let marks = failover["phases"].as_array().expect("a list");
    marks.iter().find(|mark| mark["phase"] == name).and_then(|mark| mark["at_ms"].as_f64())
}

#[test]
fn every_sentinel_remembers_a_failover_with_its_phases() {
    let mut cluster = Cluster::start(&three_daemons());
    let text = is_well(cluster.sentinels[0].port);
    let (old, third) = (cluster.redis[0].port, cluster.sentinels[2].port);
    for part in [format!("{GROUP}  127.0.0.1:{old}  epoch 0"), "all 2 others".into(), at(third)] {
        assert!(text.contains(&part), "{part} is not in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80 && !line.contains('\x1b')), "{text}");
    for sentinel in &cluster.sentinels {
        assert_eq!(history(sentinel), Vec::<Json>::new());
    }

    cluster.redis[0].kill();
    let new = cluster.redis[cluster.wait_for_new_master(0, PATIENCE)].port;
    let all: Vec<Json> = eventually("everybody has closed the story", PATIENCE, || {
        let last = |sentinel: &Sentinel| history(sentinel).into_iter().next();
        let all: Vec<Json> = cluster.sentinels.iter().filter_map(last).collect();
        let over = |failover: &Json| {
            let whole = failover["led"] == false || phase(failover, "end").is_some();
            failover["outcome"] == "done" && whole
        };
        (all.len() == 3 && all.iter().all(over)).then_some(all)
    });
    assert_eq!(all.iter().filter(|failover| failover["led"] == true).count(), 1, "{all:#?}");
    for failover in &all {
        assert_eq!((&failover["from"], &failover["to"]), (&at(old).into(), &at(new).into()));
        assert_eq!((&failover["epoch"], &failover["ordered"]), (&all[0]["epoch"], &false.into()));
        let (sdown, switched) = (phase(failover, "sdown"), phase(failover, "switched"));
        let (sdown, switched) = (sdown.expect("noticed"), switched.expect("switched"));
        assert_eq!(phase(failover, "silent"), Some(0.0));
        // down-after is a second; the machine may be busy, but nothing is early.
        assert!((1000.0..5000.0).contains(&sdown) && switched > sdown, "{failover:#}");
        if failover["led"] == true {
            let names = [
                "odown",
                "standing",
                "elected",
                "selected",
                "told",
                "promoted",
                "switched",
                "reconfigured",
                "end",
            ];
            let times =
                names.map(|name| phase(failover, name).unwrap_or_else(|| panic!("no {name}: {failover:#}")));
            assert!(times.is_sorted(), "{failover:#}");
        }
    }
    let (text, code) = status(cluster.sentinels[0].port, &[GROUP]);
    assert_eq!(code, 2, "a replica is missing: {text}");
    assert!(
        text.contains("LAST FAILOVERS") && text.contains(&format!("{} -> {}  done", at(old), at(new))),
        "{text}"
    );
}

#[test]
fn json_says_what_the_page_says_and_the_exit_status_what_is_wrong() {
    let mut cluster = Cluster::start(&three_daemons());
    let port = cluster.sentinels[0].port;
    is_well(port);
    let look = || {
        let (text, code) = status(port, &["--json"]);
        (serde_json::from_str::<Json>(&text).unwrap_or_else(|error| panic!("{error}: {text}")), code)
    };
    let (found, code) = look();
    assert_eq!((found["kind"].as_str(), code), (Some("consentinel"), 0));
    assert_eq!(found["problems"], Json::Array(vec![]));
    let master = &found["picture"]["masters"][0];
    assert_eq!(master["address"], at(cluster.redis[0].port));
    assert_eq!((&master["usable_sentinels"], &master["quorum_reachable"]), (&3.into(), &true.into()));
    assert_eq!(master["replicas"].as_array().map(Vec::len), Some(2));
    let others = found["others"].as_array().expect("a list");
    assert!(
        others.len() == 2 && others.iter().all(|other| other["picture"]["myid"] == other["id"]),
        "{others:#?}"
    );
    // The sentinel's own command gives the same picture.
    let told = json(&cluster.sentinels[0], &["SENTINEL", "STATUS", GROUP]);
    assert_eq!((&told["myid"], &told["masters"][0]["name"]), (&found["picture"]["myid"], &GROUP.into()));
    assert_eq!(told["masters"][0]["sentinels"][0]["id"], master["sentinels"][0]["id"]);

    cluster.sentinels[1].kill();
    cluster.sentinels[2].kill();
    let problems = eventually("the missing sentinels are noticed", PATIENCE, || {
        let (found, code) = look();
        let problems = found["problems"].to_string();
        (code == 2 && problems.contains("no majority")).then_some(problems)
    });
    assert!(problems.contains("quorum") && problems.contains(&at(cluster.sentinels[1].port)), "{problems}");
    let (text, code) = tool(&["explain", GROUP, "--sentinel", &at(port)], &[]);
    assert!(code == 2 && text.replace("\n  ", " ").contains("start these sentinels again"), "{text}");

    cluster.sentinels[0].kill();
    let (text, code) = status(port, &[]);
    assert!(code == 1 && text.contains("cannot be reached"), "{text}");
    let (text, code) = status(port, &["--json", "no-such-master"]);
    assert_eq!(code, 1, "{text}");
}

#[test]
fn why_nobody_is_promoted_is_told_with_the_end_of_the_wait() {
    let mut setup = Setup::new(vec![ours()]);
    (setup.quorum, setup.replicas) = (1, 2);
    setup.server_lines = vec![vec![], vec!["replica-priority 0".into()], vec!["replica-priority 0".into()]];
    let mut cluster = Cluster::start(&setup);
    let at_sentinel = at(cluster.sentinels[0].port);
    let explain = || tool(&["explain", GROUP, "--sentinel", &at_sentinel], &[]);
    let unwrapped = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (text, code) = eventually("both replicas have told their priorities", PATIENCE, || {
        let (text, code) = explain();
        let text = unwrapped(&text);
        (text.matches("which means never").count() == 2).then_some((text, code))
    });
    assert!(code == 2 && text.contains("No replica may be promoted"), "{text}");
    cluster.redis[0].kill();
    let text = eventually("an attempt has come to nothing", PATIENCE, || {
        let text = unwrapped(&explain().0);
        text.contains("may try again in").then_some(text)
    });
    assert!(
        text.contains("does not fail over, for the reasons below") && text.contains("by this sentinel"),
        "{text}"
    );
    let (text, _) = tool(&["explain", GROUP, "--sentinel", &at_sentinel, "--json"], &[]);
    let told: Json = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(told["obstacles"], serde_json::json!(["blocked", "no-candidate"]), "{told:#}");
    assert_eq!(told["candidates"][0]["standing"], "unfit");
    let wait = told["next_attempt_in_ms"].as_u64().expect("a number");
    assert!((1..=20_000).contains(&wait), "twice failover-timeout at most: {wait}");
    assert_eq!(history(&cluster.sentinels[0])[0]["outcome"], "aborted");
    assert!(status(cluster.sentinels[0].port, &[]).0.contains("blocks the next one for"));
    let (text, code) = tool(&["explain", "other", "--sentinel", &at_sentinel], &[]);
    assert!(code == 1 && text.contains("watches no master 'other'"), "{text}");
}

#[test]
fn a_user_needs_the_rights_and_is_told_which() {
    let folder = Folder::new();
    let config = format!("sentinel monitor {GROUP} 127.0.0.1 1 1\n");
    let extra = Extra::default()
        .password("top")
        .line("user nobody on >none +ping")
        .line("user watcher on >look +ping +sentinel|status +sentinel|history +sentinel|explain");
    let sentinel = Sentinel::start_new(&folder, ours(), &config, extra);
    let at = at(sentinel.port);
    let ask = |words: &[&str], password: Option<&str>| {
        let environment: Vec<_> = password.map(|word| ("REDISCLI_AUTH", word)).into_iter().collect();
        tool(&[&["status", "--sentinel", &at], words].concat(), &environment)
    };
    let (text, code) = ask(&[], None);
    assert!(code == 1 && text.contains("asks for a password"), "{text}");
    let (text, code) = ask(&[], Some("wrong"));
    assert!(code == 1 && text.contains("refuses the password") && !text.contains("wrong"), "{text}");
    let (text, code) = ask(&["--user", "nobody"], Some("none"));
    assert!(code == 1 && text.contains("+sentinel|status +sentinel|history +sentinel|explain"), "{text}");
    let (text, code) = ask(&["--user", "watcher"], Some("look"));
    assert!(code == 2 && text.contains(GROUP), "nobody is at port 1: {text}");
    let (text, code) =
        tool(&["explain", GROUP, "--sentinel", &at, "--user", "watcher"], &[("REDISCLI_AUTH", "look")]);
    assert!(code == 2 && text.contains("knows of no replica"), "{text}");
    // The configuration knows the password; so does a file.
    let (text, code) = tool(&["status", "-c", &sentinel.config().display().to_string()], &[]);
    assert!(code == 2 && text.contains(GROUP), "{text}");
    let file = folder.path().join("password");
    std::fs::write(&file, "top\n").expect("the folder is ours");
    let (text, code) = ask(&["--password-file", &file.display().to_string()], None);
    assert!(code == 2 && text.contains(GROUP) && !text.contains("top"), "{text}");
}

#[test]
fn the_way_may_lead_over_tls() {
    let folder = Folder::new();
    let authority = Authority::new(&folder, "house");
    let own = authority.issue("all");
    let port = free_port();
    let [cert, key, ca] =
        [own.cert.clone(), own.key.clone(), authority.ca()].map(|path| path.display().to_string());
    let config = format!(
        "tls-port {port}\ntls-cert-file {cert}\ntls-key-file {key}\ntls-ca-cert-file {ca}\n\
         sentinel monitor {GROUP} 127.0.0.1 1 1\n"
    );
    let _sentinel = Sentinel::start_new(&folder, ours(), &config, Extra::default());
    let (text, code) = status(port, &["--cacert", &ca, "--cert", &cert, "--key", &key]);
    assert!(code == 2 && text.contains(GROUP), "{text}");
    let (text, code) = status(port, &["--cacert", &ca]);
    assert!(code == 1 && !text.contains(GROUP), "it asks for a certificate: {text}");
    let other = Authority::new(&folder, "street").ca().display().to_string();
    let (text, code) = status(port, &["--cacert", &other, "--cert", &cert, "--key", &key]);
    assert!(code == 1 && text.contains("an authority that is not among"), "{text}");
    let (text, code) = status(port, &[]);
    assert_eq!(code, 1, "it speaks nothing but TLS: {text}");
}

#[test]
fn a_real_sentinel_is_called_one_and_shown_as_far_as_it_tells() {
    let cluster = Cluster::start(&Setup::new(vec![ours(), ours(), Program::Original]));
    let [ours, _, original] = [0, 1, 2].map(|number| cluster.sentinels[number].port);
    is_well(ours);
    let text = is_well(original);
    assert!(text.starts_with("redis-sentinel 7") && text.contains("This is no consentinel"), "{text}");
    for part in [at(cluster.redis[1].port), at(ours), "all 2 others".into(), "linked".into()] {
        assert!(text.contains(&part), "{part} is not in\n{text}");
    }
    // And ours has asked it what it sees.
    let (text, _) = status(ours, &["--json"]);
    let found: Json = serde_json::from_str(&text).expect("it is JSON");
    let others = found["others"].as_array().expect("a list");
    let theirs = others.iter().find(|other| other["address"] == at(original)).expect("it is known");
    assert_eq!(theirs["picture"]["masters"][0]["address"], at(cluster.redis[0].port));
    let (text, code) = tool(&["explain", GROUP, "--sentinel", &at(original)], &[]);
    assert!(
        code == 1 && text.contains("a redis-sentinel") && text.contains("OK 3 usable Sentinels"),
        "{text}"
    );
}

#[test]
fn what_consul_holds_is_shown_beside_what_it_should() {
    let mut stage = Stage::set();
    let port = stage.cluster.sentinels[0].port;
    let text = is_well(port);
    assert!(text.contains("CONSUL  redis at http://") && text.contains("=  master"), "{text}");
    let (text, _) = tool(&["explain", GROUP, "--sentinel", &at(port)], &[]);
    assert!(text.contains("Consul would be given:") && text.contains("by the failover of"), "{text}");
    let new = stage.fail_over(0);
    let new = at(stage.cluster.redis[new].port);
    for sentinel in &stage.cluster.sentinels {
        let failover = eventually("the publication is remembered", PATIENCE, || {
            history(sentinel).into_iter().next().filter(|failover| phase(failover, "published").is_some())
        });
        let marks = failover["phases"].as_array().expect("a list");
        let words =
            marks.iter().find(|mark| mark["phase"] == "published").map(|mark| mark["words"].to_string());
        assert!(words.expect("it was found").contains(&format!("Consul names {new}")), "{failover:#}");
        assert!(phase(&failover, "published") > phase(&failover, "sdown"), "{failover:#}");
    }
}

#[test]
fn watched_in_a_pipe_each_change_is_a_line() {
    let mut cluster = Cluster::start(&three_daemons());
    let port = cluster.sentinels[0].port;
    is_well(port);
    let mut child = Command::new(env!("CARGO_BIN_EXE_consentinel"))
        .args(["status", "--watch", "0.1", "--sentinel", &at(port)])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("it is a pipe")).lines();
    let mut next = || lines.next().expect("it goes on").expect("it is text");
    let first = next();
    assert!(
        first.contains(&at(cluster.redis[0].port)) && first.ends_with("2 of 2 replicas, 3 of 3 sentinels"),
        "{first}"
    );
    cluster.redis[0].kill();
    let new = cluster.redis[cluster.wait_for_new_master(0, PATIENCE)].port;
    while !next().contains(&format!("{GROUP} {} epoch ", at(new))) {}
    // Nobody reads any more: it ends by itself.
    drop(lines);
    cluster.redis[new_index(&cluster, new)].pause();
    let ended = eventually("it ends", PATIENCE, || child.try_wait().expect("it is our child"));
    assert!(ended.success(), "{ended}");
    cluster.redis[new_index(&cluster, new)].resume();
}

fn new_index(cluster: &Cluster, port: u16) -> usize {
    cluster.redis.iter().position(|redis| redis.port == port).expect("it is one of them")
}

#[test]
fn the_commands_refuse_what_they_cannot_answer() {
    let folder = Folder::new();
    let config = format!("sentinel monitor {GROUP} 127.0.0.1 1 1\n");
    let sentinel = Sentinel::start_new(&folder, ours(), &config, Extra::default());
    for (words, expected) in [
        (&["SENTINEL", "STATUS", "none"][..], "ERR No such master with that name"),
        (&["SENTINEL", "STATUS", GROUP, "none"], "ERR No such master with that name"),
        (&["SENTINEL", "HISTORY", "none"], "ERR No such master with that name"),
        (&["SENTINEL", "HISTORY", GROUP, GROUP], "ERR unknown subcommand or wrong number of arguments"),
        (&["SENTINEL", "EXPLAIN"], "ERR wrong number of arguments for 'sentinel|explain' command"),
        (&["SENTINEL", "EXPLAIN", "none"], "ERR No such master with that name"),
        (&["SENTINEL", "EXPLAIN", GROUP, "XML"], "ERR syntax error"),
    ] {
        let answer = sentinel.call(words).expect("it answers");
        assert!(answer.error().is_some_and(|text| text.starts_with(expected)), "{words:?}: {answer:?}");
    }
    let lines = sentinel.call(&["SENTINEL", "EXPLAIN", GROUP]).expect("it answers");
    assert!(lines.items().iter().all(|line| line.text().is_some_and(|text| !text.is_empty())), "{lines:?}");
    assert!(lines.items().len() > 2);
    let help = sentinel.call(&["SENTINEL", "HELP"]).expect("it answers");
    for name in ["EXPLAIN ", "HISTORY ", "STATUS "] {
        assert!(help.items().iter().filter_map(Value::text).any(|line| line.starts_with(name)), "{name}");
    }
}
