//! What leads applications to the master without their knowledge, as it is shipped in `docs/examples`: a floating address, HAProxy, nginx,
//! Envoy, the host's resolver; and beside them `consentinel proxy`.

use super::examples_stage::{APPLICATION, Follower, HostStage, example};
use crate::{PATIENCE, ours};
use consentinel_lab::{GROUP, INTERFACE, Process, Program, cached, eventually, installed, shipped_path};
use std::path::Path;

/// What the host's resolver is asked for.
const NAME: &str = "redis.service.consul:6379";
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
    stage.start(&installed("haproxy"), &["-db", "-f", &file.display().to_string()], 6379)
}

/// The file is included at the place that it names. One process, which is gone when it is killed.
fn nginx(stage: &HostStage, file: &Path) -> Process {
    let home = stage.folder.sub("nginx-home");
    let (home, config) = (home.display(), home.join("nginx.conf"));
    let text = format!(
        "daemon off;\nmaster_process off;\nuser root;\npid {home}/pid;\nerror_log {home}/error.log;\n\
         load_module /usr/lib/nginx/modules/ngx_stream_module.so;\nevents {{ }}\ninclude {};\n",
        file.display()
    );
    std::fs::write(&config, text).expect("the folder is ours");
    let words = ["-p", &home.to_string(), "-c", &config.display().to_string()];
    stage.start(&installed("nginx"), &words, 6379)
}

fn envoy(stage: &HostStage, file: &Path) -> Process {
    let program = cached("venv/bin/envoy");
    // Two Envoys on one machine would share a piece of memory.
    stage.start(&program, &["-c", &file.display().to_string(), "--disable-hot-restart"], 6379)
}

/// The host's own resolver asks for `.consul` where somebody knows it, by the files of `consul/dns`.
#[test]
fn a_name_is_followed_by_dnsmasq() {
    let mut stage = HostStage::with_dns();
    let file = format!("--conf-file={}", shipped_path("dns/dnsmasq.conf").display());
    let words = ["--keep-in-foreground", &file, "--no-resolv", "--no-hosts", "--user=", "--pid-file="];
    let _process = stage.start(&installed("dnsmasq"), &words, 53);
    follows_by(&mut stage, |stage| stage.client_by_name(NAME, "127.0.0.1"));
}

#[test]
fn a_name_is_followed_by_unbound() {
    let mut stage = HostStage::with_dns();
    let text = format!(
        "include: {}\nserver:\n    username: \"\"\n    chroot: \"\"\n    pidfile: \"\"\n    use-syslog: no\n\
         remote-control:\n    control-enable: no\n",
        shipped_path("dns/unbound.conf").display()
    );
    let config = stage.folder.path().join("unbound.conf");
    std::fs::write(&config, text).expect("the folder is ours");
    let words = ["-d", "-c", &config.display().to_string()];
    let _process = stage.start(&installed("unbound"), &words, 53);
    follows_by(&mut stage, |stage| stage.client_by_name(NAME, "127.0.0.1"));
}

/// It runs without systemd and without D-Bus; its files are where it looks for them in a mount namespace alone. Its user is root
/// there.
#[test]
fn a_name_is_followed_by_systemd_resolved() {
    let mut stage = HostStage::with_dns();
    let etc = stage.folder.sub("etc");
    let drop_in = stage.folder.sub("etc/resolved.conf.d").join("consul.conf");
    std::fs::copy(shipped_path("dns/systemd-resolved.conf"), drop_in).expect("it is shipped");
    let users = std::fs::read_to_string("/etc/passwd").expect("there are users")
        + "systemd-resolve:x:0:0::/:/bin/false\n";
    let passwd = stage.folder.path().join("passwd");
    std::fs::write(&passwd, users).expect("the folder is ours");
    let program = cached("resolved/systemd-resolved");
    let script = "mount --bind \"$0\" /etc/passwd && mkdir -p /etc/systemd /run/systemd && mount --bind \"$1\" /etc/systemd \
                  && mount -t tmpfs tmpfs /run/systemd && mkdir /run/systemd/resolve && LD_LIBRARY_PATH=\"${2%/*}\" exec \"$2\"";
    let [passwd, etc, program] = [passwd, etc, program].map(|path| path.display().to_string());
    let words = ["-m", "sh", "-c", script, &passwd, &etc, &program];
    let _process = stage.start(Path::new("unshare"), &words, 53);
    follows_by(&mut stage, |stage| stage.client_by_name(NAME, "127.0.0.53"));
}

/// A client that knows the local port alone is led to the next master.
fn follows(stage: &mut HostStage, start: fn(&HostStage, &Path) -> Process, file: &Path) {
    let _process = start(stage, file);
    follows_by(stage, |stage| stage.client(LOCAL));
}

/// The client follows when the master is killed, stands still, is replaced by order.
fn follows_by(stage: &mut HostStage, begin: fn(&HostStage) -> Follower) {
    let client = begin(stage);
    stage.kill(0);
    client.has_followed("killed");
    stage.restart(0);
    stage.wait_until_settled(1);

    let client = begin(stage);
    stage.pause(1);
    client.has_followed("stands still");
    stage.resume(1);
    stage.wait_until_settled(0);
    let client = begin(stage);
    let order = format!("redis-cli -p 26379 SENTINEL FAILOVER {GROUP}");
    assert_eq!(stage.hosts.all[APPLICATION].says(&order).as_deref(), Some("OK"));
    client.has_followed("replaced by order");
}
