//! The log: what was said goes to a thread of its own that writes it, so that nobody ever waits for a disk or a pipe.

mod failovers;
mod form;
mod output;
mod spans;
mod syslog;
#[cfg(test)]
mod tests;
mod writer;

pub(super) use failovers::Failovers;

use crate::config::{LogFormat, Settings};
use consentinel_core::{Detail, Event, GroupName, Level};
use form::{Collected, Form};
use output::Output;
use spans::Spans;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use syslog::Syslog;
use tracing::{Metadata, Subscriber, span};
use writer::Writer;

/// The level from which on lines are written; it can be changed while running.
#[derive(Clone)]
pub(crate) struct LogLevel(Arc<AtomicU8>);

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

/// The log of this process: there is one.
static WRITER: OnceLock<Writer> = OnceLock::new();

/// How long a process that ends waits for the last lines to be taken.
const PATIENCE: Duration = Duration::from_millis(500);

/// Sends all log lines of this process where the settings say.
pub(crate) fn start(settings: &Settings) -> io::Result<LogLevel> {
    let level = LogLevel::new(settings.loglevel);
    let syslog = settings.syslog.enabled.then(|| Syslog::open(&settings.syslog, syslog::SOCKET));
    let output = match &settings.logfile {
        Some(path) => Output::file(path.clone()),
        None => Output::stdout()?,
    };
    let writer = Writer::start(output, syslog)?;
    if WRITER.set(writer.clone()).is_err() {
        // Only a second start in one process comes here; the first log goes on.
        return Ok(level);
    }
    let form = match settings.log_format {
        LogFormat::Lines => Form::Lines,
        LogFormat::Json => Form::Json,
        LogFormat::Logfmt => Form::Logfmt,
    };
    let lines = Lines { form, writer, level: level.clone(), spans: Spans::default() };
    if tracing::subscriber::set_global_default(lines).is_ok() {
        log_panics();
    }
    Ok(level)
}

/// A panic is a defect of ours: whoever reads the log must see it, also when it takes the process with it.
fn log_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::warn!("a defect: {panic}; please report it");
        flush();
        usual(panic);
    }));
}

/// Waits, not for long, until all that was said is written.
pub(crate) fn flush() {
    if let Some(writer) = WRITER.get() {
        writer.flush(PATIENCE);
    }
}

/// Opens the log file anew, as whoever has moved it away asks for.
pub(crate) fn reopen() {
    if let Some(writer) = WRITER.get() {
        writer.reopen();
    }
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

/// Writes an event: a line of its words, or an object with its parts.
fn event(level: Level, event: Event, detail: &Detail, group: Option<&GroupName>) {
    macro_rules! say {
        ($level:expr) => {{
            let master = group.map(GroupName::as_str);
            let at = detail.address();
            let (ip, port) = (at.map(|at| at.host.to_string()), at.map(|at| u64::from(at.port)));
            let ip = ip.as_deref();
            tracing::event!(target: form::EVENT, $level, event = event.as_str(), master, ip, port, "{event} {detail}")
        }};
    }
    match level {
        Level::Debug => say!(tracing::Level::TRACE),
        Level::Verbose => say!(tracing::Level::DEBUG),
        Level::Notice => say!(tracing::Level::INFO),
        Level::Warning => say!(tracing::Level::WARN),
    }
}

struct Lines {
    form: Form,
    writer: Writer,
    level: LogLevel,
    spans: Spans,
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries have a lot to say about connections, and nobody has asked for it.
        let is_ours = metadata.target() == form::EVENT || metadata.target().starts_with("consentinel");
        (is_ours || *metadata.level() <= tracing::Level::INFO)
            && of(metadata.level()) as u8 >= self.level.0.load(Ordering::Relaxed)
    }

    fn register_callsite(&self, _: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        // The level may change, so every line asks.
        tracing::subscriber::Interest::sometimes()
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let level = of(event.metadata().level());
        let mut collected = Collected::new(event.metadata().target());
        event.record(&mut collected);
        let spans = self.spans.current();
        self.writer.write(self.form.line(level, &collected, &spans), collected.message, level);
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        self.spans.open(attributes)
    }

    fn record(&self, id: &span::Id, values: &span::Record<'_>) {
        self.spans.record(id, values);
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, id: &span::Id) {
        self.spans.enter(id);
    }

    fn exit(&self, id: &span::Id) {
        self.spans.exit(id);
    }

    fn clone_span(&self, id: &span::Id) -> span::Id {
        self.spans.keep(id);
        id.clone()
    }

    fn try_close(&self, id: span::Id) -> bool {
        self.spans.close(&id)
    }
}

fn of(level: &tracing::Level) -> Level {
    match *level {
        tracing::Level::TRACE => Level::Debug,
        tracing::Level::DEBUG => Level::Verbose,
        tracing::Level::INFO => Level::Notice,
        _ => Level::Warning,
    }
}
