//! TLS: to clients, to servers and between sentinels, with certificates that change.

use crate::{PATIENCE, ours};
use consentinel_lab::{
    Authority, Certificate, Client, Extra, Folder, GROUP, Process, Program, Sentinel, eventually, free_port,
};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A real server that speaks TLS, and only TLS to its master. Tests ask it in the clear.
struct TlsRedis {
    plain: u16,
    port: u16,
    _process: Process,
}

impl TlsRedis {
    fn start(folder: &Folder, authority: &Authority, cert: &Certificate, follows: Option<u16>) -> TlsRedis {
        let (plain, port) = (free_port(), free_port());
        let home = folder.sub(&format!("redis-{port}"));
        let mut config = format!(
            "port {plain}\nbind 127.0.0.1\ndir {}\nsave \"\"\nrepl-diskless-sync-delay 0\n",
            home.display()
        );
        config += &tls_lines(port, authority, cert);
        if let Some(master) = follows {
            config += &format!("replicaof 127.0.0.1 {master}\n");
        }
        let file = home.join("redis.conf");
        std::fs::write(&file, config).expect("the folder is ours");
        let program = Path::new("/usr/bin/env");
        let args = ["redis-server".as_ref(), file.as_os_str()];
        let process = Process::start(program, &args, &home.join("log"));
        let redis = TlsRedis { plain, port, _process: process };
        eventually("the server answers", PATIENCE, || redis.role());
        redis
    }

    fn role(&self) -> Option<String> {
        let mut client = Client::connect(self.plain, Duration::from_millis(500)).ok()?;
        client.call(&["ROLE"]).ok()?.items().first()?.text().map(str::to_owned)
    }
}

pub(crate) fn tls_lines(port: u16, authority: &Authority, own: &Certificate) -> String {
    format!(
        "tls-port {port}\ntls-replication yes\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n",
        own.cert.display(),
        own.key.display(),
        authority.ca().display()
    )
}

/// A sentinel with TLS, and the port on which it speaks it.
fn sentinel(
    folder: &Folder,
    program: Program,
    (authority, own): (&Authority, &Certificate),
    master: u16,
) -> (Sentinel, u16) {
    let port = free_port();
    let config = format!(
        "{}sentinel monitor {GROUP} 127.0.0.1 {master} 2\nsentinel down-after-milliseconds {GROUP} 4000\n\
         sentinel failover-timeout {GROUP} 10000\n",
        tls_lines(port, authority, own)
    );
    (Sentinel::start_new(folder, program, &config, Extra::default()), port)
}

/// What redis-cli says over TLS.
fn cli(port: u16, ca: &Path, own: Option<&Certificate>, words: &[&str]) -> String {
    let mut command = Command::new("redis-cli");
    command.args(["-p", &port.to_string(), "--tls", "--cacert"]).arg(ca);
    if let Some(own) = own {
        command.arg("--cert").arg(&own.cert).arg("--key").arg(&own.key);
    }
    let output = command.args(words).output().expect("redis-cli is there");
    [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
}

#[test]
fn a_failover_goes_over_tls_beside_an_original() {
    let folder = Folder::new();
    let authority = Authority::new(&folder, "house");
    let own = authority.issue("all");
    let master = TlsRedis::start(&folder, &authority, &own, None);
    let replicas: Vec<_> =
        (0..2).map(|_| TlsRedis::start(&folder, &authority, &own, Some(master.port))).collect();
    let programs = [ours(), ours(), Program::Original];
    let sentinels = programs.map(|program| sentinel(&folder, program, (&authority, &own), master.port));
    eventually("everybody knows everybody by the ports of TLS", PATIENCE * 2, || {
        let knows = |sentinel: &Sentinel| {
            let peers: Vec<_> =
                sentinel.sentinels().iter().filter_map(|peer| peer.get("port").cloned()).collect();
            let known = |(other, port): &(Sentinel, u16)| {
                other.port == sentinel.port || peers.contains(&port.to_string())
            };
            sentinel.replicas().len() == 2 && sentinels.iter().all(known)
        };
        sentinels.iter().all(|(sentinel, _)| knows(sentinel)).then_some(())
    });
    drop(master);
    let new = eventually("every sentinel names the same new master", PATIENCE, || {
        let named: Vec<_> = sentinels.iter().map(|(sentinel, _)| sentinel.master_port()).collect();
        let new = replicas.iter().find(|redis| named.iter().all(|port| *port == Some(redis.port)))?;
        (new.role()? == "master").then_some(new)
    });
    let said =
        cli(sentinels[0].1, &authority.ca(), Some(&own), &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP]);
    assert!(said.contains(&new.port.to_string()), "{said}");
}

