//! redis-cli, with a person before it and without.

use crate::{PATIENCE, ours};
use consentinel_lab::{Cluster, Dialogue, Program, Setup};
use std::path::Path;
use std::process::{Command, Stdio};

/// An original and two of ours; one of ours leads.
fn mixed() -> Cluster {
    let mut setup = Setup::new(vec![Program::Original, ours(), ours()]);
    setup.leader = Some(1);
    setup.down_after = super::mixed::DOWN_AFTER;
    Cluster::start(&setup)
}

pub(crate) fn cli(port: u16, words: &str) -> String {
    let output = Command::new("redis-cli")
        .args(["-p", &port.to_string()])
        .args(words.split(' '))
        .stdin(Stdio::null())
        .output()
        .expect("redis-cli is there: run `just deps`");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Without what differs from sentinel to sentinel: numbers and ids.
pub(crate) fn shape(text: &str) -> String {
    let words = text.split_inclusive([' ', '\n', '"', '=', ':', ',']);
    let shape = |word: &str| {
        let bare = word.trim_end_matches([' ', '\n', '"', '=', ':', ',']);
        let is_id = bare.len() == 40 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_number = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit());
        if is_id || is_number { word.replacen(bare, "N", 1) } else { word.to_owned() }
    };
    words.map(shape).collect()
}

#[test]
fn an_operators_scripts_print_the_same() {
    let cluster = mixed();
    for words in [
        "PING",
        "SENTINEL masters",
        "SENTINEL master mymaster",
        "SENTINEL master nobody",
        "SENTINEL slaves mymaster",
        "SENTINEL replicas mymaster",
        "SENTINEL sentinels mymaster",
        "SENTINEL get-master-addr-by-name mymaster",
        "SENTINEL get-master-addr-by-name nobody",
        "SENTINEL ckquorum mymaster",
        "SENTINEL pending-scripts",
        "SENTINEL myid",
        "SENTINEL",
        "INFO sentinel",
        "ROLE",
        "GET key",
        "--no-raw SENTINEL masters",
        "--csv SENTINEL masters",
        "-3 --no-raw SENTINEL masters",
        "-3 SENTINEL get-master-addr-by-name mymaster",
        "-r 3 -i 0.01 PING",
    ] {
        let [original, ours] = [0, 1].map(|number| shape(&cli(cluster.sentinels[number].port, words)));
        assert_eq!(ours, original, "redis-cli {words}");
    }
}

#[test]
fn a_person_at_a_terminal_looks_around() {
    let cluster = mixed();
    for sentinel in &cluster.sentinels[..2] {
        let prompt = format!("127.0.0.1:{}> ", sentinel.port);
        let command = format!("TERM=dumb redis-cli -p {}", sentinel.port);
        let mut terminal = Dialogue::start(Path::new("script"), &["-qefc", &command, "/dev/null"]);
        terminal.hear(&prompt, PATIENCE);
        let mut told = |line: &str, answer: &str| {
            terminal.say(line);
            terminal.hear(answer, PATIENCE);
            terminal.hear(&prompt, PATIENCE);
        };
        told("PING", "PONG");
        told("SENTINEL masters", "\"mymaster\"");
        told("SENTINEL slaves mymaster", "\"slave-repl-offset\"");
        told("INFO sentinel", "master0:name=mymaster,status=ok");
        told("SENTINEL get-master-addr-by-name mymaster", &format!("2) \"{}\"", cluster.redis[0].port));
        told("HELLO 3", "\"sentinel\"");
        told("SENTINEL get-master-addr-by-name mymaster", &format!("2) \"{}\"", cluster.redis[0].port));
        told("GET key", "unknown command");
        terminal.say("SUBSCRIBE +reset-master");
        terminal.hear("Reading messages", PATIENCE);
        terminal.hear("+reset-master", PATIENCE);
        assert!(sentinel.call(&["SENTINEL", "RESET", "mymaster"]).is_some());
        terminal.hear(&format!("master mymaster 127.0.0.1 {}", cluster.redis[0].port), PATIENCE);
    }
}
