//! The clients of `docs/examples/clients`, each run as it is shipped: the master is killed, stands still, is replaced by order.

use super::consul_stage::Stage;
use crate::{PATIENCE, three_daemons};
use consentinel_lab::{
    Cluster, ConsulOptions, Extra, Folder, GROUP, Process, Setup, Value, cached, eventually, installed,
};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The servers' password: clients get it by their environment, and never show it.
const SECRET: &str = "a-word-for-servers";
/// Between two looks of a supervisor.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

#[test]
fn redis_py_follows_by_sentinel() {
    follows_by_sentinel("redis-py", &python(), &[&file("redis_py.py")]);
}

#[test]
fn redis_py_follows_by_the_srv_record_of_consul() {
    let mut stage = Stage::set_with(&ConsulOptions::default(), guarded(), &Extra::default());
    let client = Client {
        name: "redis-py, SRV of Consul",
        program: python(),
        args: vec![file("redis_py_srv.py")],
        environment: vec![("DNS".into(), stage.consul.dns().to_string())],
    };
    client.follows(&mut stage.cluster);
}

#[test]
fn celery_follows_by_sentinel() {
    let mut cluster = Cluster::start(&guarded());
    let environment = vec![("SENTINELS".into(), sentinels(&cluster))];
    let log = cluster.folder.path().join("worker");
    let said = log.clone();
    let folder = folder().display().to_string();
    let words = [
        "-m",
        "celery",
        "-A",
        "celery_app",
        "--workdir",
        &folder,
        "worker",
        "--pool",
        "solo",
        "--loglevel",
        "info",
    ];
    let words = words.map(str::to_owned);
    let _worker =
        Supervised::start(move || Process::start_with(&python(), &words, &with_secret(&environment), &log));
    let said = || std::fs::read_to_string(&said).unwrap_or_default();
    eventually("the worker is ready", PATIENCE, || said().contains("ready.").then_some(()));
    let args = vec![file("celery_app.py")];
    let environment = vec![("SENTINELS".into(), sentinels(&cluster))];
    let client = Client { name: "celery", program: python(), args, environment };
    client.follows(&mut cluster);
    assert!(!said().contains(SECRET), "{}", said());
}

/// A program that is started again when it has ended, as a supervisor does it.
struct Supervised {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Supervised {
    fn start(begin: impl Fn() -> Process + Send + 'static) -> Supervised {
        let over = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let over = over.clone();
            move || {
                let mut process = begin();
                while !over.load(Ordering::Relaxed) {
                    if process.exit_status().is_some() {
                        process = begin();
                    }
                    std::thread::sleep(BETWEEN_LOOKS);
                }
            }
        });
        Supervised { over, thread: Some(thread) }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[test]
fn phpredis_follows_by_sentinel() {
    follows_by_sentinel("phpredis", &installed("php"), &[&file("phpredis.php")]);
}

#[test]
fn node_redis_follows_by_sentinel() {
    follows_by_sentinel("node-redis 4", &installed("node"), &[&file("node_redis.js")]);
}

#[test]
fn redigo_follows_by_sentinel() {
    let folder = Folder::new();
    let program = folder.path().join("redigo");
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(&program).arg(file("redigo.go"));
    // As the file says; what the compiler keeps goes away with the folder.
    go.env("GO111MODULE", "off")
        .env("GOPATH", "/usr/share/gocode")
        .env("GOCACHE", folder.path().join("cache"));
    let output = go.output().unwrap_or_else(|error| panic!("cannot run go: {error}; did `just deps` run?"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    follows_by_sentinel("redigo", &program, &[]);
}

fn python() -> PathBuf {
    cached("venv/bin/python")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/clients")
}

fn file(name: &str) -> String {
    folder().join(name).display().to_string()
}

fn guarded() -> Setup {
    let mut setup = three_daemons();
    setup.serving.password = Some(SECRET.into());
    setup
}

fn sentinels(cluster: &Cluster) -> String {
    let addresses = cluster.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port));
    addresses.collect::<Vec<_>>().join(",")
}

fn with_secret(environment: &[(String, String)]) -> Vec<(String, String)> {
    let more = [
        ("REDIS_PASSWORD", SECRET),
        // Nothing is left in the repository.
        ("PYTHONDONTWRITEBYTECODE", "1"),
        // Where Debian has Node's packages; its own node looks there by itself.
        ("NODE_PATH", "/usr/share/nodejs"),
    ];
    let more = more.map(|(name, value)| (name.to_owned(), value.to_owned()));
    environment.iter().cloned().chain(more).collect()
}

fn follows_by_sentinel(name: &'static str, program: &Path, args: &[&str]) {
    let mut cluster = Cluster::start(&guarded());
    let client = Client {
        name,
        program: program.into(),
        args: args.iter().map(|word| (*word).to_owned()).collect(),
        environment: vec![("SENTINELS".into(), sentinels(&cluster))],
    };
    client.follows(&mut cluster);
}

/// One of the programs, and how it is called.
struct Client {
    name: &'static str,
    program: PathBuf,
    args: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Client {
    /// It follows whatever becomes of the master.
    fn follows(&self, cluster: &mut Cluster) {
        let killed = self.follows_once(cluster, 0, "killed", |cluster| cluster.redis[0].kill());
        cluster.redis[0].start();
        cluster.wait_until_settled(killed);

        let paused =
            self.follows_once(cluster, killed, "stands still", |cluster| cluster.redis[killed].pause());
        cluster.redis[killed].resume();
        cluster.wait_until_settled(paused);

        self.follows_once(cluster, paused, "replaced by order", |cluster| {
            let reply = cluster.sentinels[0].call(&["SENTINEL", "FAILOVER", GROUP]);
            assert_eq!(reply, Some(Value::Simple("OK".into())));
        });
    }

    /// Starts it, waits until it writes, lets that happen to the master, and says who is the next one.
    fn follows_once(
        &self,
        cluster: &mut Cluster,
        master: usize,
        what: &str,
        happens: impl FnOnce(&mut Cluster),
    ) -> usize {
        let log = cluster.folder.path().join(format!("{} {what}", self.name));
        let environment = with_secret(&self.environment);
        let mut process = Process::start_with(&self.program, &self.args, &environment, &log);
        let begun = format!("writing to port {}\n", cluster.redis[master].port);
        eventually("the client writes to the master", PATIENCE, || {
            assert!(process.exit_status().is_none(), "it has ended");
            process.log().contains(&begun).then_some(())
        });
        let counted = || cluster.redis[master].get("example")?.parse::<u32>().ok();
        let (before, is_celery) = (counted(), self.name == "celery");
        eventually("it goes on", PATIENCE, || {
            (is_celery || counted() > before.map(|it| it + 50)).then_some(())
        });
        happens(cluster);
        let new = cluster.wait_for_new_master(master, PATIENCE);
        let status = process.wait_for_exit(PATIENCE * 2);
        let said = process.log();
        assert!(status.success(), "{said}");
        assert!(!said.contains(SECRET), "{said}");
        let last = said.lines().last().unwrap_or_default();
        println!("{}, {what}: {last}", self.name);
        let port = cluster.redis[new].port;
        let rest = last.strip_prefix(&format!("followed to port {port}: "));
        let count = rest.and_then(|rest| rest.split(' ').next()).expect(&said);
        assert!(count.parse::<u32>().is_ok_and(|count| count > 1), "{said}");
        if last.contains(" writes, ") {
            assert_eq!(cluster.redis[new].get("example").as_deref(), Some(count), "the new master has it");
        }
        new
    }
}
