//! What to measure.

use consentinel_lab::Program;
use std::path::PathBuf;

const ROUNDS: usize = 10;
const USAGE: &str = "usage: just bench [--rounds N] [--only ours|original]";

/// What the command line asks for.
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) programs: Vec<Program>,
}

impl Options {
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
        let ours = Program::Ours(PathBuf::from(env!("CARGO_BIN_EXE_consentinel")));
        let mut options = Options { rounds: ROUNDS, programs: vec![Program::Original, ours.clone()] };
        while let Some(arg) = args.next() {
            match (arg.as_str(), args.next()) {
                // Cargo says this to every benchmark.
                ("--bench", None) => {}
                ("--rounds", Some(count)) => {
                    options.rounds = count.parse().map_err(|_| format!("'{count}' is no number; {USAGE}"))?;
                }
                ("--only", Some(name)) if name == "ours" => options.programs = vec![ours.clone()],
                ("--only", Some(name)) if name == "original" => options.programs = vec![Program::Original],
                _ => return Err(format!("what is '{arg}'? {USAGE}")),
            }
        }
        Ok(options)
    }
}
