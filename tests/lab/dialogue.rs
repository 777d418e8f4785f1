//! A program that is talked to over its input and output.

use crate::wait::eventually;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A program, and what it has said. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Dialogue {
    child: Child,
    input: ChildStdin,
    heard: Arc<Mutex<String>>,
    /// How much of it has been dealt with.
    read: usize,
    listener: Option<JoinHandle<()>>,
}

impl Dialogue {
    /// Starts it.
    pub fn start<S: AsRef<OsStr>>(program: &Path, args: &[S]) -> Dialogue {
        let mut command = Command::new(program);
        let command = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("cannot start {}: {error}; did `just deps` run?", program.display())
        });
        let input = child.stdin.take().expect("its input is piped");
        let mut output = child.stdout.take().expect("its output is piped");
        let heard = Arc::new(Mutex::new(String::new()));
        let listener = std::thread::spawn({
            let heard = heard.clone();
            move || {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = output.read(&mut buffer) {
                    let text = String::from_utf8_lossy(&buffer[..length]);
                    heard.lock().expect("nobody panics while holding it").push_str(&text);
                }
            }
        });
        Dialogue { child, input, heard, read: 0, listener: Some(listener) }
    }

    /// Gives it a line.
    pub fn say(&mut self, line: &str) {
        let said = writeln!(self.input, "{line}").and_then(|()| self.input.flush());
        said.unwrap_or_else(|error| panic!("it takes no more input: {error}; it said {}", self.heard()));
    }

    /// Waits until it has said that text, and returns all that it said up to there since the last time.
    pub fn hear(&mut self, text: &str, within: Duration) -> String {
        let what = format!("the program says {text:?}; it said {}", self.heard());
        let (heard, read) = (&self.heard, self.read);
        let end = eventually(&what, within, || {
            let heard = heard.lock().expect("the listener does not panic");
            heard[read..].find(text).map(|at| read + at + text.len())
        });
        self.read = end;
        self.heard()[read..end].to_owned()
    }

    /// Gives it a line, and returns the next line that it says.
    pub fn ask(&mut self, line: &str, within: Duration) -> String {
        self.say(line);
        self.hear("\n", within).trim().to_owned()
    }

    /// All that it has said.
    pub fn heard(&self) -> String {
        self.heard.lock().expect("the listener does not panic").clone()
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}
