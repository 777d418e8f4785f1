//! Agents that lie, and an index that goes backwards.

use super::*;
use crate::Resolver;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

fn row(port: u16, epoch: u64) -> String {
    format!(
        r#"{{"Node":{{"Node":"consentinel-mymaster","Address":"127.0.0.1","Datacenter":"dc1","Meta":{{"epoch":"{epoch}"}}}},
            "Service":{{"Service":"redis","Address":"127.0.0.1","Port":{port},"Meta":{{"epoch":"{epoch}"}}}},"Checks":[]}}"#
    )
}

fn ok(index: &str, rows: &[String]) -> String {
    let body = format!("[{}]", rows.join(","));
    format!("HTTP/1.1 200 OK\r\n{index}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn indexed(index: u64, rows: &[String]) -> String {
    ok(&format!("X-Consul-Index: {index}\r\n"), rows)
}

/// An agent that answers one request after the other so, and none after the last; what it was asked is kept.
async fn agent(answers: Vec<String>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback");
    let address = listener.local_addr().expect("it is bound").to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let list = asked.clone();
    tokio::spawn(async move {
        let (mut answers, mut kept) = (answers.into_iter(), Vec::new());
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4000];
            let length = stream.read(&mut request).await.unwrap_or_default();
            let text = String::from_utf8_lossy(&request[..length]).into_owned();
            list.lock().expect("nobody panics").push(text.lines().next().unwrap_or_default().to_owned());
            match answers.next() {
                Some(answer) => drop(stream.write_all(answer.as_bytes()).await),
                None => kept.push(stream),
            }
        }
    });
    (address, asked)
}

async fn resolver(address: &str) -> Resolver {
    let nobody = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback");
    Resolver::builder("mymaster.redis.service.dc1.consul")
        .name_server(nobody.local_addr().expect("it is bound"))
        .timeout(Duration::from_millis(20))
        .consul(address)
        .consul_token("a-secret-word")
        .build()
        .expect("the settings are good")
}

async fn master(resolver: &Resolver) -> Result<Arc<crate::Master>, LookupError> {
    timeout(PATIENCE, resolver.master()).await.expect("in a bounded time")
}

#[tokio::test]
async fn it_says_who_is_master_when_dns_does_not() {
    let (address, asked) = agent(vec![indexed(7, &[row(7001, 3)])]).await;
    let master = master(&resolver(&address).await).await.expect("it is named");
    assert_eq!((master.addr.port(), master.epoch, master.source), (7001, Some(Epoch(3)), Source::Consul));
    assert_eq!(master.host, "7f000001.addr.dc1.consul", "what DNS would call it");
    let asked = asked.lock().expect("nobody panics").clone();
    assert_eq!(asked, ["GET /v1/health/service/redis?passing&tag=mymaster&dc=dc1 HTTP/1.1"]);
}

#[tokio::test]
async fn of_several_the_newest_is_master_and_two_of_one_epoch_are_none() {
    let (address, _) = agent(vec![indexed(7, &[row(7001, 3), row(7002, 4)])]).await;
    assert_eq!(master(&resolver(&address).await).await.expect("it is named").addr.port(), 7002);
    let (address, _) = agent(vec![indexed(7, &[row(7001, 4), row(7002, 4)])]).await;
    let error = master(&resolver(&address).await).await.expect_err("which one?");
    assert!(matches!(error, LookupError::Ambiguous { .. }), "{error}");
}

#[tokio::test]
async fn errors_say_what_came_back_and_never_the_token() {
    let status = |line: &str, body: &str| {
        format!("HTTP/1.1 {line}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    };
    for (answer, expected) in [
        (
            status("403 Forbidden", "token a-secret-word: not found"),
            "status 403: token …: not found; the token needs",
        ),
        (status("500 Internal Server Error", "No cluster leader"), "status 500: No cluster leader"),
        (status("302 Found", ""), "status 302"),
        (ok("", &[row(1, 1)]), "without X-Consul-Index"),
        (
            ok("X-Consul-Index: 1\r\nX-Consul-Results-Filtered-By-ACLs: true\r\n", &[]),
            "nothing that we may see",
        ),
        (ok("X-Consul-Index: 1\r\n", &["7".into()]), "an answer that is not Consul's"),
        ("SSH-2.0-OpenSSH\r\n".into(), "GET /v1/health/service/redis"),
        (String::new(), "GET /v1/health/service/redis"),
        (
            format!("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n{}", " ".repeat(MAX_ANSWER + 1)),
            "more than 1024 kB",
        ),
    ] {
        let (address, _) = agent(vec![answer]).await;
        let resolver = resolver(&address).await;
        let error = master(&resolver).await.expect_err("that is no answer");
        let text = format!("{error} {error:?} {resolver:?}");
        assert!(text.contains(expected) && text.contains(&address), "{expected}: {text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[tokio::test]
async fn an_answer_that_names_nobody_is_one() {
    let (address, _) = agent(vec![indexed(7, &[])]).await;
    assert!(master(&resolver(&address).await).await.expect_err("there is none").is_nobody());
}

#[tokio::test]
async fn a_watch_waits_with_the_index_and_begins_anew_when_it_goes_backwards() {
    let answers = [(7, 1), (9, 2), (9, 2), (3, 2), (3, 2)];
    let answers = answers.map(|(index, epoch)| indexed(index, &[row(7000 + epoch as u16, epoch)]));
    let (address, asked) = agent(answers.into()).await;
    let resolver = resolver(&address).await;
    let inner = resolver.inner.clone();
    let consul = inner.settings.consul.clone().expect("it was named");
    let following = tokio::spawn({
        let inner = inner.clone();
        async move { consul.follow(&inner).await }
    });
    timeout(PATIENCE, async {
        while asked.lock().expect("nobody panics").len() < 6 {
            tokio::time::sleep(Duration::from_millis(5)).await; // between two looks
        }
    })
    .await
    .expect("it asks on");
    following.abort();
    let asked = asked.lock().expect("nobody panics").clone();
    let index = |line: &String| {
        let (_, behind) = line.split_once("index=")?;
        behind.split('&').next().map(str::to_owned)
    };
    let indexes: Vec<_> = asked.iter().map(index).collect();
    let said = |index: &str| Some(index.to_owned());
    // After every change one question of now; the third says 9 again, the fourth goes back.
    assert_eq!(indexes, [None, said("7"), None, said("9"), None, said("3")]);
    assert_eq!(resolver.current().map(|master| master.addr.port()), Some(7002));
}

#[test]
fn a_url_that_cannot_be_one_is_refused_and_not_repeated() {
    for (url, expected) in [
        ("http://user:a-secret-word@127.0.0.1:8500", "a URL with a user in it"),
        ("ftp://127.0.0.1", "ftp:// is none of http, https, unix"),
        ("http://[a-secret-word", "it is no URL"),
    ] {
        let error = Resolver::builder("redis").consul(url).build().expect_err("it is wrong").to_string();
        assert!(error.contains(expected) && !error.contains("secret"), "{error}");
    }
    let error =
        Resolver::builder("cache.lan").consul("127.0.0.1:8500").build().expect_err("it is no service");
    assert!(error.to_string().contains("cache.lan is no name of a Consul service"), "{error}");
}
