//! What `/metrics` measures, and whether what is made for it (dashboard, alerts, runbook) fits it.

use super::consul_stage::Stage;
use super::http::with_http;
use crate::{PATIENCE, ours, three_daemons};
use consentinel_lab::{ConsulOptions, Extra, Web, cached, eventually, free_port};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn promtool(words: &[&str], input: &str) -> String {
    let mut child = Command::new(cached("bin/promtool"))
        .args(words)
        .current_dir(docs("metrics"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {words:?}: {said}");
    said
}

/// The samples of a page: by name with labels, the value.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let line = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    page.lines().filter(|line| !line.starts_with('#')).filter_map(line).collect()
}

/// The names of metrics in a text: everything of ours, and what a process tells of itself.
fn names_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    let ours = |word: &&str| {
        ["consentinel_", "process_"].iter().any(|prefix| word.starts_with(prefix)) && word.len() > 12
    };
    words.filter(ours).map(str::to_owned).collect()
}

#[test]
fn dashboard_alerts_and_runbook_fit_what_is_measured() {
    let web = Web(free_port());
    let address = web.address().to_string();
    // Everything that can be measured is: Consul, DNS, a failover, led by the daemon that is asked.
    let dns = format!("127.0.0.1:{}", free_port());
    let mut setup = three_daemons();
    setup.leader = Some(0);
    let mut stage = Stage::set_with(&ConsulOptions::default(), setup, &Extra::default());
    let sentinel = &mut stage.cluster.sentinels[0];
    sentinel.terminate();
    sentinel.extra.args.extend(["--http".into(), address, "--dns".into(), dns]);
    sentinel.start();
    stage.cluster.wait_until_settled(0);
    stage.fail_over(0);
    let page = eventually("the failover was measured to its publication", PATIENCE, || {
        let page = web.get("/metrics")?.body;
        let phase = |name: &str| page.contains(&format!("master=\"mymaster\",phase=\"{name}\"}} 1\n"));
        let led = [
            "detection",
            "agreement",
            "election",
            "choice",
            "promotion",
            "switch",
            "outage",
            "reconfiguration",
        ];
        let all = led.iter().all(|name| phase(name)) && phase("publication");
        // The master tells it of its replicas when they have caught up.
        (all && page.contains("consentinel_replica_lag_bytes{")).then_some(page)
    });
    assert_eq!(promtool(&["check", "metrics"], &page), "");

    let measured = samples(&page);
    let known: BTreeSet<&str> =
        measured.keys().map(|name| name.split('{').next().unwrap_or_default()).collect();
    let (rules, dashboard) = (read(&docs("metrics/alerts.yml")), read(&docs("metrics/dashboard.json")));
    for (file, text) in [("alerts.yml", &rules), ("dashboard.json", &dashboard)] {
        let named = names_in(text);
        assert!(named.len() > 20, "{file}: {named:?}");
        for name in named {
            // A histogram is asked for by its parts.
            assert!(known.contains(name.as_str()), "{file} asks for {name}, which is not measured");
        }
    }
    // Every expression of the dashboard is one: promtool reads them as rules.
    let dashboard: Value = serde_json::from_str(&dashboard).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    let annotations = dashboard["annotations"]["list"].as_array().cloned().unwrap_or_default();
    let asked =
        targets.chain(annotations).map(|target| target["expr"].as_str().expect("an expression").to_owned());
    let filled = |expr: String| {
        let filled =
            expr.replace("$__rate_interval", "1m").replace("$master", ".*").replace("$instance", ".*");
        assert!(!filled.contains('$'), "{filled}");
        filled
    };
    let rule = |(number, expr): (usize, String)| serde_json::json!({ "record": format!("panel:{number}"), "expr": filled(expr) });
    let rules_of_panels: Vec<Value> = asked.enumerate().map(rule).collect();
    let file = stage.cluster.folder.sub("dashboard").join("rules.yml");
    let group = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules_of_panels }] });
    std::fs::write(&file, group.to_string()).expect("the folder is ours");
    promtool(&["check", "rules", &file.display().to_string()], "");
}

