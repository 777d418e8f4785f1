//! `consentinel adopt`: takes the place of a sentinel that is there, and gives it back.
//!
//! The old configuration is only read. What was where the new files go, and which services ran, is written down before
//! anything is touched, so that `--undo` can restore it.

mod old;
mod owner;
mod record;
mod split;
mod system;

use crate::cli::confirm::confirmed;
use clap::{Command, CommandFactory, Parser};
use old::Old;
use owner::Owner;
use record::{Kept, Record};
use split::Parts;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use system::Unit;

/// Where the package's daemon has its configuration: only that one is started by this command.
const OURS: &str = "/etc/consentinel/sentinel.conf";

/// The package's service.
const SERVICE: &str = "consentinel.service";

/// Takes the place of a redis-sentinel or valkey-sentinel on this machine: its configuration, its identity, its votes.
///
/// Says what it would do, asks, and does it. The old file is left as it is; --undo restores what was before.
#[derive(Debug, Parser)]
#[command(name = "consentinel adopt", verbatim_doc_comment)]
struct Arguments {
    /// The configuration file of the sentinel whose place is taken: /etc/redis/sentinel.conf.
    #[arg(required_unless_present_any = ["undo", "probe"])]
    file: Option<PathBuf>,
    /// Restore what was before.
    #[arg(long, conflicts_with = "file")]
    undo: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// The daemon's configuration. It is started here only if this is the package's.
    #[arg(long, value_name = "FILE", default_value = OURS)]
    into: PathBuf,
    /// Where the daemon keeps its state.
    #[arg(long, value_name = "FILE", default_value = "/var/lib/consentinel/state.conf")]
    state: PathBuf,
    /// The user that the daemon runs as.
    #[arg(long, value_name = "NAME", default_value = "consentinel")]
    user: String,
    /// Say which of these files cannot be read: run as the daemon's user.
    #[arg(long, hide = true, num_args = 1.., exclusive = true)]
    probe: Vec<PathBuf>,
}

/// Why it cannot be done; said to the user as it is.
type Failure = String;

/// The command as clap sees it.
pub(super) fn command() -> Command {
    Arguments::command()
}

/// Runs `consentinel adopt` with the words that follow it.
pub(super) fn run(words: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments = Arguments::parse_from([OsString::from("consentinel adopt")].into_iter().chain(words));
    if !arguments.probe.is_empty() {
        return owner::probe(&arguments.probe);
    }
    let result = match &arguments.file {
        Some(file) => adopt(file, &arguments),
        None => undo(&arguments),
    };
    result.unwrap_or_else(|text| super::fail(&format!("{}\n", text.trim_end())))
}

/// All that is known before anything is done.
struct Plan<'a> {
    arguments: &'a Arguments,
    old: Old,
    owner: Owner,
    parts: Parts,
    /// The services that run the old sentinel, or would at the next boot.
    units: Vec<Unit>,
    /// Ours, where it is to be started.
    service: Option<Unit>,
    record: PathBuf,
}

fn adopt(file: &Path, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let plan = Plan::make(file, arguments)?;
    plan.tell();
    plan.check()?;
    if !arguments.yes && !confirmed()? {
        println!("Nothing was done.");
        return Ok(ExitCode::FAILURE);
    }
    plan.carry_out()
}

