//! The demo told line by line, where there is no screen.

use super::scene::Line;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Prints lines of the story.
pub(super) fn print(lines: &[Line]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{:>8.3} s  {}", line.at.as_secs_f64(), line.text)?;
    }
    out.flush()
}

/// Prints lines as they are.
pub(super) fn print_plain(lines: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

/// Tells how the beginning goes.
#[derive(Debug)]
pub(super) struct Progress {
    began: Instant,
}

impl Progress {
    /// From now on.
    pub(super) fn new(began: Instant) -> Self {
        Progress { began }
    }

    /// Says what is being done, and then how long it took.
    pub(super) async fn of<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        let from = Instant::now();
        // Who has closed the pipe already is found out when the story is told.
        let _ =
            print(&[Line { at: from.saturating_duration_since(self.began), text: format!("{what} ...") }]);
        let result = work.await?;
        let took: Duration = from.elapsed();
        let text = format!("{:width$}     ready after {:.1} s", "", took.as_secs_f64(), width = 0);
        let _ = print(&[Line { at: self.began.elapsed(), text }]);
        Ok(result)
    }
}
