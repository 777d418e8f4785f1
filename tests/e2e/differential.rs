//! The original and ours side by side: the same commands, right and wrong, and the same answers.

use crate::{PATIENCE, ours};
use consentinel_lab::{Cluster, Extra, Folder, Program, Sentinel, Setup};
use std::collections::BTreeSet;
use std::time::Duration;

mod accepted;
mod generator;
mod normal;
mod story;
mod wire;

use accepted::ACCEPTED;
use generator::{Chance, command};
use normal::normal;
use wire::{Client, Reply, Words, inline, multibulk, shown, words};

/// The two that are compared.
struct Pair {
    /// The original's port, and ours.
    ports: [u16; 2],
    differences: Vec<String>,
    explained: BTreeSet<&'static str>,
}

/// How a command is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Resp2,
    Resp3,
    Inline,
}

const FORMS: [Form; 3] = [Form::Resp2, Form::Resp3, Form::Inline];

/// What ends what is read: no command answers so by itself.
const MARK: &str = "that-is-all";

/// Stands first among commands that concern the one that follows, so that no marks may come between.
const UNDISTURBED: &[u8] = b"<undisturbed>";

impl Pair {
    fn new(theirs: &Sentinel, ours: &Sentinel) -> Pair {
        Pair { ports: [theirs.port, ours.port], differences: Vec::new(), explained: BTreeSet::new() }
    }

    /// Sends the same commands over a connection of their own, all at once, and compares what comes back.
    fn compare(&mut self, form: Form, commands: &[Words]) {
        if std::env::var_os("DIFFERENTIAL_SHOW").is_some() {
            eprintln!("{form:?} {}", all_shown(commands));
        }
        let undisturbed = commands.iter().flatten().any(|word| word == UNDISTURBED);
        let commands: Vec<_> = commands.iter().filter(|command| command[0] != UNDISTURBED).cloned().collect();
        let commands = &commands[..];
        let [theirs, ours] = self.ports.map(|port| converse(port, form, commands, undisturbed));
        for (command, (theirs, ours)) in commands.iter().zip(theirs.into_iter().zip(ours)) {
            let (theirs, ours) = (normal(command, theirs), normal(command, ours));
            if theirs == ours {
                continue;
            }
            match ACCEPTED.iter().find(|accepted| (accepted.explains)(command, &theirs, &ours)) {
                Some(accepted) => {
                    self.explained.insert(accepted.what);
                }
                None => {
                    let what = shown(command);
                    let (theirs, ours) = where_they_differ(&Reply::Array(theirs), &Reply::Array(ours));
                    let all = all_shown(commands);
                    let report = format!("{form:?} {what}  in  {all}\n  {theirs}\n  {ours}");
                    self.differences.push(report);
                }
            }
        }
    }

    /// The same for every line of a list, in every form.
    fn compare_list(&mut self, text: &str) {
        for commands in listed(text) {
            FORMS.into_iter().for_each(|form| self.compare(form, &commands));
        }
    }

    fn finish(self, what: &str) -> BTreeSet<&'static str> {
        let count = self.differences.len();
        let shown: Vec<_> = self.differences.into_iter().take(80).collect();
        assert!(count == 0, "{count} differences{what}, the original's answer first:\n{}", shown.join("\n"));
        self.explained
    }
}

/// The first parts that are not the same.
fn where_they_differ(theirs: &Reply, ours: &Reply) -> (String, String) {
    let (a, b) = (theirs.parts(), ours.parts());
    match a.iter().zip(&b).find(|(a, b)| a != b) {
        Some((a, b)) if a.parts().is_empty() == b.parts().is_empty() && a.same_kind(b) => {
            where_they_differ(a, b)
        }
        Some((a, b)) => (clipped(a), clipped(b)),
        None => (clipped(theirs), clipped(ours)),
    }
}

fn clipped(reply: &Reply) -> String {
    let text = format!("{reply:?}");
    match text.len() {
        ..=400 => text,
        length => format!("{} ...({length})", &text[..400]),
    }
}

/// Both in one cluster with a third.
fn cluster() -> Cluster {
    let mut setup = Setup::new(vec![Program::Original, ours(), Program::Original]);
    // Nobody is down because the machine is busy.
    setup.down_after = Duration::from_secs(60);
    Cluster::start(&setup)
}

fn all_shown(commands: &[Words]) -> String {
    commands.iter().map(|words| shown(words)).collect::<Vec<_>>().join(" | ")
}

