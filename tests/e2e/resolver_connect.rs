//! `Resolver::connect` to real servers: passwords, TLS; and who names the master when DNS does not, or Consul's HTTP API
//! is cut off.

use super::consul_stage::{SERVICE, Stage};
use super::resolver_application::hand_over;
use crate::{PATIENCE, three_daemons};
use consentinel_lab::{
    Authority, Certificate, Cluster, Consul, Folder, GROUP, Process, Proxy, Redis, Serving, Value,
    eventually, free_port,
};
use consentinel_resolver::{
    Builder, Change, ConnectError, Connection, Master, Refusal, Resolver, Source, TlsBuilder, TlsOptions,
};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const SECRET: &str = "a-secret-word";

/// A Consul that names whoever is registered by hand.
fn consul_naming(folder: &Folder, port: u16) -> Consul {
    let consul = Consul::dev(folder);
    let service = json!({ "Service": "redis", "Address": "127.0.0.1", "Port": port });
    let node = json!({ "Node": "by-hand", "Address": "127.0.0.1", "Service": service });
    consul.put("/v1/catalog/register", &node);
    consul
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it can be built");
    runtime.block_on(async { timeout(PATIENCE * 2, test).await.expect("in a bounded time") })
}

fn builder(consul: &Consul) -> Builder {
    Resolver::builder(SERVICE).name_server(consul.dns()).connect_within(Duration::from_secs(5))
}