impl<'a> Plan<'a> {
    fn make(file: &Path, arguments: &'a Arguments) -> Result<Plan<'a>, Failure> {
        let old = Old::look(file)?;
        let owner = Owner::find(&arguments.user)?;
        let parts = split::split(&old.text, &arguments.state)?;
        let units = system::units_of(&old.file, old.pid())?;
        let service = match arguments.into == Path::new(OURS) {
            true => system::unit(SERVICE)?,
            false => None,
        };
        let record = arguments.state.with_file_name("adopted.json");
        Ok(Plan { arguments, old, owner, parts, units, service, record })
    }

    fn tell(&self) {
        let Plan { arguments, old, owner, parts, .. } = self;
        println!("{}", old.file.display());
        println!("  is in order: {}; it stays as it is", old.summary());
        for unit in &self.units {
            println!("{}", unit.name);
            println!("  {}: systemctl disable --now {}", unit.condition(), unit.name);
        }
        if let (true, Some(holder)) = (self.units.is_empty(), &old.holder) {
            println!("port {}", old.port);
            println!("  {}", holder.advice());
        }
        let there = |path: &Path| match path.exists() {
            true => "is replaced; what is there now is kept for --undo",
            false => "is made",
        };
        println!("{}", arguments.into.display());
        println!("  {}: root:{}, mode 0640", there(&arguments.into), owner.name);
        parts.dropped.iter().for_each(|line| println!("  without: {line}"));
        parts.added.iter().for_each(|line| println!("  with:    {line}"));
        if let Some(state) = &parts.state {
            println!("{}", arguments.state.display());
            println!(
                "  {}: {}, mode 0600, {} lines that the sentinel has learned",
                there(&arguments.state),
                owner.name,
                state.lines().count()
            );
        } else if arguments.state.exists() {
            println!("{}", arguments.state.display());
            println!("  is taken away: it is of another sentinel; it is kept for --undo");
        }
        match &self.service {
            Some(unit) => println!("{}\n  is started, and at each boot", unit.name),
            None => {
                println!("to be started then\n  consentinel {}, as {}", arguments.into.display(), owner.name)
            }
        }
    }

    /// What would go wrong later.
    fn check(&self) -> Result<(), Failure> {
        if self.record.exists() {
            return Err(format!(
                "something was adopted before ({}): undo that first (consentinel adopt --undo)",
                self.record.display()
            ));
        }
        let pid = self.old.pid();
        let ours = self.service.as_ref().is_some_and(|unit| pid.is_some() && unit.main_pid == pid);
        if let (Some(holder), true, false) =
            (&self.old.holder, self.units.iter().all(|unit| !unit.active), ours)
        {
            let pid = holder.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            return Err(format!(
                "port {} is held{pid}, and not by a service of systemd that could be stopped here: stop that program, then \
                 say this again. What it writes into its file until then would be lost",
                self.old.port
            ));
        }
        let unreadable = self.owner.cannot_read(&self.parts.files)?;
        if !unreadable.is_empty() {
            return Err(format!(
                "the user {} cannot read what the configuration names: {}. Let it (setfacl -m u:{0}:r FILE, and :x for the \
                 folders), then say this again",
                self.owner.name,
                unreadable.join(", ")
            ));
        }
        Ok(())
    }

    fn carry_out(&self) -> Result<ExitCode, Failure> {
        let files = [&self.arguments.into, &self.arguments.state];
        let record = Record {
            file: self.old.file.clone(),
            kept: files.into_iter().map(|path| Kept::look(path)).collect::<Result<_, _>>()?,
            units: self.units.clone(),
            service: self.service.clone(),
        };
        record.write(&self.record)?;
        let done = self.apply();
        if let Err(text) = done {
            let undone = record.restore(&self.record);
            return Err(match undone {
                Ok(()) => format!("{}\neverything is as it was before", text.trim_end()),
                Err(error) => format!("{}\nand it could not be undone: {error}", text.trim_end()),
            });
        }
        println!("Done. consentinel adopt --undo restores what was before.");
        Ok(ExitCode::SUCCESS)
    }

    fn apply(&self) -> Result<(), Failure> {
        for unit in &self.units {
            system::systemctl(&["disable", "--now", &unit.name])?;
        }
        // What it wrote at its end belongs to it, too.
        let last = Old::look(&self.old.file)?;
        if self.service.as_ref().is_none_or(|unit| !unit.active) && last.holder.is_some() {
            return Err(format!("port {} is still held", last.port));
        }
        let parts = split::split(&last.text, &self.arguments.state)?;
        if self.service.as_ref().is_some_and(|unit| unit.active) {
            system::systemctl(&["stop", SERVICE])?;
        }
        self.owner.put(&self.arguments.into, &parts.configuration, owner::Whose::Roots)?;
        match &parts.state {
            Some(state) => self.owner.put(&self.arguments.state, state, owner::Whose::Daemons)?,
            None => record::remove(&self.arguments.state)?,
        }
        match &self.service {
            Some(unit) => {
                system::systemctl(&["enable", &unit.name])?;
                let started = system::systemctl(&["restart", &unit.name]).map(drop);
                started.map_err(|text| format!("{text}: journalctl -u {} tells why", unit.name))
            }
            None => Ok(()),
        }
    }
}

fn undo(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let path = arguments.state.with_file_name("adopted.json");
    let record = Record::read(&path)?;
    for line in record.steps() {
        println!("{line}");
    }
    println!(
        "{} is as it was when it was adopted, with the votes of that time: the others tell it what has happened since",
        record.file.display()
    );
    if !arguments.yes && !confirmed()? {
        println!("Nothing was done.");
        return Ok(ExitCode::FAILURE);
    }
    record.restore(&path)?;
    println!("Done: everything is as it was before {} was adopted.", record.file.display());
    Ok(ExitCode::SUCCESS)
}
