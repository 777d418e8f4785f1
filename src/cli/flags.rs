//! The daemon's flags that the original does not have, and the same settings by environment.

use crate::arguments::variable;
#[cfg(test)]
use crate::config::DIRECTIVES_VARIABLE;
use crate::config::{CONFIG_VARIABLE, split as split_words};
use crate::registrar::CONSUL_KEYS;

/// A flag of the daemon, and what it stands for.
pub(super) struct Flag {
    /// Without its dashes.
    pub(super) name: &'static str,
    /// What follows it.
    pub(super) value: Value,
    /// What it does.
    pub(super) help: &'static str,
    /// The directive that it stands for.
    directive: &'static [&'static str],
}

/// What follows a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing: the directive gets a `yes`.
    None,
    /// Something, or nothing: then the directive is this one.
    May(&'static str, &'static [&'static str]),
    /// Something.
    Must(&'static str),
}

/// The flags. `--consul-SETTING VALUE` besides stands for `sentinel consul SETTING VALUE`.
pub(super) const FLAGS: &[Flag] = &[
    Flag {
        name: "consul",
        value: Value::May("ADDRESS", &["consul", "enabled", "yes"]),
        help: "publish into Consul",
        directive: &["consul", "address"],
    },
    Flag {
        name: "dns",
        value: Value::May("ADDRESS[:PORT]", &["dns-bind", "127.0.0.1"]),
        help: "answer DNS as Consul would; 127.0.0.1:8600 when no address is given",
        directive: &["dns-bind"],
    },
    Flag {
        name: "dry-run",
        value: Value::None,
        help: "only log what would be written to Consul",
        directive: &["consul", "dry-run"],
    },
    Flag {
        name: "http",
        value: Value::May("ADDRESS[:PORT]", &["http-bind", "127.0.0.1"]),
        help: "show status page, state and metrics over HTTP; 127.0.0.1:8654 when no address is given",
        directive: &["http-bind"],
    },
    Flag {
        name: "observe",
        value: Value::None,
        help: "beside real sentinels, only look on and publish",
        directive: &["observe"],
    },
    Flag {
        name: RECORD,
        value: Value::Must("FILE"),
        help: "write everything that happens to FILE as JSON lines, to be replayed",
        directive: &[],
    },
];

/// The flag that is no directive.
pub(super) const RECORD: &str = "record";

impl Flag {
    /// The flag that is called so, with its dashes.
    pub(super) fn find(word: &str) -> Option<&'static Flag> {
        let name = word.strip_prefix("--")?;
        FLAGS.iter().find(|flag| flag.name == name)
    }

    /// The directive, as words of the command line.
    pub(super) fn words(&self, value: Option<&str>) -> Vec<String> {
        let words = match (value, self.value) {
            (None, Value::May(_, alone)) => [&["--sentinel"], alone].concat(),
            (None, Value::None | Value::Must(_)) => [&["--sentinel"], self.directive, &["yes"]].concat(),
            (Some(value), _) => [&["--sentinel"], self.directive, &[value]].concat(),
        };
        words.into_iter().map(str::to_owned).collect()
    }

    /// Its name in the environment.
    pub(super) fn variable(&self) -> String {
        variable("", self.name)
    }
}

/// The environment's names for the daemon's settings.
#[cfg(test)]
pub(super) fn variables() -> Vec<String> {
    let fixed = [CONFIG_VARIABLE, DIRECTIVES_VARIABLE].map(str::to_owned);
    let settings = CONSUL_KEYS.iter().filter(|(key, _)| Flag::find(&format!("--{key}")).is_none());
    fixed
        .into_iter()
        .chain(FLAGS.iter().map(Flag::variable))
        .chain(settings.map(|(key, _)| variable("consul", key)))
        .collect()
}

/// What the environment says, as words of a command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// The configuration file.
    pub(super) file: Option<String>,
    /// The directives that flags stand for.
    pub(super) words: Vec<String>,
    /// Where to record the run.
    pub(super) record: Option<String>,
}

/// Reads the environment. A variable that is empty counts as not there.
pub(super) fn by_environment(variable_of: &dyn Fn(&str) -> Option<String>) -> Result<Said, String> {
    let set = |name: &str| variable_of(name).filter(|value| !value.is_empty());
    let mut said = Said { file: set(CONFIG_VARIABLE), ..Said::default() };
    for flag in FLAGS {
        let name = flag.variable();
        let Some(value) = set(&name) else { continue };
        match (flag.value, truth(&value)) {
            (Value::Must(_), _) => said.record = Some(value),
            (Value::None | Value::May(..), Some(true)) => said.words.extend(flag.words(None)),
            (Value::None | Value::May(..), Some(false)) => {}
            (Value::May(..), None) => said.words.extend(flag.words(Some(&value))),
            (Value::None, None) => {
                return Err(format!("{name} in the environment: '{value}' is neither yes nor no\n"));
            }
        }
    }
    for (key, _) in CONSUL_KEYS.iter().filter(|(key, _)| Flag::find(&format!("--{key}")).is_none()) {
        let name = variable("consul", key);
        let Some(value) = set(&name) else { continue };
        let values = split_words(value.as_bytes())
            .map_err(|error| format!("{name} in the environment cannot be read: {error}\n"))?;
        said.words.extend(["--sentinel", "consul", key].map(str::to_owned));
        said.words.extend(values);
    }
    Ok(said)
}

fn truth(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => Some(true),
        "no" | "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pairs: &[(&str, &str)]) -> Result<Said, String> {
        by_environment(&|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_says_what_flags_say() {
        let read = said(&[
            ("CONSENTINEL_CONFIG", "/data/s.conf"),
            ("CONSENTINEL_CONSUL", "http://c:1"),
            ("CONSENTINEL_CONSUL_TOKEN_FILE", "/run/token"),
            ("CONSENTINEL_CONSUL_WEIGHTS", "10 2"),
            ("CONSENTINEL_DNS", "yes"),
            ("CONSENTINEL_HTTP", "0.0.0.0:80"),
            ("CONSENTINEL_OBSERVE", "no"),
            ("CONSENTINEL_DRY_RUN", ""),
            ("CONSENTINEL_RECORD", "r.jsonl"),
        ]);
        let words = "--sentinel consul address http://c:1 --sentinel dns-bind 127.0.0.1 --sentinel http-bind 0.0.0.0:80 \
            --sentinel consul token-file /run/token --sentinel consul weights 10 2";
        let expected = Said {
            file: Some("/data/s.conf".into()),
            words: words.split_whitespace().map(str::to_owned).collect(),
            record: Some("r.jsonl".into()),
        };
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn what_is_neither_yes_nor_no_is_refused() {
        assert!(said(&[("CONSENTINEL_OBSERVE", "perhaps")]).is_err_and(|text| text.contains("neither")));
        assert!(said(&[("CONSENTINEL_CONSUL_TAGS", "\"a")]).is_err_and(|text| text.contains("TAGS")));
    }

    /// What stands in the documentation is what there is, and all of it.
    #[test]
    fn every_variable_is_documented_and_no_other() {
        let documented = |text: &str| -> std::collections::BTreeSet<String> {
            let words = text.split(|c: char| !c.is_ascii_uppercase() && c != '_');
            words
                .filter(|word| word.starts_with("CONSENTINEL_") && !word.ends_with('_'))
                .map(str::to_owned)
                .collect()
        };
        let ours = documented(include_str!("../../docs/configuration.md"));
        assert_eq!(ours, variables().into_iter().collect());
        let proxy = documented(include_str!("../../docs/proxy.md"));
        assert_eq!(proxy, crate::proxy::variables().into_iter().collect());
    }
}
