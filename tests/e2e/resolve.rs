//! `consentinel resolve`, as scripts use it.

use super::consul_stage::{SERVICE, Stage};
use super::dns::{cluster_with, is_named};
use crate::{PATIENCE, three_daemons};
use consentinel_lab::{ConsulOptions, Extra, Folder, Process, eventually, free_port};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_consentinel");

fn resolve(dns: SocketAddr, words: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["resolve", SERVICE, "--dns", &dns.to_string()]).args(words).env_remove("CONSUL_HTTP_TOKEN");
    command.output().expect("the program is there")
}

/// What it says, when all is well.
fn said(dns: SocketAddr, words: &[&str]) -> String {
    let output = resolve(dns, words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Its exit status and what it complains of.
fn complaint(dns: SocketAddr, words: &[&str]) -> (Option<i32>, String) {
    let output = resolve(dns, words);
    assert_eq!(output.stdout, b"", "{words:?}");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn every_format_says_the_master() {
    let stage = Stage::set_with(&ConsulOptions::default(), three_daemons(), &Extra::default());
    let (dns, port) = (stage.consul.dns(), stage.cluster.redis[0].port);
    assert_eq!(said(dns, &[]), format!("127.0.0.1 {port}\n"));
    assert_eq!(said(dns, &["--format", "url"]), format!("redis://127.0.0.1:{port}\n"));
    assert_eq!(said(dns, &["--template", "{host}:{port} {epoch}"]), format!("127.0.0.1:{port} 0\n"));
    let json: Value = serde_json::from_str(&said(dns, &["--format", "json"])).expect("it is JSON");
    assert_eq!(
        (&json["host"], &json["port"], &json["epoch"]),
        (&"127.0.0.1".into(), &port.into(), &0.into())
    );
    let script = format!(
        "eval \"$({PROGRAM} resolve {SERVICE} --dns {dns} --format env)\"; echo $REDIS_HOST $REDIS_PORT"
    );
    let output = Command::new("sh").args(["-c", &script]).output().expect("sh is there");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("127.0.0.1 {port}\n"));

    let ports = |text: String| {
        let mut ports: Vec<u16> = text
            .lines()
            .map(|line| line.split_once(' ').expect("two words").1.parse().expect("a port"))
            .collect();
        ports.sort_unstable();
        ports
    };
    let sorted = |mut ports: Vec<u16>| {
        ports.sort_unstable();
        ports
    };
    let replicas = stage.cluster.redis[1..].iter().map(|redis| redis.port).collect();
    assert_eq!(ports(said(dns, &["--replicas"])), sorted(replicas));
    let sentinels = sorted(stage.cluster.sentinels.iter().map(|sentinel| sentinel.port).collect());
    eventually("the sentinels are registered", PATIENCE, || {
        (ports(said(dns, &["--sentinels"])) == sentinels).then_some(())
    });
    assert_eq!(said(dns, &["--tag", "mymaster", "--datacenter", "dc1"]), format!("127.0.0.1 {port}\n"));
}

#[test]
fn a_command_is_run_in_its_place() {
    let stage = Stage::set();
    let (dns, port) = (stage.consul.dns(), stage.cluster.redis[0].port);
    assert_eq!(
        said(dns, &["--exec", "redis-cli -h {host} -p {port} config get port"]),
        format!("port\n{port}\n")
    );
    let environment =
        said(dns, &["--exec", "sh -c 'echo $REDIS_URL $REDIS_EPOCH \"$1\"' sh '{port} \"; $(id)'"]);
    assert_eq!(environment, format!("redis://127.0.0.1:{port} 0 {port} \"; $(id)\n"));
    assert_eq!(resolve(dns, &["--exec", "sh -c 'exit 42'"]).status.code(), Some(42));
    let (code, text) = complaint(dns, &["--exec", "no-such-program {port}"]);
    assert_eq!(code, Some(127), "{text}");
    assert!(text.contains("no-such-program cannot be run"), "{text}");
}

#[test]
fn a_script_can_tell_nobody_from_silence_and_from_a_mistake() {
    let (mut cluster, dns) = cluster_with(three_daemons(), &[]);
    is_named(dns[0], cluster.redis[0].port);
    // Whoever could take over is gone: there is no new master.
    for redis in &mut cluster.redis {
        redis.kill();
    }
    eventually("nobody is master", PATIENCE, || {
        (resolve(dns[0], &[]).status.code() == Some(1)).then_some(())
    });
    let (code, text) = complaint(dns[0], &[]);
    assert_eq!(code, Some(1));
    assert!(
        text.contains(SERVICE) && text.contains(&dns[0].to_string()) && text.contains("NXDOMAIN"),
        "{text}"
    );

    let nobody: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let (code, text) = complaint(nobody, &["--timeout", "300ms"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains(&nobody.to_string()), "{text}");

    for (words, what) in [
        (&["--format", "xml"][..], "[possible values: plain, json, url, env]"),
        (&["--wait", "soon"], "30s"),
        (&["--dns", "consul.lan"], "127.0.0.1:8600"),
        (&["--template", "{hots}"], "{host}, {port}"),
        (&["--exec", "sh -c 'open"], "a quote is not closed"),
        (&["--exec", "true", "--format", "url"], "cannot be used with"),
        (&["--tag", "a..b"], "a..b"),
    ] {
        let (code, text) = complaint(dns[0], words);
        assert_eq!(code, Some(2), "{words:?}: {text}");
        assert!(text.contains(what), "{words:?}: {text}");
    }
}

#[test]
fn one_can_wait_for_a_master() {
    let (cluster, dns) = cluster_with(three_daemons(), &[]);
    assert_eq!(said(dns[0], &["--wait", "30s"]), format!("127.0.0.1 {}\n", cluster.redis[0].port));
    let nobody: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let begin = Instant::now();
    let (code, _) = complaint(nobody, &["--wait", "600ms", "--timeout", "200ms"]);
    assert_eq!(code, Some(3));
    assert!(begin.elapsed() >= Duration::from_millis(500), "it has waited for {:?}", begin.elapsed());
}

/// Lines that a running `resolve --watch` has written so far.
fn lines(log: &Path) -> Vec<String> {
    std::fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn every_change_is_a_line_or_a_command() {
    for over_http in [false, true] {
        let mut stage = Stage::set();
        let folder = Folder::new();
        let dns = stage.consul.dns().to_string();
        let mut words = vec!["resolve", SERVICE, "--watch", "--dns", &dns];
        let http = stage.consul.address();
        if over_http {
            words.extend(["--consul", &http]);
        }
        let [told, done] = ["told", "done"].map(|name| folder.path().join(name));
        let _teller = Process::start(Path::new(PROGRAM), &words, &told);
        words.extend(["--exec", "echo now {port}"]);
        let _doer = Process::start(Path::new(PROGRAM), &words, &done);
        let mut masters = vec![0];
        let expect = |masters: &[usize], stage: &Stage| {
            let port = |master: &usize| stage.cluster.redis[*master].port;
            let all: Vec<_> = masters.iter().map(|master| format!("127.0.0.1 {}", port(master))).collect();
            let commands: Vec<_> = masters.iter().map(|master| format!("now {}", port(master))).collect();
            eventually("both have heard of it", PATIENCE, || {
                let only = |lines: Vec<String>| -> Vec<String> {
                    lines.into_iter().filter(|line| !line.starts_with("consentinel:")).collect()
                };
                (only(lines(&told)) == all && only(lines(&done)) == commands).then_some(())
            });
        };
        expect(&masters, &stage);
        masters.push(stage.fail_over(0));
        expect(&masters, &stage);
    }
}