/// The answers to each of some commands, sent at once; all of them as the first's when no marks may come between.
fn converse(port: u16, form: Form, commands: &[Words], undisturbed: bool) -> Vec<Vec<Reply>> {
    let mut client = Client::connect(port).expect("the sentinel listens");
    if form == Form::Resp3 {
        client.send(&multibulk(&words("HELLO 3")));
        client.read();
    }
    let encode = if form == Form::Inline { inline } else { multibulk };
    let mark = |at: usize| encode(&words(&format!("PING {MARK}{at}")));
    let mut bytes = Vec::new();
    for (at, command) in commands.iter().enumerate() {
        bytes.extend(encode(command));
        if !undisturbed {
            bytes.extend(mark(at));
        }
    }
    if undisturbed {
        // What is not the protocol ends the connection.
        bytes.extend(b"*x\r\n");
    }
    client.send(&bytes);
    let mut answers = vec![Vec::new(); commands.len()];
    let mut now = 0;
    while now < commands.len() {
        let reply = client.read();
        match mark_of(&reply).or_else(|| reply.items().get(1).and_then(mark_of)) {
            Some(at) => now = at + 1,
            None => {
                let ended = matches!(reply, Reply::Closed | Reply::Silence);
                answers[now].push(reply);
                if ended {
                    break;
                }
            }
        }
    }
    answers
}

/// Which command it ends, if it is a mark.
fn mark_of(reply: &Reply) -> Option<usize> {
    let text = std::str::from_utf8(reply.text()?).ok()?;
    text.strip_prefix(MARK)?.parse().ok()
}

/// The commands of the list, one a line; `|` separates those that are sent at once.
fn listed(text: &str) -> impl Iterator<Item = Vec<Words>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let long = |word: Vec<u8>| match &word[..] {
        b"<long>" => vec![b'y'; 5000],
        b"<longer>" => vec![b'y'; 16385],
        _ => word,
    };
    let command = move |line: &str| words(line).into_iter().map(long).collect();
    lines.map(move |line| line.split(" | ").map(command).collect())
}

#[test]
fn every_listed_command_is_answered_as_by_the_original() {
    let cluster = cluster();
    let mut pair = Pair::new(&cluster.sentinels[0], &cluster.sentinels[1]);
    pair.compare_list(include_str!("differential/commands.txt"));
    let mut explained = pair.finish("");
    explained.extend(throw_away());
    let unused: Vec<_> =
        ACCEPTED.iter().map(|accepted| accepted.what).filter(|what| !explained.contains(what)).collect();
    assert!(unused.is_empty(), "accepted, but not there: {unused:?}");
}

/// Both alone, with these lines in their configurations, each in a folder with this file.
fn alone(folder: &Folder, lines: &[&str], users: &str) -> [Sentinel; 2] {
    [Program::Original, ours()].map(|program| {
        let dir = folder.sub(if program == Program::Original { "theirs" } else { "ours" });
        std::fs::write(dir.join("users.acl"), users).expect("the folder is ours");
        let dir = format!("dir {}", dir.display());
        let extra = lines.iter().fold(Extra::default().line(&dir), |extra, line| extra.line(line));
        Sentinel::start_new(folder, program, "sentinel monitor mymaster 127.0.0.1 1 2\n", extra)
    })
}

#[test]
fn whoever_must_log_in_is_treated_as_by_the_original() {
    let folder = Folder::new();
    let lines = [
        "requirepass sesame",
        "user ops on >geheim ~* &* +@all",
        "user reader on nopass +ping +sentinel|masters +sentinel|ckquorum +subscribe +psubscribe +publish &+s* (+info)",
        "user gone off >x +@all",
    ];
    let [theirs, ours] = alone(&folder, &lines, "");
    let mut pair = Pair::new(&theirs, &ours);
    pair.compare_list(include_str!("differential/locked.txt"));
    pair.finish("");
}

#[test]
fn users_get_the_channels_of_acl_pubsub_default_as_by_the_original() {
    for word in ["allchannels", "resetchannels"] {
        let folder = Folder::new();
        let default = format!("acl-pubsub-default {word}");
        let lines = [
            "user early on nopass +@all",
            &default,
            "user default on nopass +@all",
            "user few on nopass resetchannels &x +@all",
            "user ops on nopass +@all (+ping)",
        ];
        let [theirs, ours] = alone(&folder, &lines, "");
        let mut pair = Pair::new(&theirs, &ours);
        pair.compare_list(include_str!("differential/channels.txt"));
        pair.finish(&format!(" with {default}"));
        for sentinel in [theirs, ours] {
            let text = sentinel.config_text();
            assert!(text.contains(&default), "{text}");
        }
    }
    let folder = Folder::new();
    let users = "user ops on nopass +@all\nuser few resetchannels &x reset (+ping)\n";
    let [theirs, ours] = alone(&folder, &["acl-pubsub-default AllChannels", "aclfile users.acl"], users);
    let mut pair = Pair::new(&theirs, &ours);
    pair.compare_list("ACL LIST\nACL LOAD | ACL LIST\nAUTH ops x | SUBSCRIBE a | PSUBSCRIBE *");
    let wrong = "user default on nopass +@all\nuser a &x\nuser b (+ping &x)\n";
    for dir in ["theirs", "ours"] {
        std::fs::write(folder.path().join(dir).join("users.acl"), wrong).expect("the folder is ours");
    }
    pair.compare_list("ACL LOAD | ACL LIST");
    pair.finish(" with a file of users");
}

