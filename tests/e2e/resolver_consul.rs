//! Consul's HTTP API as the resolver uses it: how soon a change is there, with tokens, over https and a Unix socket.

use super::consul_stage::{SERVICE, Stage};
use super::resolver_application::hand_over;
use crate::PATIENCE;
use consentinel_lab::{Certificates, Consul, ConsulOptions, Folder, eventually, free_port};
use consentinel_resolver::{Builder, Change, LookupError, Master, Resolver, Source, TlsOptions};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// All that is needed, and no more.
const RIGHTS: &str = r#"service_prefix "redis" { policy = "read" } node_prefix "" { policy = "read" }"#;

/// Every master that a watch has named, and when.
type Heard = Vec<(Arc<Master>, Instant)>;

/// Two clocks, one that polls and one that is told, on a machine that does other things.
const SOON: Duration = Duration::from_millis(100);

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime
        .expect("it can be built")
        .block_on(async { timeout(PATIENCE, test).await.expect("in a bounded time") })
}

/// Nobody answers DNS: what is known, the API has said.
fn without_dns() -> Builder {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    Resolver::builder(SERVICE).name_server(nowhere)
}

fn ask(builder: Builder) -> Result<Arc<Master>, LookupError> {
    run(builder.build().expect("the settings are good").master())
}

fn register(consul: &Consul, port: u16, epoch: u64) {
    let service = json!({
        "Service": "redis", "Address": "127.0.0.1", "Port": port, "Meta": { "epoch": epoch.to_string() },
    });
    let node = json!({ "Node": "by-hand", "Address": "127.0.0.1", "Service": service });
    assert_eq!(consul.put("/v1/catalog/register", &node), json!(true));
}

#[test]
fn a_watch_hears_of_a_change_when_it_is_published() {
    let stage = Stage::set();
    // DNS is asked so seldom that it cannot be it.
    let resolver = Resolver::builder(SERVICE)
        .name_server(stage.consul.dns())
        .consul(stage.consul.address())
        .poll_slow(PATIENCE)
        .build()
        .expect("the settings are good");
    let prober = stage.prober();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("it can be built");
    let heard: Arc<Mutex<Heard>> = Arc::default();
    let listener = runtime.spawn({
        let heard = heard.clone();
        async move {
            let mut watch = resolver.watch();
            loop {
                if let Change::Master(master) = watch.next().await {
                    heard.lock().expect("nobody panics while holding it").push((master, Instant::now()));
                }
            }
        }
    });
    let named = |port: u16, from: Instant| {
        eventually("the watch names it", PATIENCE, || {
            let heard = heard.lock().expect("nobody panics while holding it");
            heard.iter().find(|(master, at)| master.addr.port() == port && *at >= from).cloned()
        })
    };
    let (mut server, start) = (0, Instant::now() - PATIENCE);
    let mut epoch = named(stage.cluster.redis[0].port, start).0.epoch;
    for round in 0..3 {
        let began = Instant::now();
        server = hand_over(&stage.cluster, server);
        let port = stage.cluster.redis[server].port;
        let (new, at) = named(port, began);
        assert!(new.epoch > epoch, "{new:?} after {epoch:?}");
        let published = eventually("DNS names it", PATIENCE, || prober.timeline().first_only(port, began));
        let late = at.saturating_duration_since(published);
        println!("round {round}: heard {late:?} after DNS named it");
        assert!(late < SOON, "{late:?}");
        stage.cluster.wait_until_settled(server);
        epoch = new.epoch;
    }
    listener.abort();
}

#[test]
fn the_token_must_be_good_and_is_told_to_nobody() {
    let folder = Folder::new();
    let consul = Consul::start_new(&folder, &ConsulOptions { acl: true, ..Default::default() });
    register(&consul, 7001, 3);
    let token = consul.token_with("application", RIGHTS);
    let with = |token: &str| ask(without_dns().consul(consul.address()).consul_token(token));
    let master = eventually("the token is known", PATIENCE, || with(&token).ok());
    assert_eq!((master.addr.port(), master.source), (7001, Source::Consul));
    let wrong = "11111111-2222-3333-4444-555555555555";
    let error = with(wrong).expect_err("there is no such token");
    let text = format!("{error} {error:?}");
    assert!(text.contains("status 403") && text.contains("service:read") && !text.contains(wrong), "{text}");
    ask(without_dns().consul(consul.address())).expect_err("nobody is seen without a token");
}

#[test]
fn https_and_a_unix_socket_lead_there_too() {
    let folder = Folder::new();
    let certificates = Certificates::new(&folder);
    let (some, unix_socket) = (Some(certificates.clone()), true);
    let consul =
        Consul::start_new(&folder, &ConsulOptions { certificates: some, unix_socket, ..Default::default() });
    register(&consul, 7001, 3);
    assert_eq!(ask(without_dns().consul(consul.unix_address())).expect("it answers").addr.port(), 7001);
    let trusting = TlsOptions::builder().ca_file(certificates.ca());
    let own = trusting.clone().client_certificate(certificates.client_cert(), certificates.client_key());
    let with = |tls: TlsOptions| ask(without_dns().consul(consul.https_address()).consul_tls(tls));
    assert_eq!(with(own.build().expect("the files are good")).expect("it answers").addr.port(), 7001);
    // Go says it in one way up to 1.20, and in the other since. By TLS 1.3 it says so after the handshake: when that comes before the
    // question is on its way, the HTTP client knows only that the connection was not ready.
    let alerts = ["BadCertificate", "CertificateRequired"];
    eventually("the agent says that it wants our certificate", PATIENCE, || {
        let refused = with(trusting.clone().build().expect("the file is good")).expect_err("it wants it");
        alerts.iter().any(|alert| refused.to_string().contains(alert)).then_some(())
    });
}
