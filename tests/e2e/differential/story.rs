//! Stories of several connections.

use super::normal::normal;
use super::wire::{Client, Reply, multibulk, words};
use std::collections::BTreeMap;

/// The stories of a text, each as its lines.
pub(super) fn stories(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.split("\n\n")
        .map(|story| story.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>())
        .filter(|story| !story.is_empty())
}

/// One connection of a story.
struct Who {
    client: Client,
    id: i64,
}

/// What is answered to each line.
pub(super) fn lived(port: u16, story: &[&str]) -> Vec<Reply> {
    let mut all: BTreeMap<&str, Who> = BTreeMap::new();
    let mut answers = Vec::new();
    for line in story {
        let (name, said) = line.split_once(' ').expect("a name comes first");
        all.entry(name).or_insert_with(|| connect(port));
        let mut said = said.to_owned();
        for (other, who) in &all {
            let (addr, laddr) = who.client.ends();
            said = said.replace(&format!("{{{other}}}"), &who.id.to_string());
            said = said.replace(&format!("{{{other}.addr}}"), &addr);
            said = said.replace(&format!("{{{other}.laddr}}"), &laddr);
        }
        let words = words(&said);
        let client = &mut all.get_mut(name).expect("it was just made").client;
        if said != "?" {
            client.send(&multibulk(&words));
        }
        let answer = normal(&words, vec![client.read()]);
        answers.extend(answer.into_iter().map(without_addresses));
    }
    answers
}

fn connect(port: u16) -> Who {
    let mut client = Client::connect(port).expect("the sentinel listens");
    client.send(&multibulk(&words("CLIENT ID")));
    let Reply::Int(id) = client.read() else { panic!("CLIENT ID is a number") };
    Who { client, id }
}

/// The number of another connection is not the same on both sides.
fn without_addresses(reply: Reply) -> Reply {
    match reply {
        Reply::Int(number) if number > 20 => Reply::Int(0),
        Reply::Bulk(text) => {
            let text = String::from_utf8_lossy(&text).into_owned();
            let field = |field: &str| {
                if field.starts_with("redir=") { "redir=*".to_owned() } else { field.to_owned() }
            };
            Reply::Bulk(text.split(' ').map(field).collect::<Vec<_>>().join(" ").into_bytes())
        }
        Reply::Array(items) => Reply::Array(items.into_iter().map(without_addresses).collect()),
        other => other,
    }
}
