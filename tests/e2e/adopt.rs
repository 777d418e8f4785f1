//! `consentinel adopt`, with what a real redis-sentinel has written; and a daemon that is told everything by its environment.

use crate::{PATIENCE, ours};
use consentinel_lab::{
    Client, Extra, Folder, GROUP, Process, Program, Redis, Sentinel, Serving, Value, eventually, free_port,
};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Where a daemon's files are to be.
struct Place {
    into: PathBuf,
    state: PathBuf,
    user: String,
}

impl Place {
    fn new(folder: &Folder) -> Place {
        let home = folder.sub("ours");
        let user = Command::new("id").arg("-un").output().expect("id runs").stdout;
        let user = String::from_utf8(user).expect("a name").trim().to_owned();
        Place { into: home.join("ours.conf"), state: home.join("state.conf"), user }
    }

    /// Runs `consentinel adopt`, with nobody at a terminal.
    fn adopt(&self, words: &[&str]) -> Output {
        let mut command = Command::new(ours().path());
        command.arg("adopt").args(words).stdin(Stdio::null());
        command.arg("--into").arg(&self.into).arg("--state").arg(&self.state).args(["--user", &self.user]);
        command.output().expect("it runs")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

fn call(port: u16, words: &[&str]) -> Option<Value> {
    Client::connect(port, Duration::from_secs(1)).ok()?.call(words).ok()
}

#[test]
fn the_place_of_an_original_is_taken_and_given_back() {
    let folder = Folder::new();
    let master = Redis::start_new(&folder, &Serving::default(), None);
    let _replica = Redis::start_new(&folder, &Serving::default(), Some(master.port));
    let config = format!("sentinel monitor {GROUP} 127.0.0.1 {} 1\n", master.port);
    let mut original = Sentinel::start_new(&folder, Program::Original, &config, Extra::default());
    eventually("the original has written the replica down", PATIENCE, || {
        (original.replicas().len() == 1 && original.config_text().contains("known-replica")).then_some(())
    });
    let (id, file) = (original.id(), original.config());
    let file = file.to_str().expect("a path of ours");
    let place = Place::new(&folder);
    fs::write(&place.into, "port 1\n").expect("the folder is ours");
    fs::set_permissions(&place.into, fs::Permissions::from_mode(0o604)).expect("it is ours");

    // While it runs: told, and refused, as no systemd can stop it.
    let refused = place.adopt(&[file, "--yes"]);
    assert!(!refused.status.success());
    let told = text(&refused.stdout);
    assert!(told.contains(&format!("with pid {} that runs by {file} has it", original.pid())), "{told}");
    assert!(text(&refused.stderr).contains("stop that program"), "{}", text(&refused.stderr));

    original.terminate();
    let before = fs::read(file).expect("the original's file");
    let asked = place.adopt(&[file]);
    assert!(!asked.status.success() && text(&asked.stderr).contains("--yes"), "{}", text(&asked.stderr));
    assert_eq!(fs::read_to_string(&place.into).expect("it stays"), "port 1\n");
    let done = place.adopt(&[file, "--yes"]);
    assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
    assert_eq!((mode(&place.into), mode(&place.state)), (0o640, 0o600));
    assert!(fs::read_to_string(&place.state).expect("the state").contains(&format!("sentinel myid {id}\n")));

    let daemon = Process::start(&ours().path(), &[&place.into], &folder.path().join("log"));
    let myid = eventually("ours answers", PATIENCE, || call(original.port, &["SENTINEL", "MYID"]));
    assert_eq!(myid.text(), Some(id.as_str()));
    let replicas = eventually("ours tells its replicas", PATIENCE, || {
        call(original.port, &["SENTINEL", "REPLICAS", GROUP])
    });
    assert_eq!(replicas.items().len(), 1, "it knew the replica from the start");
    daemon.terminate();
    assert!(
        !fs::read_to_string(&place.into).expect("ours").contains("known-replica"),
        "the state is elsewhere"
    );

    let twice = place.adopt(&[file, "--yes"]);
    assert!(text(&twice.stderr).contains("--undo"), "{}", text(&twice.stderr));
    let undone = place.adopt(&["--undo", "--yes"]);
    assert!(undone.status.success(), "{}", text(&undone.stderr));
    assert_eq!(fs::read_to_string(&place.into).expect("it is back"), "port 1\n");
    assert_eq!(mode(&place.into), 0o604);
    assert!(!place.state.exists());
    assert_eq!(fs::read(file).expect("the original's file"), before);
    assert!(text(&place.adopt(&["--undo", "--yes"]).stderr).contains("nothing was adopted"));
    original.start();
    assert_eq!(original.id(), id);
}

#[test]
fn what_a_start_would_refuse_is_refused_in_the_same_words() {
    let folder = Folder::new();
    let place = Place::new(&folder);
    let file = folder.path().join("wrong.conf");
    fs::write(&file, "sentinel monitor shop 10.0.0.1 6379\n").expect("the folder is ours");
    let refused = place.adopt(&[file.to_str().expect("a path of ours"), "--yes"]);
    let said = text(&refused.stderr);
    assert!(said.contains("FATAL CONFIG FILE ERROR") && said.contains("takes 4 values, not 3"), "{said}");
    fs::write(&file, format!("port {}\naclfile /nonexistent/users.acl\n", free_port())).expect("it is ours");
    let refused = place.adopt(&[file.to_str().expect("a path of ours"), "--yes"]);
    let said = text(&refused.stderr);
    assert!(said.contains("/nonexistent/users.acl"), "{said}");
    assert!(!place.into.exists() && !place.state.exists());
}

#[test]
fn a_start_on_the_port_of_an_original_says_whose_it_is() {
    let folder = Folder::new();
    let original = Sentinel::start_new(&folder, Program::Original, "", Extra::default());
    let file = folder.path().join("s.conf");
    fs::write(&file, format!("port {}\nbind 127.0.0.1\n", original.port)).expect("the folder is ours");
    let ended = Command::new(ours().path()).arg(&file).output().expect("it runs");
    assert_eq!(ended.status.code(), Some(1));
    let expected = format!(
        "the sentinel with pid {} that runs by {} has it",
        original.pid(),
        original.config().display()
    );
    assert!(text(&ended.stderr).contains(&expected), "{}", text(&ended.stderr));
}

#[test]
fn the_environment_alone_is_enough() {
    let folder = Folder::new();
    let master = Redis::start_new(&folder, &Serving::default(), None);
    let (port, http, file) = (free_port(), free_port(), folder.path().join("state.conf"));
    let directives = format!(
        "port {port}\nbind 127.0.0.1\nrequirepass secret\n# ours\nsentinel monitor {GROUP} 127.0.0.1 {} 1\n",
        master.port
    );
    let environment: Vec<(String, String)> = [
        ("CONSENTINEL_CONFIG", file.display().to_string()),
        ("CONSENTINEL_DIRECTIVES", directives),
        ("CONSENTINEL_HTTP", format!("127.0.0.1:{http}")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let none: [&str; 0] = [];
    let _daemon = Process::start_with(&ours().path(), &none, &environment, &folder.path().join("log"));
    let status = |words: &[&str]| {
        let mut command = Command::new(ours().path());
        command.args(words).envs(environment.iter().cloned()).output().expect("it runs")
    };
    // Port and password, too, are what the environment says.
    eventually("it is well by its own word", PATIENCE, || status(&["status"]).status.success().then_some(()));
    assert_eq!(mode(&file), 0o600);
    assert!(fs::read_to_string(&file).expect("it was begun").contains("sentinel myid "));
    assert!(Client::connect(http, Duration::from_secs(1)).is_ok(), "HTTP is served where it says");
}