/// Says what changes a sentinel to two that are needed for nothing else. Gives the differences that were accepted.
fn throw_away() -> BTreeSet<&'static str> {
    let folder = Folder::new();
    let lines = ["sentinel down-after-milliseconds mymaster 60000", "sentinel deny-scripts-reconfig no"];
    let [theirs, ours] = alone(&folder, &lines, "");
    let mut pair = Pair::new(&theirs, &ours);
    pair.compare_list(include_str!("differential/throwaway.txt"));
    pair.finish("")
}

#[test]
fn a_sentinel_shuts_down_as_the_original() {
    for line in ["SHUTDOWN", "shutdown nosave", "SHUTDOWN SAVE NOW FORCE", "SHUTDOWN now"] {
        let folder = Folder::new();
        let [mut theirs, mut ours] = alone(&folder, &[], "");
        let mut pair = Pair::new(&theirs, &ours);
        pair.compare(Form::Resp2, &[words(line)]);
        pair.finish("");
        for sentinel in [&mut theirs, &mut ours] {
            consentinel_lab::eventually("the end of a sentinel", PATIENCE, || {
                sentinel.has_exited().then_some(())
            });
        }
    }
}

#[test]
fn several_connections_are_treated_as_by_the_original() {
    let folder = Folder::new();
    let [theirs, ours] = alone(&folder, &["sentinel down-after-milliseconds mymaster 60000"], "");
    let mut pair = Pair::new(&theirs, &ours);
    for story in story::stories(include_str!("differential/stories.txt")) {
        let [theirs, ours] = pair.ports.map(|port| story::lived(port, &story));
        if std::env::var_os("DIFFERENTIAL_SHOW").is_some() {
            story.iter().zip(&theirs).for_each(|(line, answer)| eprintln!("{line} => {answer:?}"));
        }
        for ((line, theirs), ours) in story.iter().zip(theirs).zip(ours) {
            if theirs != ours {
                pair.differences.push(format!("{line}  in  {story:?}\n  {theirs:?}\n  {ours:?}"));
                break;
            }
        }
    }
    pair.finish("");
}

#[test]
fn renamed_commands_and_a_limited_default_user_are_treated_as_by_the_original() {
    let folder = Folder::new();
    let lines = [
        "rename-command CLIENT geheim",
        "rename-command ROLE \"\"",
        "rename-command INFO tell",
        "user default on nopass ~* &x +@all -@dangerous +acl +sentinel|myid",
    ];
    let [theirs, ours] = alone(&folder, &lines, "");
    let mut pair = Pair::new(&theirs, &ours);
    pair.compare_list(
        "ACL LIST\nACL GETUSER default\nACL WHOAMI\nCLIENT ID\nGEHEIM foo\nclient\ngeheim\ngeheim help
         geheim GETNAME\ngeheim LIST\nINFO\ntell sentinel\nROLE\nCOMMAND COUNT\nACL CAT connection\nCOMMAND GETKEYS client x
         COMMAND GETKEYS geheim x\nACL DRYRUN default client id\nACL DRYRUN default geheim id\nSENTINEL MYID\nSENTINEL MASTERS
         SUBSCRIBE x\nSUBSCRIBE y\nACL SETUSER u +client\nACL SETUSER u +geheim\nACL LOG\nCOMMAND INFO client role tell
         COMMAND INFO geheim\nCOMMAND DOCS info tell\nACL LIST",
    );
    pair.finish("");
}

