//! What README and the sample configuration show, done as they say.

use crate::PATIENCE;
use consentinel_lab::{Folder, Process, Redis, Serving, eventually, free_port};
use std::fs;
use std::path::Path;
use std::process::Command;

const README: &str = include_str!("../../README.md");
const SAMPLE: &str = include_str!("../../docs/sentinel.conf");

/// The fenced block of a page that begins so.
pub(crate) fn block<'a>(page: &'a str, begins: &str) -> &'a str {
    let mut blocks = page.split("```").skip(1).step_by(2);
    blocks.find(|block| block.trim_start().starts_with(begins)).expect("the page has such a block").trim()
}

#[test]
fn the_sample_configuration_and_the_line_for_scripts_work_as_they_are() {
    let folder = Folder::new();
    let redis = Redis::start_new(&folder, &Serving::default(), None);
    let (port, dns, http) = (free_port(), free_port(), free_port());
    let master = format!("127.0.0.1 {}", redis.port);
    let mut text = SAMPLE.replace("port 26379", &format!("port {port}"));
    for (old, new) in [
        ("127.0.0.1 6379 2", format!("{master} 1")),
        ("127.0.0.1:8600", format!("127.0.0.1:{dns}")),
        ("127.0.0.1:8654", format!("127.0.0.1:{http}")),
    ] {
        assert!(text.contains(old), "the sample says {old}");
        text = text.replace(old, &new);
    }
    let config = folder.path().join("sentinel.conf");
    fs::write(&config, text).expect("the folder is ours");
    let program = Path::new(env!("CARGO_BIN_EXE_consentinel"));
    let _daemon = Process::start(program, &[&config], &folder.path().join("log"));

    let line = block(README, "dig @127.0.0.1 -p 8600 redis.service.consul SRV +noall");
    let line = line.replace("-p 8600", &format!("-p {dns} +time=1 +tries=1"));
    eventually("the line for scripts says the master", PATIENCE, || {
        let output = Command::new("sh").args(["-c", &line]).output().expect("sh and dig are there");
        (String::from_utf8_lossy(&output.stdout).trim() == master).then_some(())
    });

    let status = |arguments: &[&str]| {
        let sentinel = format!("127.0.0.1:{port}");
        let mut command = Command::new(program);
        command.args(arguments).args(["--sentinel", &sentinel]).env("NO_COLOR", "1");
        let output = command.output().expect("the program is there");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(status(&["status"]).contains("All is well."), "{}", status(&["status"]));
    let explained = status(&["explain", "mymaster"]);
    assert!(explained.contains("there is no reason for a"), "{explained}");
}
