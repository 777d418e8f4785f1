//! The directives that concern the embedded DNS: `sentinel dns-...`.

use super::address;
use super::error::Wrong;
use super::settings::number;
use crate::dns::{DnsSettings, WithoutMajority, datacenter, domain};

/// Where DNS is answered when no port is said: where Consul answers it.
const PORT: u16 = 8600;

/// A day: whoever keeps an answer longer than that does not want to follow a master.
const LONGEST_TTL: u32 = 86_400;

/// What was said of the embedded DNS.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    settings: DnsSettings,
    datacenter: Option<String>,
}

impl Said {
    /// Takes one directive in; `sentinel::check` has counted its words.
    pub(super) fn set(&mut self, directive: &str, values: &[&str]) -> Result<(), Wrong> {
        let first = values.first().copied().unwrap_or_default();
        let settings = &mut self.settings;
        match directive {
            "dns-bind" => settings.bind = address::listening(directive, values, PORT)?,
            "dns-domain" => {
                settings.domain = domain(first).ok_or_else(|| {
                    Wrong::new(format!("'{first}' is no domain")).hint(
                    "Labels of letters, digits and hyphens with dots between: consul, or redis.example.org",
                )
                })?
            }
            "dns-ttl" => settings.ttl = number(first, 0..=LONGEST_TTL)?,
            "dns-datacenter" => {
                self.datacenter = Some(datacenter(first).ok_or_else(|| {
                    Wrong::new(format!("'{first}' is no datacenter"))
                        .hint("One label of letters, digits and hyphens: dc1")
                })?)
            }
            "dns-without-majority" => {
                settings.without_majority = match first {
                    "silent" => WithoutMajority::Silent,
                    "last" => WithoutMajority::Last,
                    _ => {
                        return Err(Wrong::new(format!("'{first}' must be 'silent' or 'last'"))
                            .hint("silent: say that it cannot be told. last: answer what was known last."));
                    }
                }
            }
            "dns-rate-limit" => settings.rate_limit = number(first, 0..=1_000_000)?,
            _ => {}
        }
        Ok(())
    }

    /// The settings. The datacenter is that of Consul where nothing else is said.
    pub(super) fn conclude(self, consul_datacenter: Option<&str>) -> DnsSettings {
        let named = self.datacenter.or_else(|| consul_datacenter.and_then(datacenter));
        match named {
            Some(datacenter) => DnsSettings { datacenter, ..self.settings },
            None => self.settings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_taken_in() {
        let mut said = Said::default();
        for (directive, values) in [
            ("dns-bind", &["127.0.0.1", "[::1]:53"][..]),
            ("dns-domain", &["Redis.Example."]),
            ("dns-ttl", &["5"]),
            ("dns-without-majority", &["last"]),
            ("dns-rate-limit", &["0"]),
        ] {
            said.set(directive, values).expect("good");
        }
        let settings = said.clone().conclude(Some("Paris"));
        let bind: Vec<String> = settings.bind.iter().map(ToString::to_string).collect();
        assert_eq!(bind, ["127.0.0.1:8600", "[::1]:53"]);
        assert_eq!((settings.domain.as_str(), settings.ttl), ("redis.example", 5));
        assert_eq!(settings.datacenter, "paris");
        assert_eq!((settings.without_majority, settings.rate_limit), (WithoutMajority::Last, 0));
        said.set("dns-datacenter", &["dc7"]).expect("good");
        assert_eq!(said.conclude(Some("Paris")).datacenter, "dc7");
        assert_eq!(Said::default().conclude(None).datacenter, "dc1");
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (directive, value) in [
            ("dns-bind", "localhost"),
            ("dns-domain", "a..b"),
            ("dns-ttl", "-1"),
            ("dns-ttl", "86401"),
            ("dns-datacenter", "a.b"),
            ("dns-without-majority", "maybe"),
            ("dns-rate-limit", "many"),
        ] {
            assert!(Said::default().set(directive, &[value]).is_err(), "{directive} {value}");
        }
    }
}
