//! The text that Prometheus reads: families of samples.

use crate::histogram::Counts;
use bytes::Bytes;
use std::fmt::Write;

/// Metrics as text.
#[derive(Default)]
pub(crate) struct Text(String);

/// One metric, to which samples are added.
pub(crate) struct Family<'a> {
    out: &'a mut String,
    name: &'static str,
}

/// Labels of a sample.
pub(crate) type Labels<'a> = &'a [(&'static str, &'a str)];

impl Text {
    /// A number that goes up and down.
    pub(crate) fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "gauge", help)
    }

    /// A number that goes up.
    pub(crate) fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "counter", help)
    }

    /// Durations in seconds.
    pub(crate) fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "histogram", help)
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { out: &mut self.0, name }
    }

    /// All of it.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.0.into()
    }
}

impl Family<'_> {
    /// A sample.
    pub(crate) fn put(&mut self, labels: Labels<'_>, value: impl Into<Value>) -> &mut Self {
        self.line("", labels, None, value.into());
        self
    }

    /// All samples of a histogram.
    pub(crate) fn put_counts(&mut self, labels: Labels<'_>, counts: &Counts) {
        for (bound, count) in &counts.buckets {
            let bound = seconds(*bound).to_string();
            self.line("_bucket", labels, Some(&bound), Value::Whole(*count));
        }
        self.line("_bucket", labels, Some("+Inf"), Value::Whole(counts.count));
        self.line("_sum", labels, None, Value::Real(seconds(counts.micros)));
        self.line("_count", labels, None, Value::Whole(counts.count));
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: Value) {
        self.out.push_str(self.name);
        self.out.push_str(suffix);
        let mut before = '{';
        for (name, text) in labels.iter().copied().chain(bound.map(|bound| ("le", bound))) {
            self.out.push(before);
            self.out.push_str(name);
            self.out.push_str("=\"");
            for c in text.chars() {
                match c {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    c => self.out.push(c),
                }
            }
            self.out.push('"');
            before = ',';
        }
        if before == ',' {
            self.out.push('}');
        }
        let _ = match value {
            Value::Whole(number) => writeln!(self.out, " {number}"),
            Value::Real(number) => writeln!(self.out, " {number}"),
        };
    }
}

/// A value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    /// A count.
    Whole(u64),
    /// A measure.
    Real(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Value::Whole(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Value::Whole(value.into())
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Value::Whole(value as u64)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Whole(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Real(value)
    }
}

/// Prometheus counts in seconds.
pub(crate) fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_escaped_labels_and_histograms_their_parts() {
        let mut text = Text::default();
        text.gauge("a", "What it is.").put(&[], true).put(&[("name", "x\"y\\z\n"), ("b", "c")], 0.5);
        let counts = Counts { buckets: vec![(500, 1), (1_000_000, 2)], count: 3, micros: 2_500_000 };
        text.histogram("t_seconds", "How long.").put_counts(&[("m", "n")], &counts);
        let expected = "\
# HELP a What it is.
# TYPE a gauge
a 1
a{name=\"x\\\"y\\\\z\\n\",b=\"c\"} 0.5
# HELP t_seconds How long.
# TYPE t_seconds histogram
t_seconds_bucket{m=\"n\",le=\"0.0005\"} 1
t_seconds_bucket{m=\"n\",le=\"1\"} 2
t_seconds_bucket{m=\"n\",le=\"+Inf\"} 3
t_seconds_sum{m=\"n\"} 2.5
t_seconds_count{m=\"n\"} 3
";
        assert_eq!(text.into_bytes(), expected);
    }
}
