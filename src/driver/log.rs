//! The log, line by line as Sentinel writes it: `PID:X 21 Nov 2026 11:47:15.182 # +sdown master ...`.

use super::clock;
use consentinel_core::Level;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

/// The level from which on lines are written; it can be changed while running.
#[derive(Clone)]
pub(super) struct LogLevel(Arc<AtomicU8>);

impl LogLevel {
    /// A level that nothing obeys yet.
    pub(super) fn new(level: Level) -> Self {
        LogLevel(Arc::new(AtomicU8::new(level as u8)))
    }

    /// Writes lines of this level and above from now on.
    pub(super) fn set(&self, level: Level) {
        self.0.store(level as u8, Ordering::Relaxed);
    }

    /// The level in force.
    pub(super) fn get(&self) -> Level {
        let level = self.0.load(Ordering::Relaxed);
        [Level::Debug, Level::Verbose, Level::Notice]
            .into_iter()
            .find(|known| *known as u8 == level)
            .unwrap_or(Level::Warning)
    }
}

/// Sends all log lines of this process to a file, or to standard output.
pub(super) fn start(file: Option<PathBuf>, level: Level) -> LogLevel {
    let level = LogLevel::new(level);
    let lines = Lines { file, level: level.clone() };
    if tracing::subscriber::set_global_default(lines).is_err() {
        // Only a second start in one process comes here; the first log goes on.
        tracing::debug!("the log was started before");
    }
    level
}

/// Writes a line for the core.
pub(super) fn line(level: Level, text: fmt::Arguments<'_>) {
    match level {
        Level::Debug => tracing::trace!("{text}"),
        Level::Verbose => tracing::debug!("{text}"),
        Level::Notice => tracing::info!("{text}"),
        Level::Warning => tracing::warn!("{text}"),
    }
}

struct Lines {
    file: Option<PathBuf>,
    level: LogLevel,
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && of(metadata.level()) as u8 >= self.level.0.load(Ordering::Relaxed)
    }

    fn register_callsite(&self, _: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        // The level may change, so every line asks.
        tracing::subscriber::Interest::sometimes()
    }

    fn event(&self, event: &Event<'_>) {
        let mark = match of(event.metadata().level()) {
            Level::Debug => '.',
            Level::Verbose => '-',
            Level::Notice => '*',
            Level::Warning => '#',
        };
        let mut line = format!("{}:X {} {mark} ", std::process::id(), clock::log_stamp());
        event.record(&mut Message(&mut line));
        line.push('\n');
        // Opened for every line, as the original does, so that the file can be moved away at any time.
        let result = match &self.file {
            None => io::stdout().lock().write_all(line.as_bytes()),
            Some(path) => std::fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .and_then(|mut file| file.write_all(line.as_bytes())),
        };
        // Whoever cannot log cannot log that either.
        let _ = result;
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn of(level: &tracing::Level) -> Level {
    match *level {
        tracing::Level::TRACE => Level::Debug,
        tracing::Level::DEBUG => Level::Verbose,
        tracing::Level::INFO => Level::Notice,
        _ => Level::Warning,
    }
}

/// Collects an event's text.
struct Message<'a>(&'a mut String);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        use fmt::Write;
        let result = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        result.expect("writing to a string cannot fail");
    }
}
