//! What it costs to know the master: the resolver beside plain hickory and redis-rs's own sentinel client, all in one run,
//! against a real Consul and real sentinels.
//!
//! `cargo bench --bench resolver`; `cargo bench --bench resolver -- --rounds 10000` for calmer figures.

use consentinel_lab::{Cluster, Consul, Folder, GROUP, Program, Setup};
use consentinel_resolver::Resolver;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use redis::sentinel::Sentinel;
use serde_json::json;
use std::fmt;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROUNDS: usize = 3_000;
/// Of those that cost nanoseconds, each task does so many.
const CACHED: u32 = 3_000_000;
const NAME: &str = "redis.service.consul";

fn main() {
    let rounds = rounds(std::env::args().skip(1)).unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(2);
    });
    let folder = Folder::new();
    let consul = Consul::dev(&folder);
    let mut setup = Setup::new(vec![Program::Original; 3]);
    setup.replicas = 1;
    let cluster = Cluster::start(&setup);
    publish(&consul, cluster.redis[0].port);

    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(cores).enable_all().build();
    let runtime = runtime.expect("a runtime");
    println!("{cores} cores. What is known already, processor time of a call:\n");
    println!("| | 1 task | 8 tasks on {cores} threads |");
    println!("| --- | --- | --- |");
    runtime.block_on(cached(&consul));
    println!("\nWhat must be asked for, {rounds} times one after the other:\n");
    println!("| | median / p99 |");
    println!("| --- | --- |");
    let rows = [
        ("consentinel-resolver: master(), invalidated each time", runtime.block_on(ours(&consul, rounds))),
        ("plain hickory-resolver: SRV alone, nothing kept", runtime.block_on(hickory(consul.dns(), rounds))),
        ("redis-rs: Sentinel::master_for, connections to the sentinels kept", redis_rs(&cluster, rounds)),
        ("one SENTINEL GET-MASTER-ADDR-BY-NAME on an open connection", one_question(&cluster, rounds)),
    ];
    for (what, figures) in rows {
        println!("| {what} | {figures} |");
    }
}

fn rounds(args: impl Iterator<Item = String>) -> Result<usize, String> {
    let args: Vec<_> = args.filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(ROUNDS),
        ["--rounds", count] => match count.parse() {
            Ok(count) if count > 0 => Ok(count),
            _ => Err(format!("'{count}' is no number of rounds")),
        },
        _ => Err("usage: cargo bench --bench resolver -- [--rounds N]".into()),
    }
}

/// As a daemon publishes: an external node whose meta has the epoch.
fn publish(consul: &Consul, port: u16) {
    consul.put(
        "/v1/catalog/register",
        &json!({
            "Node": "consentinel-mymaster", "Address": "127.0.0.1", "NodeMeta": { "epoch": "5" },
            "Service": { "ID": "redis-1", "Service": "redis", "Address": "127.0.0.1", "Port": port },
        }),
    );
}

fn resolver(consul: &Consul) -> Resolver {
    let builder = Resolver::builder(NAME).name_server(consul.dns()).reuse(Duration::from_secs(3600));
    builder.build().expect("nothing is wrong with it")
}

async fn cached(consul: &Consul) {
    for (what, watched, shared) in [
        ("master(), kept", false, false),
        ("master(), watched", true, false),
        ("master(), watched, all tasks by one handle", true, true),
    ] {
        let resolver = Arc::new(resolver(consul));
        let watch = watched.then(|| resolver.watch());
        resolver.master().await.expect("a master");
        let mut cells = Vec::new();
        for tasks in [1, 8] {
            let begin = processor_time();
            let handle = || if shared { resolver.clone() } else { Arc::new(Resolver::clone(&resolver)) };
            let tasks: Vec<_> = (0..tasks).map(|_| tokio::spawn(look(handle()))).collect();
            let count = tasks.len();
            for task in tasks {
                task.await.expect("it does not panic");
            }
            let calls = f64::from(CACHED) * count as f64;
            cells.push((processor_time() - begin).as_nanos() as f64 / calls);
        }
        println!("| {what} | {:.0} ns | {:.0} ns |", cells[0], cells[1]);
        drop(watch);
    }
}

/// What this process has used, whatever else the machine does meanwhile.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

async fn look(resolver: Arc<Resolver>) {
    for _ in 0..CACHED {
        black_box(resolver.master().await.expect("a master"));
    }
}

async fn ours(consul: &Consul, rounds: usize) -> Figures {
    let resolver = resolver(consul);
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        resolver.invalidate();
        let begin = Instant::now();
        let master = resolver.master().await.expect("a master");
        times.push(begin.elapsed());
        assert!(master.epoch.is_some() && !master.freshness.is_stale());
    }
    Figures::of(times)
}

async fn hickory(server: SocketAddr, rounds: usize) -> Figures {
    let mut udp = ConnectionConfig::udp();
    udp.port = server.port();
    let servers = vec![NameServerConfig::new(server.ip(), true, vec![udp])];
    let config = ResolverConfig::from_name_servers(servers);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.options_mut().cache_size = 0;
    builder.options_mut().use_hosts_file = ResolveHosts::Never;
    let resolver = builder.build().expect("nothing is wrong with it");
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let begin = Instant::now();
        let lookup = resolver.srv_lookup(format!("{NAME}.")).await.expect("an answer");
        times.push(begin.elapsed());
        assert!(lookup.answers().iter().any(|record| matches!(record.data, RData::SRV(_))));
    }
    Figures::of(times)
}

fn redis_rs(cluster: &Cluster, rounds: usize) -> Figures {
    let urls = cluster.sentinels.iter().map(|sentinel| format!("redis://127.0.0.1:{}", sentinel.port));
    let mut sentinel = Sentinel::build(urls.collect()).expect("the addresses can be read");
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let begin = Instant::now();
        black_box(sentinel.master_for(GROUP, None).expect("a master"));
        times.push(begin.elapsed());
    }
    Figures::of(times)
}

fn one_question(cluster: &Cluster, rounds: usize) -> Figures {
    let client = redis::Client::open(format!("redis://127.0.0.1:{}", cluster.sentinels[0].port));
    let mut connection = client.and_then(|it| it.get_connection()).expect("the sentinel answers");
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let begin = Instant::now();
        let question = redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(GROUP).to_owned();
        let answer: Vec<String> = question.query(&mut connection).expect("an answer");
        times.push(begin.elapsed());
        assert_eq!(answer.len(), 2);
    }
    Figures::of(times)
}

/// Sorted times.
struct Figures(Vec<Duration>);

impl Figures {
    fn of(mut times: Vec<Duration>) -> Figures {
        times.sort();
        Figures(times)
    }

    fn micros(&self, percent: usize) -> u128 {
        self.0[((self.0.len() - 1) * percent).div_ceil(100)].as_micros()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {} µs", self.micros(50), self.micros(99))
    }
}
