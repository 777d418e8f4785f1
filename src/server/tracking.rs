//! CLIENT TRACKING and its companions. A sentinel has no keys, so nothing is ever invalidated; clients that switch it
//! on by habit get the answers that they expect.

use super::connection::SYNTAX;
use super::context::{Context, Outcome};
use super::sentinel::NO_NUMBER;
use crate::net::wire::{Arg, Args};
use consentinel_core::ClientId;
use std::collections::BTreeSet;

/// What a client wants to be told of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tracking {
    on: bool,
    redirect: i64,
    options: Options,
    /// CACHING was said for the next command.
    caching: bool,
    prefixes: BTreeSet<Vec<u8>>,
}

/// How.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Options {
    bcast: bool,
    optin: bool,
    optout: bool,
    noloop: bool,
}

impl Tracking {
    /// Whether it is on.
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// As CLIENT LIST shows it among the flags.
    pub(super) fn flags(&self) -> &'static str {
        match (self.on, self.options.bcast) {
            (false, _) => "",
            (true, false) => "t",
            (true, true) => "tB",
        }
    }

    /// Who is told instead of the client; -1 when nobody is told anything.
    pub(super) fn redirection(&self) -> i64 {
        if self.on { self.redirect } else { -1 }
    }

    /// CACHING holds for one command.
    pub(super) fn forget_caching(&mut self) {
        self.caching = false;
    }

    /// Goes over to new options; the error is what to answer.
    fn switch_on(&mut self, redirect: i64, options: Options, prefixes: &[&Arg<'_>]) -> Result<(), Vec<u8>> {
        let refuse = |text: &str| Err(text.as_bytes().to_vec());
        if !options.bcast && !prefixes.is_empty() {
            return refuse("ERR PREFIX option requires BCAST mode to be enabled");
        }
        if self.on && self.options.bcast != options.bcast {
            return refuse(
                "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.",
            );
        }
        if options.bcast && (options.optin || options.optout) {
            return refuse("ERR OPTIN and OPTOUT are not compatible with BCAST");
        }
        if options.optin && options.optout {
            return refuse("ERR You can't specify both OPTIN mode and OPTOUT mode");
        }
        if (options.optin && self.options.optout) || (options.optout && self.options.optin) {
            return refuse(
                "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.",
            );
        }
        if options.bcast {
            self.check_prefixes(prefixes)?;
            let none: &[u8] = b"";
            let added = prefixes.iter().map(|arg| arg.bytes()).chain(prefixes.is_empty().then_some(none));
            self.prefixes.extend(added.map(<[u8]>::to_vec));
        }
        (self.on, self.redirect, self.options) = (true, redirect, options);
        Ok(())
    }

    fn check_prefixes(&self, wanted: &[&Arg<'_>]) -> Result<(), Vec<u8>> {
        let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
        let refusal = |new: &[u8], what: &str, old: &[u8]| {
            let tail = b"'. Prefixes for a single client must not overlap.";
            [b"ERR Prefix '", new, b"' overlaps with ", what.as_bytes(), b" prefix '", old, tail].concat()
        };
        for (at, new) in wanted.iter().enumerate() {
            if let Some(old) = self.prefixes.iter().find(|old| overlap(old, new.bytes())) {
                return Err(refusal(new.bytes(), "an existing", old));
            }
            if let Some(other) = wanted[at + 1..].iter().find(|other| overlap(other.bytes(), new.bytes())) {
                return Err(refusal(new.bytes(), "another provided", other.bytes()));
            }
        }
        Ok(())
    }
}

pub(super) fn tracking(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let (mut redirect, mut options, mut prefixes) = (0, Options::default(), Vec::new());
    let mut rest = args[3..].iter();
    while let Some(option) = rest.next() {
        match (option.to_ascii_lowercase().as_str(), rest.len()) {
            ("redirect", 1..) => {
                if redirect != 0 {
                    return cx.fail("ERR A client can only redirect to a single other client");
                }
                let Some(id) = rest.next().and_then(Arg::number) else { return cx.fail(NO_NUMBER) };
                let known = u64::try_from(id).is_ok_and(|id| cx.server.clients.contains_key(&ClientId(id)));
                if !known {
                    return cx.fail("ERR The client ID you want redirect to does not exist");
                }
                redirect = id;
            }
            ("prefix", 1..) => prefixes.extend(rest.next()),
            ("bcast", _) => options.bcast = true,
            ("optin", _) => options.optin = true,
            ("optout", _) => options.optout = true,
            ("noloop", _) => options.noloop = true,
            _ => return cx.fail(SYNTAX),
        }
    }
    let tracking = &mut cx.client().tracking;
    match args[2].to_ascii_lowercase().as_str() {
        "on" => {
            if let Err(text) = tracking.switch_on(redirect, options, &prefixes) {
                return cx.fail(text);
            }
        }
        "off" => *tracking = Tracking::default(),
        _ => return cx.fail(SYNTAX),
    }
    cx.out.ok();
    Outcome::Answered
}

pub(super) fn caching(cx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let tracking = &mut cx.client().tracking;
    if !tracking.on {
        return cx.fail(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        );
    }
    match args[2].to_ascii_lowercase().as_str() {
        "yes" if !tracking.options.optin => {
            return cx.fail("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.");
        }
        "no" if !tracking.options.optout => {
            return cx.fail("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
        }
        "yes" | "no" => tracking.caching = true,
        _ => return cx.fail(SYNTAX),
    }
    cx.out.ok();
    Outcome::Answered
}

pub(super) fn get_redirection(cx: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    let to = cx.client().tracking.redirection();
    cx.out.integer(to);
    Outcome::Answered
}

pub(super) fn info(cx: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    let tracking = cx.client().tracking.clone();
    let Options { bcast, optin, optout, noloop } = tracking.options;
    let flags: Vec<_> = [
        (tracking.on, "on"),
        (!tracking.on, "off"),
        (bcast, "bcast"),
        (optin, "optin"),
        (optin && tracking.caching, "caching-yes"),
        (optout, "optout"),
        (optout && tracking.caching, "caching-no"),
        (noloop, "noloop"),
    ]
    .into_iter()
    .filter_map(|(set, flag)| set.then_some(flag))
    .collect();
    cx.out.map(3);
    cx.out.bulk("flags");
    cx.out.set(flags.len());
    flags.into_iter().for_each(|flag| cx.out.bulk(flag));
    cx.out.bulk("redirect");
    cx.out.integer(tracking.redirection());
    cx.out.bulk("prefixes");
    cx.out.array(tracking.prefixes.len());
    tracking.prefixes.iter().for_each(|prefix| cx.out.bulk(prefix));
    Outcome::Answered
}
