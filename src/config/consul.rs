//! The directives that concern Consul: `sentinel consul ...`, `sentinel consul-service`, `sentinel consul-tags`.

use super::error::{ConfigError, Place, Wrong};
use super::settings::yes_no;
use super::source::Directive;
use crate::registrar::{ConsulSettings, Names, SettingError};
use consentinel_core::{Durable, GroupName};

/// What was said of Consul.
#[derive(Debug, Default)]
pub(crate) struct Said {
    settings: ConsulSettings,
    /// Whether anything was said that switches it on.
    mentioned: bool,
    /// `sentinel consul enabled`.
    enabled: Option<bool>,
}

impl From<SettingError> for Wrong {
    fn from(error: SettingError) -> Wrong {
        Wrong::new(error.what).hint(error.hint)
    }
}

impl Said {
    /// What the environment says.
    pub(super) fn by_environment(variable: &dyn Fn(&str) -> Option<String>) -> Result<Said, ConfigError> {
        let address = variable("CONSUL_HTTP_ADDR").filter(|value| !value.is_empty());
        let Some(_) = address else {
            // Whoever has other variables of Consul set, but no address, may not mean us: they count if a directive
            // or a flag does. What is wrong in them must not keep a sentinel from starting.
            let settings = ConsulSettings::from_environment(variable).unwrap_or_default();
            return Ok(Said { settings, ..Said::default() });
        };
        let settings = ConsulSettings::from_environment(variable).map_err(whole)?;
        Ok(Said { settings, mentioned: true, enabled: None })
    }

    /// `sentinel consul <setting> <value> ...`
    pub(super) fn set(&mut self, setting: &str, values: &[&str]) -> Result<(), Wrong> {
        if setting == "enabled" {
            let [value] = values else {
                return Err(Wrong::new("'consul enabled' takes one value").hint("Write: yes, or no."));
            };
            self.enabled = Some(yes_no(value)?);
            return Ok(());
        }
        self.mentioned = true;
        Ok(self.settings.set(setting, values)?)
    }

    /// `sentinel consul-service <master> <name>`
    pub(super) fn set_service(&mut self, group: &GroupName, name: &str) {
        self.mentioned = true;
        self.settings.set_service(group, name);
    }

    /// `sentinel consul-tags <master> <tag> ...`
    pub(super) fn set_tags(&mut self, group: &GroupName, tags: &[&str]) -> Result<(), Wrong> {
        self.mentioned = true;
        Ok(self.settings.set_group_tags(group, tags)?)
    }

    /// The datacenter, where one is named.
    pub(super) fn datacenter(&self) -> Option<&str> {
        self.settings.datacenter.as_deref()
    }

    /// The settings, whether anything is to be published, and what the core must know of it. Looks that every master
    /// can have its name, be it in Consul or over the DNS of this daemon.
    pub(super) fn conclude(
        mut self,
        durable: &mut Durable,
        directives: &[Directive],
        dns: bool,
    ) -> Result<(ConsulSettings, bool), ConfigError> {
        let on = self.enabled.unwrap_or(self.mentioned);
        durable.config.registry.on = on;
        durable.config.registry.dns = dns;
        if let (true, Some(lag)) = (on || dns, self.settings.max_lag) {
            durable.config.registry.max_lag = lag;
        }
        if on {
            self.settings.settle().map_err(whole)?;
        } else if !dns {
            return Ok((self.settings, false));
        }
        let mut names: Vec<Names> = Vec::new();
        for group in durable.groups.keys() {
            let own = Names::new(group, &self.settings);
            let checked = own.and_then(|own| {
                names.iter().try_for_each(|other| own.check_beside(other))?;
                Ok(own)
            });
            match checked {
                Ok(own) => names.push(own),
                Err(error) => {
                    let wrong = Wrong::new(error.to_string()).hint(error.hint());
                    return Err(at_monitor(group, directives, wrong));
                }
            }
        }
        Ok((self.settings, on))
    }
}

/// At the line that introduces the master.
fn at_monitor(group: &GroupName, directives: &[Directive], wrong: Wrong) -> ConfigError {
    let introduces = |directive: &&Directive| {
        let words: Vec<&str> = directive.words.iter().take(3).map(String::as_str).collect();
        words == ["sentinel", "monitor", group.as_str()]
    };
    match directives.iter().rev().find(introduces) {
        Some(directive) => directive.error(wrong),
        None => ConfigError { at: Place::Consul, line: String::new(), wrong: wrong.into() },
    }
}

fn whole(error: SettingError) -> ConfigError {
    ConfigError { at: Place::Consul, line: String::new(), wrong: Box::new(error.into()) }
}
