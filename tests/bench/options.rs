//! What to measure.

use consentinel_lab::Program;
use std::path::PathBuf;

const ROUNDS: usize = 10;
const MASTERS: usize = 1000;
const USAGE: &str = "usage: just bench [--rounds N] [--only ours|original] \
    [--table failover|consul|without-consul|load]... [--masters N]";

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
}

/// What the command line asks for.
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) programs: Vec<Program>,
    pub(crate) tables: Vec<Table>,
    /// How many masters the table of load has.
    pub(crate) masters: usize,
}

impl Options {
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            rounds: ROUNDS,
            programs: vec![Program::Original, ours()],
            tables: Vec::new(),
            masters: MASTERS,
        };
        while let Some(arg) = args.next() {
            match (arg.as_str(), args.next()) {
                // Cargo says this to every benchmark.
                ("--bench", None) => {}
                ("--rounds", Some(count)) => {
                    options.rounds = count.parse().map_err(|_| format!("'{count}' is no number; {USAGE}"))?;
                }
                ("--masters", Some(count)) => {
                    options.masters =
                        count.parse().map_err(|_| format!("'{count}' is no number; {USAGE}"))?;
                }
                ("--only", Some(name)) if name == "ours" => options.programs = vec![ours()],
                ("--only", Some(name)) if name == "original" => options.programs = vec![Program::Original],
                ("--table", Some(name)) => options.tables.push(table(&name)?),
                _ => return Err(format!("what is '{arg}'? {USAGE}")),
            }
        }
        if options.tables.is_empty() {
            options.tables = vec![Table::Failover, Table::Consul, Table::WithoutConsul];
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
        _ => Err(format!("there is no table '{name}'; {USAGE}")),
    }
}

/// The daemon that was built for this benchmark.
pub(crate) fn ours() -> Program {
    Program::Ours(PathBuf::from(env!("CARGO_BIN_EXE_consentinel")))
}
