//! What leads applications to the master without their knowledge, as it is shipped in `docs/examples`: a floating address, HAProxy, nginx,
//! Envoy, the host's resolver; and beside them `consentinel proxy`.

use super::examples_stage::{APPLICATION, HostStage, example};
use crate::{PATIENCE, ours};
use consentinel_lab::{GROUP, INTERFACE, Process, Program, cached, eventually};
use std::path::Path;

/// The address that floats.
const FLOATING: &str = "198.18.77.100";
/// Where the others listen.
const LOCAL: &str = "127.0.0.1:6379";

#[test]
fn a_floating_address_follows_by_a_script_of_ours_and_a_proxy_without_any() {
    let mut stage = floating(&ours(), &["--dns", "127.0.0.1:8600"]);
    let words = ["proxy", "--listen", LOCAL, "redis.service.consul"];
    let _proxy = stage.start(&ours().path(), &words, 6379);
    the_address_follows(&mut stage, &[LOCAL]);
}

#[test]
fn a_floating_address_follows_by_a_script_of_the_original() {
    the_address_follows(&mut floating(&Program::Original, &[]), &[]);
}

fn floating(program: &Program, words: &[&str]) -> HostStage {
    let script = example("scripts/floating-address.sh");
    let environment =
        [("FLOATING_ADDRESS", format!("{FLOATING}/24")), ("FLOATING_INTERFACE", INTERFACE.into())];
    let environment = environment.map(|(name, value)| (name.to_owned(), value));
    let line = format!("sentinel client-reconfig-script {GROUP} {}\n", script.display());
    let stage = HostStage::set(program, &line, words, &environment);
    // By hand, as at the beginning and after a boot.
    for host in &stage.hosts.all {
        let [(address, at), (interface, dev)] = &environment;
        let output = host.shell(&format!("{address}={at} {interface}={dev} {}", script.display()));
        assert!(output.status.success(), "{output:?}");
    }
    is_at(&stage, &[0]);
    stage
}

/// Waits until exactly these hosts have the floating address.
fn is_at(stage: &HostStage, hosts: &[usize]) {
    let has = |host: usize| {
        let shown = stage.hosts.all[host].says(&format!("ip -o address show to {FLOATING}"));
        shown.is_some_and(|shown| !shown.is_empty())
    };
    eventually(&format!("the floating address is at {hosts:?}"), PATIENCE, || {
        (0..stage.hosts.all.len()).all(|host| has(host) == hosts.contains(&host)).then_some(())
    });
}

/// Its master dies and comes back; then the next one's network is cut, and comes back.
fn the_address_follows(stage: &mut HostStage, others: &[&str]) {
    let address = format!("{FLOATING}:6379");
    let addresses: Vec<_> = [address.as_str()].into_iter().chain(others.iter().copied()).collect();
    let clients: Vec<_> = addresses.iter().map(|address| stage.client(address)).collect();
    stage.kill(0);
    for client in clients {
        client.has_followed("killed");
    }
    is_at(stage, &[1]);
    stage.restart(0);
    stage.wait_until_settled(1);
    is_at(stage, &[1]);

    let clients: Vec<_> = addresses.iter().map(|address| stage.client(address)).collect();
    stage.hosts.cut(1);
    for client in clients {
        client.has_followed("cut off");
    }
    // What is cut off cannot be told.
    is_at(stage, &[0, 1]);
    stage.hosts.heal(1);
    is_at(stage, &[0]);
    stage.wait_until_settled(0);
}

#[test]
fn haproxy_that_checks_the_role_follows() {
    let mut stage = HostStage::with_dns();
    let shipped = std::fs::read_to_string(example("haproxy/tcp-check.cfg")).expect("it is shipped");
    let mut config = shipped;
    for number in 1..=3 {
        let (old, new) = (format!("10.0.0.{number}:6379"), format!("198.18.77.{number}:6379"));
        assert!(config.contains(&old), "the file says {old}");
        config = config.replace(&old, &new);
    }
    let file = stage.folder.path().join("haproxy.cfg");
    std::fs::write(&file, config).expect("the folder is ours");
    follows(&mut stage, haproxy, &file);
}

#[test]
fn haproxy_follows_the_srv_record() {
    follows(&mut HostStage::with_dns(), haproxy, &example("haproxy/srv.cfg"));
}

#[test]
fn nginx_follows_the_name() {
    follows(&mut HostStage::with_dns(), nginx, &example("nginx/stream.conf"));
}

#[test]
fn envoy_follows_the_name() {
    follows(&mut HostStage::with_dns(), envoy, &example("envoy/envoy.yaml"));
}

fn haproxy(stage: &HostStage, file: &Path) -> Process {
    stage.start(Path::new("/usr/sbin/haproxy"), &["-db", "-f", &file.display().to_string()], 6379)
}

/// The file is included at the place that it names.
fn nginx(stage: &HostStage, file: &Path) -> Process {
    let home = stage.folder.sub("nginx-home");
    let (home, config) = (home.display(), home.join("nginx.conf"));
    let text = format!(
        "daemon off;\nuser root;\npid {home}/pid;\nerror_log {home}/error.log;\n\
         load_module /usr/lib/nginx/modules/ngx_stream_module.so;\nevents {{ }}\ninclude {};\n",
        file.display()
    );
    std::fs::write(&config, text).expect("the folder is ours");
    let words = ["-p", &home.to_string(), "-c", &config.display().to_string()];
    stage.start(Path::new("/usr/sbin/nginx"), &words, 6379)
}

fn envoy(stage: &HostStage, file: &Path) -> Process {
    let program = cached("venv/bin/envoy");
    // Two Envoys on one machine would share a piece of memory.
    stage.start(&program, &["-c", &file.display().to_string(), "--disable-hot-restart"], 6379)
}

/// A client that knows the local port alone is led to the next master, when the first is killed, and when one stands still.
fn follows(stage: &mut HostStage, start: fn(&HostStage, &Path) -> Process, file: &Path) {
    let _process = start(stage, file);
    let client = stage.client(LOCAL);
    stage.kill(0);
    client.has_followed("killed");
    stage.restart(0);
    stage.wait_until_settled(1);

    let client = stage.client(LOCAL);
    stage.pause(1);
    client.has_followed("stands still");
    stage.resume(1);
    stage.wait_until_settled(0);
    let client = stage.client(LOCAL);
    let order = format!("redis-cli -p 26379 SENTINEL FAILOVER {GROUP}");
    assert_eq!(stage.hosts.all[APPLICATION].says(&order).as_deref(), Some("OK"));
    client.has_followed("replaced by order");
}
