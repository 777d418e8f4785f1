//! HELP, as subcommand of those commands that have subcommands.

use super::server::{Context, Outcome};
use crate::driver::wire::Words;

const TEXTS: &[(&str, &str)] = &[
    ("ACL", include_str!("help/acl.txt")),
    ("CLIENT", include_str!("help/client.txt")),
    ("COMMAND", include_str!("help/command.txt")),
    ("SENTINEL", include_str!("help/sentinel.txt")),
];

pub(super) fn help(cx: &mut Context<'_>, words: &Words<'_>) -> Outcome {
    let name = words[0].to_ascii_uppercase();
    let text = TEXTS.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| *text);
    let lines: Vec<_> = text.lines().collect();
    cx.out.array(lines.len() + 3);
    cx.out.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    lines.into_iter().chain(["HELP", "    Prints this help."]).for_each(|line| cx.out.simple(line));
    Outcome::Answered
}