/// What the server says to INCR over a connection that was handed out.
async fn count(connection: &mut Connection) -> String {
    connection.write_all(b"INCR visits\r\n").await.expect("it stands");
    let mut answer = [0; 64];
    let length = connection.read(&mut answer).await.expect("it answers");
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[test]
fn a_real_server_wants_the_right_password() {
    let folder = Folder::new();
    let serving = Serving { password: Some(SECRET.into()), ..Serving::default() };
    let redis = Redis::start_new(&folder, &serving, None);
    let consul = consul_naming(&folder, redis.port);
    run(async {
        let resolver = builder(&consul).password(SECRET).build().expect("the settings are good");
        let mut connection = resolver.connect().await.expect("the password is right");
        assert_eq!(count(&mut connection).await, ":1\r\n");
        assert_eq!((connection.master().addr.port(), connection.is_tls()), (redis.port, false));
        for (wrong, expected) in [(Some("a-wrong-secret"), "WRONGPASS"), (None, "NOAUTH")] {
            let builder = wrong.map_or_else(|| builder(&consul), |word| builder(&consul).password(word));
            let error =
                builder.build().expect("the settings are good").connect().await.expect_err("it is wrong");
            assert!(matches!(&error, ConnectError::Refused { refusal: Refusal::Denied(_), .. }), "{error:?}");
            let text = format!("{error} {error:?}");
            assert!(text.contains(expected) && !text.contains("secret"), "{text}");
        }
    });
}

#[test]
fn a_replica_is_not_taken_until_it_is_promoted() {
    let folder = Folder::new();
    let master = Redis::start_new(&folder, &Serving::default(), None);
    let replica = Redis::start_new(&folder, &Serving::default(), Some(master.port));
    let consul = consul_naming(&folder, replica.port);
    run(async {
        let hasty = builder(&consul)
            .connect_within(Duration::from_millis(300))
            .build()
            .expect("the settings are good");
        let error = hasty.connect().await.expect_err("it is a replica").to_string();
        let says = format!(
            "127.0.0.1:{}, says that it is no master but a replica of 127.0.0.1:{}",
            replica.port, master.port
        );
        assert!(error.contains(&says), "{error}");
        let resolver = builder(&consul).connect_within(PATIENCE).build().expect("the settings are good");
        let connecting = tokio::spawn(async move { resolver.connect().await });
        tokio::task::yield_now().await;
        assert_eq!(replica.call(&["REPLICAOF", "NO", "ONE"]), Some(Value::Simple("OK".into())));
        let mut connection = connecting.await.expect("no panic").expect("it is master now");
        assert_eq!(count(&mut connection).await, ":1\r\n");
    });
}

/// A server that speaks nothing but TLS.
fn tls_server(folder: &Folder, authority: &Authority, own: &Certificate) -> (u16, Process) {
    let port = free_port();
    let home = folder.sub(&format!("tls-{port}"));
    let config = format!(
        "port 0\nbind 127.0.0.1\ntls-port {port}\ndir {}\nsave \"\"\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n",
        home.display(),
        own.cert.display(),
        own.key.display(),
        authority.ca().display()
    );
    let file = home.join("redis.conf");
    std::fs::write(&file, config).expect("the folder is ours");
    let args = ["redis-server".as_ref(), file.as_os_str()];
    let process = Process::start(Path::new("/usr/bin/env"), &args, &home.join("log"));
    eventually("the server listens", PATIENCE, || {
        std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok().map(drop)
    });
    (port, process)
}

#[test]
fn tls_is_spoken_with_those_whose_certificate_is_good() {
    let folder = Folder::new();
    let (ours, theirs) = (Authority::new(&folder, "ours"), Authority::new(&folder, "theirs"));
    let own = ours.issue("client");
    let client = |tls: TlsBuilder| tls.ca_file(ours.ca()).client_certificate(&own.cert, &own.key);
    let connect = async |consul: &Consul, tls: TlsBuilder| {
        let tls = tls.build().expect("the files are good");
        builder(consul).tls(tls).build().expect("the settings are good").connect().await
    };
    let nameless = tls_server(&folder, &ours, &ours.issue("redis"));
    let named = tls_server(&folder, &ours, &ours.issue_for("redis", &["127.0.0.1", "redis.example"]));
    let (by_nameless, by_named) = (consul_naming(&folder, nameless.0), consul_naming(&folder, named.0));
    run(async {
        for (consul, tls) in [
            (&by_named, client(TlsOptions::builder())),
            (&by_named, client(TlsOptions::builder()).server_name("redis.example")),
            (&by_nameless, client(TlsOptions::builder()).any_server_name()),
        ] {
            let mut connection = connect(consul, tls).await.expect("all is well");
            assert!(connection.is_tls() && count(&mut connection).await.starts_with(':'));
        }
        for (why, consul, tls) in [
            ("nobody's name", &by_nameless, client(TlsOptions::builder())),
            ("another name", &by_named, client(TlsOptions::builder()).server_name("other.example")),
            ("another authority", &by_named, TlsOptions::builder().ca_file(theirs.ca()).any_server_name()),
            ("no certificate of ours", &by_named, TlsOptions::builder().ca_file(ours.ca())),
        ] {
            let error = connect(consul, tls).await.expect_err(why);
            assert!(
                matches!(&error, ConnectError::Refused { refusal: Refusal::Tls(_), .. }),
                "{why}: {error:?}"
            );
            println!("{why}: {error}");
        }
    });
}

/// The first master of the watch that is not on that port.
async fn another(watch: &mut consentinel_resolver::Watch, port: u16) -> Arc<Master> {
    loop {
        match watch.next().await {
            Change::Master(master) if master.addr.port() != port => return master,
            _ => {}
        }
    }
}

#[test]
fn the_sentinels_name_the_master_when_dns_is_down() {
    let mut cluster = Cluster::start(&three_daemons());
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let first = cluster.redis[0].port;
    let resolver = || {
        Resolver::builder(SERVICE)
            .name_server(nowhere)
            .sentinel(format!("127.0.0.1:{}", cluster.sentinels[0].port))
            .sentinel_master(GROUP)
            .build()
            .expect("the settings are good")
    };
    let resolver = resolver();
    let master = run(resolver.master()).expect("the sentinel names it");
    assert_eq!((master.addr.port(), master.source), (first, Source::Sentinel));
    // The one that was named is gone; it has named the others.
    cluster.sentinels[0].kill();
    cluster.redis[0].kill();
    let next = run(async { another(&mut resolver.watch(), first).await });
    assert!(
        cluster.redis.iter().any(|redis| redis.port == next.addr.port()) && next.epoch > master.epoch,
        "{next:?}"
    );
}

#[test]
fn dns_goes_on_while_the_http_api_is_cut_off() {
    let stage = Stage::set();
    let proxy = Proxy::start(stage.consul.http());
    let port = |server: usize| stage.cluster.redis[server].port;
    run(async {
        let resolver = builder(&stage.consul).consul(proxy.address()).build().expect("the settings are good");
        let mut watch = resolver.watch();
        assert!(matches!(watch.next().await, Change::Master(master) if master.addr.port() == port(0)));
        proxy.cut();
        let index = hand_over(&stage.cluster, 0);
        let second = another(&mut watch, port(0)).await;
        assert_eq!(second.source, Source::Dns);
        stage.cluster.wait_until_settled(index);
        proxy.heal();
        hand_over(&stage.cluster, index);
        let third = another(&mut watch, second.addr.port()).await;
        assert!(third.epoch > second.epoch, "{second:?} {third:?}");
    });
}