#[test]
fn alerts_say_what_they_should_and_lead_to_the_runbook() {
    promtool(&["check", "rules", "alerts.yml"], "");
    promtool(&["test", "rules", "alerts_test.yml"], "");
    let (rules, runbook) = (read(&docs("metrics/alerts.yml")), read(&docs("runbook.md")));
    let anchors: BTreeSet<String> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|title| title.to_lowercase().replace(' ', "-"))
        .collect();
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let links: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("runbook: ")).collect();
    assert!(alerts.len() > 15 && alerts.len() == links.len(), "every alert has a line of the runbook");
    for (alert, link) in alerts.iter().zip(links) {
        assert_eq!(link, format!("docs/runbook.md#{}", alert.to_lowercase()));
        assert!(anchors.contains(&alert.to_lowercase()), "the runbook lacks {alert}");
    }
    let told: BTreeSet<String> = alerts.iter().map(|alert| alert.to_lowercase()).collect();
    let stray: Vec<_> =
        anchors.iter().filter(|a| a.starts_with("consentinel") && !told.contains(*a)).collect();
    assert!(stray.is_empty(), "the runbook has sections without an alert: {stray:?}");
    // What the text names exists, too.
    let named = names_in(&runbook);
    let in_rules = names_in(&(rules + &read(&docs("metrics/dashboard.json"))));
    let is_known = |name: &&String| in_rules.contains(*name) || in_rules.contains(&format!("{name}_bucket"));
    assert_eq!(named.iter().filter(|name| !is_known(name)).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn what_is_measured_is_true() {
    let (setup, web) = with_http(consentinel_lab::Setup::new(vec![ours(); 3]));
    let mut cluster = consentinel_lab::Cluster::start(&setup);
    let master = format!("127.0.0.1:{}", cluster.redis[0].port);
    let replica = format!("127.0.0.1:{}", cluster.redis[1].port);
    let page = || samples(&web.get("/metrics").expect("an answer").body);
    let one = |page: &BTreeMap<String, f64>, name: &str| {
        *page.get(name).unwrap_or_else(|| panic!("{name}: {page:#?}"))
    };
    let now = page();
    for (name, value) in [
        ("consentinel_masters".into(), 1.0),
        ("consentinel_ready".into(), 1.0),
        ("consentinel_tilt".into(), 0.0),
        ("consentinel_master_up{master=\"mymaster\"}".into(), 1.0),
        ("consentinel_master_sentinels{master=\"mymaster\"}".into(), 3.0),
        ("consentinel_master_replicas{master=\"mymaster\"}".into(), 2.0),
        (format!("consentinel_master_info{{master=\"mymaster\",address=\"{master}\"}}"), 1.0),
        (format!("consentinel_server_role{{master=\"mymaster\",server=\"{master}\",role=\"master\"}}"), 1.0),
        (
            format!("consentinel_server_role{{master=\"mymaster\",server=\"{replica}\",role=\"replica\"}}"),
            1.0,
        ),
        ("consentinel_failovers_total{master=\"mymaster\",result=\"done\"}".into(), 0.0),
    ] {
        assert_eq!(one(&now, &name), value, "{name}");
    }
    assert!(one(&now, "consentinel_save_duration_seconds_count") >= 1.0);
    assert!(one(&now, "consentinel_loop_lag_seconds_count") >= 1.0);
    assert!(one(&now, "process_resident_memory_bytes") > 1e6);
    assert!(!now.keys().any(|name| name.contains("consul")), "nothing is published");
    let before = one(&now, "consentinel_commands_total");
    assert!(cluster.sentinels[0].call(&["PING"]).is_some());
    eventually("the command is counted", PATIENCE, || {
        (one(&page(), "consentinel_commands_total") > before).then_some(())
    });

    cluster.redis[1].kill();
    let down =
        format!("consentinel_server_up{{master=\"mymaster\",server=\"{replica}\",watched_as=\"replica\"}}");
    eventually("the replica is down", PATIENCE, || {
        let page = page();
        let well = one(&page, "consentinel_master_replicas_healthy{master=\"mymaster\"}");
        (one(&page, &down) == 0.0 && well == 1.0).then_some(())
    });
}
