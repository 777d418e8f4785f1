//! The scripts of `docs/examples/scripts` that need no network of their own, called by sentinels as they are shipped.

use super::examples_stage::{APPLICATION, HostStage, example};
use super::readme::block;
use crate::{PATIENCE, ours, three_daemons};
use consentinel_lab::{Cluster, Extra, Folder, GROUP, Program, Value, eventually};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Long enough that a file which is written in place would be seen half written.
const LINES: usize = 20_000;

#[test]
fn the_configuration_is_rewritten_by_a_script_of_ours() {
    the_configuration_is_rewritten(&ours());
}

#[test]
fn the_configuration_is_rewritten_by_a_script_of_the_original() {
    the_configuration_is_rewritten(&Program::Original);
}

/// Each sentinel has an application of its own beside it, in the folder where its scripts run.
fn the_configuration_is_rewritten(program: &Program) {
    let folder = Folder::new();
    let template = folder.path().join("template");
    let text = format!("{}redis @HOST@:@PORT@\n", "# as before\n".repeat(LINES));
    std::fs::write(&template, &text).expect("the folder is ours");
    let script = example("scripts/rewrite-config.sh").display().to_string();
    let template = template.display().to_string();
    let reload = "tail -n 1 shop.conf >>reloads".to_owned();
    let environment = [("TEMPLATE", template), ("CONFIG", "shop.conf".into()), ("RELOAD", reload)];
    let environment = environment.map(|(name, value)| (name.to_owned(), value));
    let words = if *program == Program::Original { &[][..] } else { &["--dns", "127.0.0.1:8600"] };
    let line = format!("sentinel client-reconfig-script {GROUP} {script}\n");
    let mut stage = HostStage::set(program, &line, words, &environment);
    let homes: Vec<_> = (0..3).map(|number| stage.folder.sub(&format!("sentinel-{number}"))).collect();
    let by_hand = |stage: &HostStage, home: &Path, more: &str| {
        let assigned: String = environment.iter().map(|(name, value)| format!("{name}='{value}' ")).collect();
        stage.hosts.all[APPLICATION].shell(&format!("cd {} && {assigned} {more} {script}", home.display()))
    };
    for home in &homes {
        let output = by_hand(&stage, home, "");
        assert!(output.status.success(), "{output:?}");
    }
    let addresses = [0, 1].map(|host| stage.hosts.all[host].address);
    let address = |host: usize| format!("redis {}:6379\n", addresses[host]);
    let whole = [0, 1].map(|host| text.replace("redis @HOST@:@PORT@\n", &address(host)));
    let reloads = |home: &Path| std::fs::read_to_string(home.join("reloads")).unwrap_or_default();
    assert!(homes.iter().all(|home| reloads(home) == address(0)));

    let config = homes[APPLICATION].join("shop.conf");
    let permissions = || std::fs::metadata(&config).expect("it is there").permissions();
    std::fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(0o640))
        .expect("it is ours");
    let before = permissions();
    let over = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (config, whole, over) = (config.clone(), whole.clone(), over.clone());
        move || {
            while !over.load(Ordering::Relaxed) {
                let read = std::fs::read_to_string(&config).expect("it is there at every moment");
                assert!(whole.contains(&read), "{} bytes of a configuration", read.len());
            }
        }
    });
    let expected = address(0) + &address(1);
    stage.kill(0);
    for home in &homes {
        eventually("the application has read who is master", PATIENCE, || {
            (reloads(home) == expected).then_some(())
        });
    }
    over.store(true, Ordering::Relaxed);
    reader.join().expect("it never read a half");
    assert_eq!(std::fs::read_to_string(&config).expect("it is there"), whole[1]);
    assert_eq!(permissions(), before);

    if *program != Program::Original {
        let home = stage.folder.sub("by-resolve");
        let resolve = format!("{} resolve redis.service.consul --exec", program.path().display());
        let output = by_hand(&stage, &home, &resolve);
        assert!(output.status.success() && reloads(&home) == address(1), "{output:?}");
    }
    let home = stage.folder.sub("by-hand");
    for (more, status, reason) in [
        ("RELOAD=false", 1, "but this failed: false"),
        ("SENTINEL_PORT=1", 1, "the sentinel on port 1 names no master of mymaster"),
        ("REDIS_PORT=6379 REDIS_HOST='a/b'", 2, "'a/b' is no address"),
    ] {
        let output = by_hand(&stage, &home, more);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(status) && said.contains(reason), "{more}: {output:?}");
    }
    let left: Vec<_> =
        std::fs::read_dir(&home).expect("it is ours").flatten().map(|it| it.file_name()).collect();
    assert!(!left.iter().any(|name| name == "shop.conf.new"), "{left:?}");
}

