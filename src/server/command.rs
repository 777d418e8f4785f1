//! COMMAND: what there is to command, as the catalogue has it.

use super::connection::SYNTAX;
use super::context::{Context, Outcome};
use crate::catalogue::{Argument, Categories, Command, catalogue};
use crate::net::wire::{Args, Writer};
use consentinel_core::glob_matches;

pub(super) fn all(cx: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    let all: Vec<_> = catalogue().top().filter(|command| cx.server.has(command)).collect();
    cx.out.array(all.len());
    all.into_iter().for_each(|command| describe(command, &mut cx.out));
    Outcome::Answered
}

pub(super) fn count(cx: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    let count = catalogue().top().filter(|command| cx.server.has(command)).count();
    cx.out.integer(count as i64);
    Outcome::Answered
}

pub(super) fn info(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    if args.len() == 2 {
        return all(cx, args);
    }
    cx.out.array(args.len() - 2);
    for name in &args[2..] {
        match cx.server.command_in_full(name) {
            Some(command) => describe(command, &mut cx.out),
            None => cx.out.null(),
        }
    }
    Outcome::Answered
}

fn describe(command: &Command, out: &mut Writer<'_>) {
    let entry = &command.entry;
    out.array(10);
    out.bulk(&command.full_name);
    out.integer(entry.arity.into());
    out.set(entry.flags.len());
    entry.flags.iter().for_each(|flag| out.simple(flag));
    // The first key, the last one, and the steps between: a sentinel has no keys.
    (0..3).for_each(|_| out.integer(0));
    out.set(entry.category_names.len());
    entry.category_names.iter().for_each(|name| out.simple(&format!("@{name}")));
    out.set(entry.tips.len());
    entry.tips.iter().for_each(|tip| out.bulk(tip));
    out.set(0);
    match command.subcommands.len() {
        // Like the original, none is an empty set and some are an array.
        0 => out.set(0),
        some => out.array(some),
    }
    command.subcommands.iter().for_each(|sub| describe(catalogue().get(*sub), out));
}

pub(super) fn docs(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let wanted: Vec<&Command> = match &args[2..] {
        [] => catalogue().top().filter(|command| cx.server.has(command)).collect(),
        names => names.iter().filter_map(|name| cx.server.command_in_full(name)).collect(),
    };
    cx.out.map(wanted.len());
    for command in wanted {
        document(command, &mut cx.out);
    }
    Outcome::Answered
}

/// The command's name, and what is known of it.
fn document(command: &Command, out: &mut Writer<'_>) {
    let entry = &command.entry;
    out.bulk(&command.full_name);
    let texts = [
        ("summary", entry.summary.as_ref()),
        ("since", entry.since.as_ref()),
        ("group", Some(&entry.group)),
        ("complexity", entry.complexity.as_ref()),
    ];
    let deprecation =
        [("deprecated_since", entry.deprecated_since.as_ref()), ("replaced_by", entry.replaced_by.as_ref())];
    let fields = texts.iter().chain(&deprecation).filter(|(_, value)| value.is_some()).count();
    let lists = [
        entry.doc_flags.is_some(),
        entry.history.is_some(),
        entry.arguments.is_some(),
        !command.subcommands.is_empty(),
    ];
    out.map(fields + lists.iter().filter(|there| **there).count());
    texts.iter().for_each(|field| put(*field, out));
    if let Some(flags) = &entry.doc_flags {
        out.bulk("doc_flags");
        put_flags(flags, out);
    }
    deprecation.iter().for_each(|field| put(*field, out));
    if let Some(history) = &entry.history {
        out.bulk("history");
        out.set(history.len());
        for (since, change) in history {
            out.array(2);
            out.bulk(since);
            out.bulk(change);
        }
    }
    if let Some(list) = &entry.arguments {
        out.bulk("arguments");
        arguments(list, out);
    }
    if !command.subcommands.is_empty() {
        out.bulk("subcommands");
        out.map(command.subcommands.len());
        command.subcommands.iter().for_each(|sub| document(catalogue().get(*sub), out));
    }
}

fn put((field, value): (&str, Option<&String>), out: &mut Writer<'_>) {
    if let Some(value) = value {
        out.bulk(field);
        out.bulk(value);
    }
}

fn put_flags(flags: &[String], out: &mut Writer<'_>) {
    out.set(flags.len());
    flags.iter().for_each(|flag| out.simple(flag));
}

fn arguments(list: &[Argument], out: &mut Writer<'_>) {
    out.array(list.len());
    for argument in list {
        let texts = [
            ("name", Some(&argument.name)),
            ("type", Some(&argument.kind)),
            ("token", argument.token.as_ref()),
            ("summary", argument.summary.as_ref()),
            ("since", argument.since.as_ref()),
            ("deprecated_since", argument.deprecated_since.as_ref()),
        ];
        let fields = texts.iter().filter(|(_, value)| value.is_some()).count();
        out.map(fields + usize::from(argument.flags.is_some()) + usize::from(argument.arguments.is_some()));
        texts.into_iter().for_each(|field| put(field, out));
        if let Some(flags) = &argument.flags {
            out.bulk("flags");
            put_flags(flags, out);
        }
        if let Some(inner) = &argument.arguments {
            out.bulk("arguments");
            arguments(inner, out);
        }
    }
}

pub(super) fn list(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let everything = catalogue().all().iter().filter(|command| cx.server.has(command));
    let names: Vec<&str> = match &args[2..] {
        [] => everything.map(|command| command.full_name.as_str()).collect(),
        [by, kind, wanted] if by.eq_ignore_ascii_case("filterby") => {
            let lower = wanted.to_ascii_lowercase();
            let category = Categories::named(wanted);
            let fits: &dyn Fn(&Command) -> bool = match kind.to_ascii_lowercase().as_str() {
                // There are no modules.
                "module" => &|_| false,
                "aclcat" => &|command| category.is_some_and(|category| command.categories.meets(category)),
                "pattern" => &|command| glob_matches(&lower, &command.full_name),
                _ => return cx.fail(SYNTAX),
            };
            everything.filter(|command| fits(command)).map(|command| command.full_name.as_str()).collect()
        }
        _ => return cx.fail(SYNTAX),
    };
    cx.out.array(names.len());
    names.into_iter().for_each(|name| cx.out.bulk(name));
    Outcome::Answered
}

/// No command of a sentinel has keys.
pub(super) fn get_keys(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let first = cx.server.command(&args[2]);
    match first.and_then(|command| catalogue().narrowed(command, args.get(3).map(|arg| &**arg))) {
        Some(_) => cx.fail("ERR The command has no key arguments"),
        None => cx.fail("ERR Invalid command specified"),
    }
}
