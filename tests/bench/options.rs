//! What to measure.

use crate::faults::Fault;
use consentinel_lab::Program;
use std::path::PathBuf;
use std::time::Duration;

const ROUNDS: usize = 10;
const USAGE: &str = "usage: just bench [--rounds N] [--only ours|original] \
    [--table failover|consul|without-consul|load|faults|mass]... [--masters N] [--down-after SECONDS] \
    [--fault leader|disks|orders|returning|planned|stuck]...";

/// One of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// A failover, beside the original.
    Failover,
    /// Until Consul's DNS knows, beside the classic recipe.
    Consul,
    /// What a Consul that does not answer costs.
    WithoutConsul,
    /// Requests and a thousand masters, beside the original. Only when it is asked for: it starts a thousand servers.
    Load,
    /// A hundred masters that die at once, beside the original. Only when it is asked for: it takes minutes.
    Mass,
    /// Two faults at once, beside the original. Only when it is asked for: it takes minutes for each round.
    Faults,
}

/// What the command line asks for.
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) programs: Vec<Program>,
    pub(crate) tables: Vec<Table>,
    /// How many masters the tables of load and mass have.
    pub(crate) masters: Option<usize>,
    /// When the table of mass takes a silent master for down.
    pub(crate) down_after: Option<Duration>,
    /// The groups of rows in the table of faults.
    pub(crate) faults: Vec<Fault>,
}

impl Options {
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            rounds: ROUNDS,
            programs: vec![Program::Original, ours()],
            tables: Vec::new(),
            masters: None,
            down_after: None,
            faults: Vec::new(),
        };
        while let Some(arg) = args.next() {
            match (arg.as_str(), args.next()) {
                // Cargo says this to every benchmark.
                ("--bench", None) => {}
                ("--rounds", Some(count)) => {
                    options.rounds = count.parse().map_err(|_| format!("'{count}' is no number; {USAGE}"))?;
                }
                ("--masters", Some(count)) => {
                    let count = count.parse().map_err(|_| format!("'{count}' is no number; {USAGE}"))?;
                    options.masters = Some(count);
                }
                ("--down-after", Some(seconds)) => {
                    let seconds =
                        seconds.parse().map_err(|_| format!("'{seconds}' is no number; {USAGE}"))?;
                    options.down_after = Some(Duration::from_secs(seconds));
                }
                ("--only", Some(name)) if name == "ours" => options.programs = vec![ours()],
                ("--only", Some(name)) if name == "original" => options.programs = vec![Program::Original],
                ("--table", Some(name)) => options.tables.push(table(&name)?),
                ("--fault", Some(name)) => {
                    let fault =
                        Fault::of(&name).ok_or_else(|| format!("there is no fault '{name}'; {USAGE}"))?;
                    options.faults.push(fault);
                }
                _ => return Err(format!("what is '{arg}'? {USAGE}")),
            }
        }
        if options.tables.is_empty() {
            options.tables = vec![Table::Failover, Table::Consul, Table::WithoutConsul];
        }
        if options.faults.is_empty() {
            options.faults = Fault::ALL.to_vec();
        }
        Ok(options)
    }
}

fn table(name: &str) -> Result<Table, String> {
    match name {
        "failover" => Ok(Table::Failover),
        "consul" => Ok(Table::Consul),
        "without-consul" => Ok(Table::WithoutConsul),
        "load" => Ok(Table::Load),
        "faults" => Ok(Table::Faults),
        "mass" => Ok(Table::Mass),
        _ => Err(format!("there is no table '{name}'; {USAGE}")),
    }
}

/// The daemon that was built for this benchmark, or the one that CONSENTINEL names.
pub(crate) fn ours() -> Program {
    let other = std::env::var_os("CONSENTINEL").map(PathBuf::from);
    Program::Ours(other.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_consentinel"))))
}