/// What nobody but the chat may see.
const SECRET: &str = "hooks/T0123/abcdef";

/// A chat with a webhook. Its first answer is an error.
struct Chat {
    posts: Arc<Mutex<Vec<String>>>,
    port: u16,
    folder: Folder,
}

impl Chat {
    fn start() -> Chat {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let posts: Arc<Mutex<Vec<String>>> = Arc::default();
        std::thread::spawn({
            let posts = posts.clone();
            move || {
                for stream in listener.incoming().flatten() {
                    // Whoever looks at the processes now sees the one that posts.
                    assert_eq!(arguments_with(SECRET), Vec::<String>::new());
                    let body = read_post(&stream).expect("it posts");
                    let mut posts = posts.lock().expect("nobody panics");
                    let answer = if posts.is_empty() { "500 Internal Server Error" } else { "200 OK" };
                    posts.push(body);
                    let _ = write!(
                        &stream,
                        "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    );
                }
            }
        });
        Chat { posts, port, folder: Folder::new() }
    }

    /// What was posted.
    fn texts(&self) -> Vec<String> {
        let posts = self.posts.lock().expect("the chat does not panic");
        let text = |post: &String| {
            let json: serde_json::Value = serde_json::from_str(post).expect("it is JSON");
            json["text"].as_str().expect("it has a text").to_owned()
        };
        posts.iter().map(text).collect()
    }
}

fn read_post(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    assert!(head.starts_with(&format!("POST /{SECRET} HTTP/1.1\r\n")), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    String::from_utf8(body).ok()
}

/// The command lines and environments on this machine in which that stands.
fn arguments_with(word: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").expect("there is /proc").flatten();
    let files = processes.flat_map(|process| ["cmdline", "environ"].map(|name| process.path().join(name)));
    let texts =
        files.filter_map(|file| Some(String::from_utf8_lossy(&std::fs::read(file).ok()?).into_owned()));
    texts.filter(|text| text.contains(word)).collect()
}

#[test]
fn a_chat_is_told_of_a_switch_by_ours() {
    a_chat_is_told_of_a_switch(ours());
}

#[test]
fn a_chat_is_told_of_a_switch_by_the_original() {
    a_chat_is_told_of_a_switch(Program::Original);
}

fn a_chat_is_told_of_a_switch(program: Program) {
    let (mut cluster, chat) = with_chat(program, "client-reconfig-script");
    let old = cluster.redis[0].port;
    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    let new = cluster.redis[new].port;
    let expected = format!(
        "The master of {GROUP} was 127.0.0.1:{old} and is 127.0.0.1:{new} now, says the sentinel on "
    );
    // The chat refused the first one.
    let texts = eventually("the chat was told, and told again", PATIENCE, || {
        Some(chat.texts()).filter(|texts| texts.len() == 2)
    });
    assert!(texts.iter().all(|text| text.starts_with(&expected)), "{texts:?}");
    nothing_is_shown(&cluster);
    assert_eq!(chat.texts().len(), 2, "one sentinel of three tells it");
}

#[test]
fn a_chat_is_told_of_warnings() {
    let (mut cluster, chat) = with_chat(ours(), "notification-script");
    let old = cluster.redis[0].port;
    cluster.redis[0].kill();
    cluster.wait_for_new_master(0, PATIENCE);
    let expected = format!("+sdown master {GROUP} 127.0.0.1 {old} (the sentinel on ");
    eventually("the chat was told", PATIENCE, || {
        chat.texts().iter().any(|text| text.starts_with(&expected)).then_some(())
    });
    nothing_is_shown(&cluster);
}

/// A cluster whose sentinels call the script, and try it again soon.
fn with_chat(program: Program, kind: &str) -> (Cluster, Chat) {
    let chat = Chat::start();
    let mut setup = three_daemons();
    setup.sentinels = vec![program; 3];
    let file = chat.folder.path().join("chat.curl");
    let script = example("scripts/tell-chat.sh").display().to_string();
    let refused =
        Command::new(&script).args(["+sdown", "x"]).env("WEBHOOK_FILE", &file).output().expect("it runs");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && said.contains("chat.curl cannot be read by "), "{said}");

    std::fs::write(&file, format!("url = \"http://127.0.0.1:{}/{SECRET}\"\n", chat.port))
        .expect("the folder is ours");
    let extra = Extra::default()
        .line(&format!("sentinel {kind} {GROUP} {script}"))
        .variable("WEBHOOK_FILE", &file.display().to_string());
    let cluster = Cluster::start(&setup.with(&extra));
    for sentinel in &cluster.sentinels {
        let reply = sentinel.call(&["SENTINEL", "DEBUG", "script-retry-delay", "200"]);
        assert_eq!(reply, Some(Value::Simple("OK".into())));
    }
    (cluster, chat)
}

fn nothing_is_shown(cluster: &Cluster) {
    for sentinel in &cluster.sentinels {
        assert!(!sentinel.log().contains(SECRET), "{}", sentinel.log());
    }
}

/// The lines of the page, as they are, on a host whose daemon answers DNS at the usual place.
#[test]
fn the_classic_line_says_what_the_page_says() {
    let page = std::fs::read_to_string(example("README.md")).expect("it is shipped");
    let mut stage = HostStage::with_dns();
    let by_address = block(&page, "redis-cli -h $(dig +short @127.0.0.1 -p 8600 redis.service.consul |");
    let by_srv = block(&page, "redis-cli $(dig @127.0.0.1 -p 8600 redis.service.consul SRV");
    let run = |stage: &HostStage, line: &str| {
        let output = stage.hosts.all[APPLICATION].shell(line);
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said.trim().to_owned())
    };
    for line in [by_address, by_srv] {
        assert_eq!(run(&stage, line), (Some(0), "PONG".into()), "{line}");
    }
    stage.kill(1);
    stage.kill(0);
    let nobody = [(by_address, "-p:6379"), (by_srv, "nobody.invalid:0")];
    for (line, place) in nobody {
        let expected = format!("Could not connect to Redis at {place}: ");
        assert!(page.contains(&format!("`{expected}…`")), "the page says it");
        let fails = |line: &str| {
            let (status, said) = run(&stage, line);
            status == Some(1) && said.starts_with(&expected)
        };
        eventually("there is no master", PATIENCE, || fails(line).then_some(()));
        // Nobody answers there.
        assert!(fails(&line.replace("-p 8600", "-p 8601")), "{line}");
    }
    let careless =
        run(&stage, "redis-cli -h $(dig +short @127.0.0.1 -p 8601 redis.service.consul | head -n 1) PING").1;
    assert!(
        page.contains("`Could not connect to Redis at ;;:6379`") && careless.contains("at ;;:6379:"),
        "{careless}"
    );
    // What is warned of: without an answer it is localhost.
    let empty = run(&stage, "redis-cli $(dig +short @127.0.0.1 -p 8600 redis.service.consul SRV) PING").1;
    assert_eq!(empty, "Could not connect to Redis at 127.0.0.1:6379: Connection refused");
}