#[test]
fn clients_are_served_over_tls_and_whoever_does_not_speak_it_is_not() {
    let folder = Folder::new();
    let authority = Authority::new(&folder, "house");
    let own = authority.issue("all");
    let config = ("loglevel verbose\n".to_owned(), free_port());
    let lines = config.0 + &tls_lines(config.1, &authority, &own);
    let (sentinel, port) = (Sentinel::start_new(&folder, ours(), &lines, Extra::default()), config.1);
    assert_eq!(cli(port, &authority.ca(), Some(&own), &["PING"]), "PONG\n");
    assert!(cli(port, &authority.ca(), Some(&own), &["SENTINEL", "MASTERS"]).len() <= 1);
    let stranger = Authority::new(&folder, "street").issue("stranger");
    for cert in [None, Some(&stranger)] {
        assert_ne!(cli(port, &authority.ca(), cert, &["PING"]), "PONG\n");
    }
    let mut plain = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("somebody listens");
    plain.write_all(b"*1\r\n$4\r\nPING\r\n").expect("it goes out");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer); // closed or reset
    assert!(!answer.windows(4).any(|part| part == b"PONG"));
    eventually("the log says why", PATIENCE, || {
        sentinel.log().contains("no TLS with the client at 127.0.0.1").then_some(())
    });
    let open = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("somebody listens");
    open.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    assert!(!matches!((&open).read(&mut [0; 1]), Ok(1..)), "who never shakes hands is let go");
}

/// The handshakes of the original's clients count, too: nobody can hold it up with more connections than clients may.
#[test]
fn whoever_shakes_hands_counts_among_the_clients() {
    let folder = Folder::new();
    let authority = Authority::new(&folder, "house");
    let own = authority.issue("all");
    for program in [Program::Original, ours()] {
        let port = free_port();
        let lines = tls_lines(port, &authority, &own) + "tls-auth-clients no\nmaxclients 10\n";
        let sentinel = Sentinel::start_new(&folder, program, &lines, Extra::default());
        let mut client = Client::connect(sentinel.port, PATIENCE).expect("it listens");
        let mut ask = |words: &[&str]| {
            let answer = client.call(words).expect("it answers");
            answer.text().map_or_else(|| format!("{answer:?}"), str::to_owned)
        };
        eventually("nobody else is connected", PATIENCE, || {
            (ask(&["CLIENT", "LIST"]).lines().count() == 1).then_some(())
        });
        let silent = || {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("somebody listens");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
            stream
        };
        let heard = |mut stream: &TcpStream| {
            let mut bytes = Vec::new();
            let _ = stream.read_to_end(&mut bytes); // closed or reset
            bytes
        };
        let mut shaking: Vec<_> = (0..9).map(|_| silent()).collect();
        let list = eventually("all of them are clients", PATIENCE, || {
            let list = ask(&["CLIENT", "LIST"]);
            (list.lines().count() == 10).then_some(list)
        });
        let theirs = format!(" laddr=127.0.0.1:{port} ");
        let theirs: Vec<_> = list.lines().filter(|line| line.contains(&theirs)).collect();
        assert!(theirs.len() == 9 && theirs.iter().all(|line| line.contains(" cmd=NULL ")), "{list}");
        let plain = TcpStream::connect((Ipv4Addr::LOCALHOST, sentinel.port)).expect("it listens");
        plain.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        assert_eq!(heard(&plain), b"-ERR max number of clients reached\r\n");
        assert_eq!(heard(&silent()), b"", "it could not read what is in the clear");
        let stats = ask(&["INFO", "stats"]);
        assert!(stats.contains("rejected_connections:2\r\n"), "{stats}");
        // One is sent away, which makes room for one who speaks TLS.
        let last = shaking.pop().expect("there are nine");
        let address = last.local_addr().expect("it is connected").to_string();
        assert_eq!(ask(&["CLIENT", "KILL", "ADDR", &address]), "Int(1)");
        assert_eq!(heard(&last), b"");
        assert_eq!(cli(port, &authority.ca(), None, &["PING"]), "PONG\n");
        drop(shaking);
        eventually("those who have gone do not count", PATIENCE, || {
            (ask(&["CLIENT", "LIST"]).lines().count() == 1).then_some(())
        });
    }
}

