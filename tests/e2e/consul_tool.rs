//! `consentinel consul ...`

use super::consul_stage::{NODE, Stage};
use crate::PATIENCE;
use consentinel_lab::{Consul, ConsulOptions, Folder, GROUP, eventually, free_port};
use serde_json::{Value, json};
use std::process::{Command, Output, Stdio};

/// What the tool says, and how it ends.
pub(crate) fn tool(words: &[&str]) -> (String, i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consentinel"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CONSUL_")) {
        command.env_remove(name);
    }
    let output = command.arg("consul").args(words).stdin(Stdio::null()).output().expect("it runs");
    let Output { status, stdout, stderr } = output;
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    (text, status.code().expect("it exits"))
}

/// Waits until the agent has entered itself, and may have sessions.
fn is_healthy(consul: &Consul) {
    let checks = || consul.get(&format!("/v1/health/node/{}", consul.name));
    eventually("the agent has entered itself", PATIENCE, || {
        checks()?.as_array()?.iter().any(|check| check["Status"] == "passing").then_some(())
    });
}

#[test]
fn check_names_the_rights_that_are_missing_and_leaves_no_traces() {
    let folder = Folder::new();
    let consul = Consul::start_new(&folder, &ConsulOptions { acl: true, ..Default::default() });
    let file = folder.path().join("token");
    let file_name = file.display().to_string();
    let check = |token: &str| {
        std::fs::write(&file, token).expect("the folder is ours");
        tool(&["check", GROUP, "--address", &consul.address(), "--token-file", &file_name])
    };
    let before = |consul: &Consul| (consul.nodes(), consul.get("/v1/kv/?keys"), consul.sessions());
    // An agent that has just started is still entering itself.
    is_healthy(&consul);
    let untouched = before(&consul);

    let (text, code) = check(&consul.token_with("nothing", ""));
    assert_eq!(code, 1, "{text}");
    let policy: String = text.lines().filter(|line| line.ends_with('}')).collect::<Vec<_>>().join("\n");
    assert!(policy.contains(r#"session_prefix "" { policy = "write" }"#), "{text}");
    assert_eq!(before(&consul), untouched);

    // What it says is enough, and no more is said then.
    let token = consul.token_with("enough", &policy);
    let (text, code) = check(&token);
    assert_eq!(code, 0, "{text}");
    assert_eq!(before(&consul), untouched);
    assert!(!text.contains(&token), "{text}");

    let (text, code) = check("00000000-1111-2222-3333-444444444444");
    assert!(code == 1 && text.contains("check the token"), "{text}");
}

#[test]
fn check_says_what_else_answers_under_our_names() {
    let folder = Folder::new();
    let more = json!({ "node_name": NODE, "dns_config": { "service_ttl": { "*": "7s" } } });
    let consul = Consul::start_new(&folder, &ConsulOptions { more, ..Default::default() });
    let stranger = json!({ "Node": "other", "Address": "10.0.0.9",
        "Service": { "ID": "redis-1", "Service": "redis", "Port": 6379 } });
    consul.put("/v1/catalog/register", &stranger);
    eventually("the agent has entered itself", PATIENCE, || {
        let (text, code) = tool(&["check", GROUP, "--address", &consul.address()]);
        (code == 1 && text.contains("an agent of Consul runs under the node name")).then_some(())
    });
    let (text, code) = tool(&["check", GROUP, "--address", &consul.address()]);
    assert_eq!(code, 1, "{text}");
    for said in
        ["redis-1 at 10.0.0.9:6379", "may be kept for 7s", "an agent of Consul runs under the node name"]
    {
        assert!(text.contains(said), "{said}: {text}");
    }
    let nobody = format!("127.0.0.1:{}", free_port());
    let (text, code) = tool(&["check", "--address", &nobody]);
    assert!(code == 1 && text.contains("cannot be reached"), "{text}");
}

#[test]
fn what_is_published_is_shown_beside_what_should_be_and_taken_away_when_asked_to() {
    let mut stage = Stage::set();
    let config = stage.cluster.sentinels[0].config().display().to_string();
    let address = stage.consul.address();
    let show = |more: &[&str]| tool(&[&["show", "-c", &config, "--address", &address], more].concat());
    // Somebody takes the lock a moment after the record is there.
    let (text, shown) = eventually("nothing differs, and somebody has the lock", PATIENCE, || {
        let (text, code) = show(&["--json"]);
        let shown: Value = serde_json::from_str(&text).ok()?;
        (code == 0 && shown[0]["lock"].is_string()).then_some((text, shown))
    });
    assert_eq!(shown[0]["master"], GROUP);
    assert_eq!(shown[0]["entries"].as_array().map(Vec::len), Some(3), "{text}");
    assert_eq!(shown[0]["daemon"]["state"], "published", "{text}");
    assert!(shown[0]["lock"].as_str().is_some_and(|holder| holder.starts_with("consentinel ")), "{text}");

    let deregister = |more: &[&str]| tool(&[&["deregister", GROUP, "--address", &address], more].concat());
    let (text, code) = deregister(&[]);
    assert!(code == 1 && text.contains("--yes") && text.contains("still publishes it"), "{text}");
    assert!(stage.consul.nodes().contains(NODE));

    // A daemon that is still there puts it back; without one it stays away.
    assert_eq!(deregister(&["--yes"]).1, 0);
    eventually("it is put back", PATIENCE, || (stage.consul.entries("redis").len() == 1).then_some(()));
    stage.cluster.sentinels.iter_mut().for_each(consentinel_lab::Sentinel::terminate);
    let (text, code) = show(&[]);
    assert!(code == 0 && text.contains("cannot be reached"), "{text}");
    assert_eq!(deregister(&["--yes"]).1, 0);
    assert!(
        !stage.consul.nodes().contains(NODE) && stage.consul.kv("consentinel/mymaster/history").is_none()
    );
    let (text, code) = deregister(&["--yes"]);
    assert!(code == 0 && text.contains("Nothing of mymaster"), "{text}");
}