#[test]
fn a_file_of_users_is_read_and_written_as_by_the_original() {
    let folder = Folder::new();
    let users =
        "user ops on >geheim ~* &* +@all\nuser b off (+ping ~x)\nuser default on nopass ~* &* +@all\n";
    let [theirs, ours] = alone(&folder, &["aclfile users.acl"], users);
    let mut pair = Pair::new(&theirs, &ours);
    let files = ["theirs", "ours"].map(|name| folder.path().join(name).join("users.acl"));
    let say = |pair: &mut Pair, line: &str| pair.compare_list(line);
    say(&mut pair, "ACL LIST\nACL SETUSER c on >p +@all -@slow &a | ACL SAVE | ACL LIST");
    let written = files.clone().map(|file| std::fs::read_to_string(file).expect("it was written"));
    assert_eq!(written[0].lines().count(), 4, "{}", written[0]);
    assert_eq!(written[0], written[1]);
    for text in [
        "user ops on +@all\nuser default on nopass ~* &* +@all\n",
        "user default off\nnonsense\n",
        "user a +nothing >p +@none\nuser b x y\nuser default on\n",
        "user a (+ping\nuser default on\n",
        "user a\nuser a\n",
        "# a comment\n",
        "user a on\n",
        "\n   \nuser   a on\n",
        "",
    ] {
        files.iter().for_each(|file| std::fs::write(file, text).expect("the folder is ours"));
        say(&mut pair, "ACL LOAD | ACL LIST");
    }
    files.iter().for_each(|file| std::fs::remove_file(file).expect("it is there"));
    say(&mut pair, "ACL LOAD | ACL USERS");
    say(&mut pair, "ACL SETUSER k on nopass +@all | AUTH k x | ACL SAVE | ACL LOAD | PING");
    pair.finish("");
}

/// How many batches of command lines are made by chance: `DIFFERENTIAL_SEED=7 DIFFERENTIAL_ROUNDS=40000 just e2e chance`
/// for others and more.
fn rounds() -> u64 {
    std::env::var("DIFFERENTIAL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4000)
}

#[test]
fn command_lines_by_chance_are_answered_as_by_the_original() {
    let seed = std::env::var("DIFFERENTIAL_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(1);
    let mut chance = Chance::new(seed);
    let cluster = cluster();
    let mut pair = Pair::new(&cluster.sentinels[0], &cluster.sentinels[1]);
    for _ in 0..rounds() {
        let commands: Vec<_> = (0..1 + chance.below(4)).map(|_| command(&mut chance)).collect();
        let form = FORMS[chance.below(FORMS.len())];
        pair.compare(form, &commands);
        if pair.differences.len() > 40 {
            break;
        }
    }
    pair.finish(&format!("; again with DIFFERENTIAL_SEED={seed}"));
}

#[test]
fn a_slow_reader_of_events_gets_each_of_them_whole() {
    let folder = Folder::new();
    let [_, ours] = alone(&folder, &[], "");
    let mut reader = Client::connect(ours.port).expect("the sentinel listens");
    reader.send(&multibulk(&words("HELLO 3")));
    reader.send(&multibulk(&words("SUBSCRIBE +set")));
    (0..2).for_each(|_| drop(reader.read()));
    let mut actor = Client::connect(ours.port).expect("the sentinel listens");
    let command = multibulk(&words(&("SENTINEL SET mymaster".to_owned() + &" quorum 2".repeat(500))));
    let (rounds, mut asked) = (300, 0);
    for round in 0..rounds {
        actor.send(&command);
        assert_eq!(actor.read(), Reply::Simple(b"OK".to_vec()));
        // By now the system takes no more of them.
        if round > rounds - 30 {
            reader.send(&multibulk(&words("PING")));
            asked += 1;
        }
    }
    reader.send(&multibulk(&words("PING last")));
    let (mut events, mut answers) = (0, 0);
    loop {
        match reader.read() {
            Reply::Push(parts) if parts.len() == 3 => events += 1,
            Reply::Simple(text) if text == b"PONG" => answers += 1,
            Reply::Bulk(text) if text == b"last" => break,
            other => panic!("after {events} events and {answers} answers: {other:?}"),
        }
    }
    assert_eq!((events, answers), (rounds * 500, asked));
}

#[test]
fn the_accepted_differences_are_those_of_the_document() {
    let text = include_str!("../../docs/compatibility.md");
    let section = text.split("## Different answers").nth(1).expect("the section is there");
    let rows = section.split("\n## ").next().expect("something comes first").lines();
    let firsts = rows.filter(|line| line.starts_with("| ")).skip(2);
    let documented: Vec<_> =
        firsts.map(|line| line.split(" | ").next().unwrap_or_default().trim_matches(['|', ' '])).collect();
    let accepted: Vec<_> = ACCEPTED.iter().map(|accepted| accepted.what).collect();
    assert_eq!(documented, accepted);
}