#[test]
fn certificates_are_changed_under_open_connections() {
    let folder = Folder::new();
    let (old, new) = (Authority::new(&folder, "old"), Authority::new(&folder, "new"));
    let own = old.issue("own");
    let redis = TlsRedis::start(&folder, &old, &old.issue("redis"), None);
    let port = free_port();
    let config = format!(
        "{}tls-auth-clients no\nsentinel monitor {GROUP} 127.0.0.1 {} 1\nsentinel down-after-milliseconds {GROUP} 1000\n",
        tls_lines(port, &old, &own),
        redis.port
    );
    let sentinel = Sentinel::start_new(&folder, ours(), &config, Extra::default());
    let healthy = || sentinel.master().get("flags").is_some_and(|flags| flags == "master").then_some(());
    eventually("the master is seen over TLS", PATIENCE, healthy);
    let link_age = || sentinel.master().get("role-reported-time").and_then(|text| text.parse::<u64>().ok());
    let before = link_age().expect("it tells");
    assert_eq!(cli(port, &old.ca(), None, &["PING"]), "PONG\n");
    assert_ne!(cli(port, &new.ca(), None, &["PING"]), "PONG\n");

    std::fs::write(&own.cert, "nothing").expect("the folder is ours");
    hang_up(&sentinel);
    eventually("the log says that they stay", PATIENCE, || {
        sentinel.log().contains("the TLS certificates stay as they were: tls-cert-file").then_some(())
    });
    assert_eq!(cli(port, &old.ca(), None, &["PING"]), "PONG\n");

    new.issue("own").replace(&own);
    hang_up(&sentinel);
    eventually("the new certificate is shown", PATIENCE, || {
        (cli(port, &new.ca(), None, &["PING"]) == "PONG\n").then_some(())
    });
    assert_ne!(cli(port, &old.ca(), None, &["PING"]), "PONG\n");
    assert!(healthy().is_some() && link_age() >= Some(before), "the link to the master has not moved");
    assert!(!sentinel.log().contains("+sdown"), "{}", sentinel.log());
}

fn hang_up(sentinel: &Sentinel) {
    let pid = sentinel.call(&["INFO", "server"]).expect("it answers");
    let pid = pid.text().and_then(|text| text.split("process_id:").nth(1)?.lines().next().map(str::to_owned));
    let status = Command::new("kill").args(["-HUP", &pid.expect("it tells its pid")]).status();
    assert!(status.is_ok_and(|status| status.success()));
}

#[test]
fn what_is_wrong_with_a_server_is_said_once() {
    let folder = Folder::new();
    let authority = Authority::new(&folder, "house");
    let redis = TlsRedis::start(&folder, &authority, &authority.issue_expired("old"), None);
    let (sentinel, _) = sentinel(&folder, ours(), (&authority, &authority.issue("own")), redis.port);
    let line = format!("no TLS with 127.0.0.1:{}: its certificate has expired", redis.port);
    eventually("it is found to be down", PATIENCE, || sentinel.log().contains("+sdown").then_some(()));
    assert_eq!(sentinel.log().matches(&line).count(), 1, "{}", sentinel.log());
}

/// Every form in which openssl writes a key.
#[test]
fn keys_of_all_forms_are_read() {
    let folder = Folder::new();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let openssl = |words: &str| {
        let done = Command::new("openssl").args(words.split_whitespace()).output().expect("openssl is there");
        assert!(done.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let (rsa, ec) = (path("rsa"), path("ec"));
    openssl(&format!(
        "req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=rsa -keyout {rsa}.key -out {rsa}.crt"
    ));
    openssl(&format!("ecparam -name prime256v1 -genkey -noout -out {ec}.sec1"));
    openssl(&format!("req -x509 -new -key {ec}.sec1 -days 9 -subj /CN=ec -out {ec}.crt"));
    openssl(&format!("pkcs8 -topk8 -nocrypt -in {ec}.sec1 -out {ec}.key"));
    openssl(&format!("pkcs8 -topk8 -passout pass:sesame -in {ec}.sec1 -out {ec}.enc"));
    openssl(&format!("pkcs8 -topk8 -v2 aes-128-cbc -passout pass:sesame -in {rsa}.key -out {rsa}.enc"));
    openssl(&format!("rsa -traditional -in {rsa}.key -out {rsa}.pkcs1"));
    for (cert, key) in
        [(&rsa, "key"), (&rsa, "pkcs1"), (&rsa, "enc"), (&ec, "key"), (&ec, "sec1"), (&ec, "enc")]
    {
        let port = free_port();
        let config = format!(
            "tls-port {port}\ntls-cert-file {cert}.crt\ntls-key-file {cert}.{key}\ntls-key-file-pass sesame\n\
             tls-auth-clients no\n"
        );
        let _sentinel = Sentinel::start_new(&folder, ours(), &config, Extra::default());
        let ca = format!("{cert}.crt");
        assert_eq!(cli(port, Path::new(&ca), None, &["PING"]), "PONG\n", "{cert}.{key}");
    }
    let config = path("wrong.conf");
    let text = format!(
        "tls-port {}\ntls-cert-file {ec}.crt\ntls-key-file {ec}.enc\ntls-key-file-pass swordfish\ntls-auth-clients no\n",
        free_port()
    );
    std::fs::write(&config, text).expect("the folder is ours");
    let output = Command::new(env!("CARGO_BIN_EXE_consentinel")).arg(&config).output().expect("it starts");
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(!output.status.success() && said.contains("ec.enc: the key cannot be decrypted"), "{said}");
    assert!(!said.contains("swordfish"), "{said}");
}
