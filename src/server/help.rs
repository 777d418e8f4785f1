//! HELP, as subcommand of those commands that have subcommands.

use super::context::{Context, Outcome};
use crate::net::wire::Args;

const TEXTS: &[(&str, &str)] = &[
    ("acl|help", include_str!("help/acl.txt")),
    ("client|help", include_str!("help/client.txt")),
    ("command|help", include_str!("help/command.txt")),
    ("sentinel|help", include_str!("help/sentinel.txt")),
];

pub(super) fn help(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    // The configuration may have given it another name.
    let name = args[0].to_ascii_uppercase();
    let command = cx.client().last_command.map_or("", |command| command.full_name.as_str());
    let text = TEXTS.iter().find(|(known, _)| *known == command).map_or("", |(_, text)| *text);
    let lines: Vec<_> = text.lines().collect();
    cx.out.array(lines.len() + 3);
    cx.out.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    lines.into_iter().chain(["HELP", "    Prints this help."]).for_each(|line| cx.out.simple(line));
    Outcome::Answered
}
