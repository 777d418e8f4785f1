//! What `--exec` runs.

use super::Failure;
use super::format::{Found, Template};
use crate::config::split as split_words;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

/// A program and its words, each with the answer put in. No shell takes part, so an answer is never taken for anything
/// else than a word.
#[derive(Clone, Debug)]
pub(super) struct Command {
    words: Vec<Template>,
}

impl Command {
    pub(super) fn parse(text: &str) -> Result<Command, String> {
        let words = split_words(text.as_bytes()).map_err(|error| error.to_string())?;
        match words.is_empty() {
            true => Err("a command is expected".to_owned()),
            false => Ok(Command {
                words: words.iter().map(|word| Template::parse(word)).collect::<Result<_, _>>()?,
            }),
        }
    }

    /// Takes the place of this process: signals, terminal and exit status are the command's. Comes back only when it
    /// cannot be run.
    pub(super) fn become_it(&self, found: &Found) -> Failure {
        let error = self.command(found).exec();
        self.cannot(found, &error)
    }

    /// Runs it to its end.
    pub(super) async fn run(&self, found: &Found) -> Result<(), Failure> {
        let mut child = tokio::process::Command::from(self.command(found))
            .spawn()
            .map_err(|error| self.cannot(found, &error))?;
        match child.wait().await {
            Ok(status) if status.success() => {}
            Ok(status) => eprintln!("consentinel: {}: {status}", self.words[0].fill(found)),
            Err(error) => eprintln!("consentinel: {} is lost: {error}", self.words[0].fill(found)),
        }
        Ok(())
    }

    fn command(&self, found: &Found) -> std::process::Command {
        let mut words = self.words.iter().map(|word| word.fill(found));
        let mut command = std::process::Command::new(words.next().unwrap_or_default());
        command.args(words).envs(found.variables());
        command
    }

    /// As shells say it.
    fn cannot(&self, found: &Found, error: &io::Error) -> Failure {
        let code: u8 = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
        Failure {
            text: format!("{} cannot be run: {error}", self.words[0].fill(found)),
            code: ExitCode::from(code),
        }
    }
}
