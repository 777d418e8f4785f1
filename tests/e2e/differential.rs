//! The original and ours side by side: the same commands, right and wrong, and the same answers.

use crate::ours;
use consentinel_lab::{Cluster, Program, Setup};
use std::collections::BTreeSet;
use std::time::Duration;

mod accepted;
mod generator;
mod normal;
mod wire;

use accepted::ACCEPTED;
use generator::{Chance, command};
use normal::normal;
use wire::{Client, Reply, Words, inline, multibulk, shown, words};

/// The two that are compared, in one cluster with a third.
struct Pair {
    cluster: Cluster,
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

/// How long to wait for more when there may be nothing more.
const SILENCE: Duration = Duration::from_millis(250);

/// What ends what is read: no command answers so by itself.
const MARK: &str = "that-is-all";

/// Stands first among commands that concern the one that follows, so that no marks may come between.
const UNDISTURBED: &[u8] = b"<undisturbed>";

impl Pair {
    fn start(lines: &[&str]) -> Pair {
        let mut setup = Setup::new(vec![Program::Original, ours(), Program::Original]);
        // Nobody is down because the machine is busy.
        setup.down_after = Duration::from_secs(60);
        let extra = lines.iter().fold(consentinel_lab::Extra::default(), |extra, line| extra.line(line));
        let cluster = Cluster::start(&setup.with(&extra));
        Pair { cluster, differences: Vec::new(), explained: BTreeSet::new() }
    }

    fn ports(&self) -> [u16; 2] {
        [self.cluster.sentinels[0].port, self.cluster.sentinels[1].port]
    }

    /// Sends the same commands over a connection of their own, all at once, and compares what comes back.
    fn compare(&mut self, form: Form, commands: &[Words]) {
        if std::env::var_os("DIFFERENTIAL_SHOW").is_some() {
            eprintln!("{form:?} {}", all_shown(commands));
        }
        let undisturbed = commands.iter().flatten().any(|word| word == UNDISTURBED);
        let commands: Vec<_> = commands.iter().filter(|command| command[0] != UNDISTURBED).cloned().collect();
        let commands = &commands[..];
        let [theirs, ours] = self.ports().map(|port| converse(port, form, commands, undisturbed));
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
        if !undisturbed || at + 1 == commands.len() {
            bytes.extend(mark(at));
        }
    }
    client.send(&bytes);
    if undisturbed {
        client.patience(SILENCE);
    }
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
    let long = |word: Vec<u8>| if word == b"<long>" { vec![b'y'; 5000] } else { word };
    let command = move |line: &str| words(line).into_iter().map(long).collect();
    lines.map(move |line| line.split(" | ").map(command).collect())
}

#[test]
fn every_listed_command_is_answered_as_by_the_original() {
    let mut pair = Pair::start(&[]);
    for commands in listed(include_str!("differential/commands.txt")) {
        FORMS.into_iter().for_each(|form| pair.compare(form, &commands));
    }
    let explained = pair.finish("");
    let unused: Vec<_> =
        ACCEPTED.iter().map(|accepted| accepted.what).filter(|what| !explained.contains(what)).collect();
    assert!(unused.is_empty(), "accepted, but not there: {unused:?}");
}

/// How many batches of command lines are made by chance: `DIFFERENTIAL_ROUNDS=20000 just e2e chance` for more.
fn rounds() -> u64 {
    std::env::var("DIFFERENTIAL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1500)
}

#[test]
fn command_lines_by_chance_are_answered_as_by_the_original() {
    let seed = std::env::var("DIFFERENTIAL_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    let mut chance = Chance::new(seed);
    let mut pair = Pair::start(&[]);
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
