//! Users that are made at run time outlive the process, whichever program it is.

use crate::{PATIENCE, ours};
use consentinel_lab::{Client, Extra, Folder, Program, Sentinel, Value};
use std::process::Command;

const MASTER: &str = "sentinel monitor mymaster 127.0.0.1 1 2\n";

fn said(sentinel: &Sentinel, words: &[&str]) -> Value {
    sentinel.call(words).expect("the sentinel answers")
}

fn rules(sentinel: &Sentinel) -> Vec<String> {
    let mut rules: Vec<_> =
        said(sentinel, &["ACL", "LIST"]).items().iter().filter_map(|line| line.text().map(sorted)).collect();
    rules.sort();
    rules
}

/// Rules for commands come in the order of a hash, and a default user that was read has one more, of no meaning.
fn sorted(rules: &str) -> String {
    let mut words: Vec<_> = rules.split(' ').filter(|rule| *rule != "sanitize-payload").collect();
    words[2..].sort_unstable();
    words.join(" ")
}

#[test]
fn users_made_at_run_time_outlive_the_process_and_the_program() {
    let folder = Folder::new();
    for programs in [[ours(), Program::Original], [Program::Original, ours()]] {
        let [first, second] = programs;
        let extra = Extra::default().line("user old on >x +ping");
        let mut sentinel = Sentinel::start_new(&folder, first, MASTER, extra);
        said(
            &sentinel,
            &["ACL", "SETUSER", "ops", "on", ">secret", "+@all", "-@admin", "&+s*", "(+info ~k)"],
        );
        said(&sentinel, &["ACL", "SETUSER", "gone", "on"]);
        said(&sentinel, &["SENTINEL", "FLUSHCONFIG"]);
        assert_eq!(said(&sentinel, &["ACL", "DELUSER", "gone"]), Value::Int(1));
        let before = rules(&sentinel);
        assert_eq!(said(&sentinel, &["SENTINEL", "FLUSHCONFIG"]).text(), Some("OK"));
        for program in [sentinel.program.clone(), second] {
            sentinel.terminate();
            sentinel.program = program;
            sentinel.start();
            assert_eq!(rules(&sentinel), before, "{}", sentinel.config_text());
            assert_eq!(said(&sentinel, &["AUTH", "ops", "secret"]).text(), Some("OK"));
        }
    }
}

#[test]
fn a_changed_password_of_the_default_user_outlives_requirepass() {
    let folder = Folder::new();
    let mut sentinel =
        Sentinel::start_new(&folder, ours(), MASTER, Extra::default().line("requirepass first"));
    let log_in = |sentinel: &Sentinel, password: &str| {
        let mut client = Client::connect(sentinel.port, PATIENCE).expect("it listens");
        let answer = client.call(&["AUTH", password]).expect("it answers");
        (client, answer.text() == Some("OK"))
    };
    let (mut client, fits) = log_in(&sentinel, "first");
    assert!(fits);
    client.call(&["ACL", "SETUSER", "default", "resetpass", ">second"]).expect("it answers");
    client.call(&["SENTINEL", "FLUSHCONFIG"]).expect("it answers");
    sentinel.terminate();
    sentinel.start();
    assert!(log_in(&sentinel, "second").1);
    assert!(!log_in(&sentinel, "first").1);
}

#[test]
fn users_of_two_sources_or_wrong_rules_stop_the_start() {
    let folder = Folder::new();
    std::fs::write(folder.path().join("users.acl"), "user a +nothing\n").expect("the folder is ours");
    for (lines, words) in [
        ("user a on\naclfile users.acl\n", "define either an ACL file or declare users"),
        ("aclfile users.acl\n", "users.acl:1: Error in applying operation '+nothing'"),
        ("aclfile nowhere.acl\n", "opening file 'nowhere.acl': No such file or directory"),
        ("user a on +nothing\n", "Error in user declaration 'a'"),
    ] {
        let config = folder.path().join("sentinel.conf");
        let text = format!(
            "port {}\ndir {}\n{lines}{MASTER}",
            consentinel_lab::free_port(),
            folder.path().display()
        );
        std::fs::write(&config, text).expect("the folder is ours");
        let Program::Ours(program) = ours() else { unreachable!("it is ours") };
        let output = Command::new(program).arg(&config).output().expect("it can be started");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(!output.status.success() && said.contains(words), "{lines}: {said}");
    }
}
