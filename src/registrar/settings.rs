//! How Consul is reached, and what things are called there: from the environment, as every Consul tool reads it,
//! overruled by directives of the file, overruled by the command line.

use super::address::Address;
use super::consul_names::{NODE_PREFIX, Weighting};
use consentinel_core::{GroupName, Secret};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

/// All that the registrar is told by the operator.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ConsulSettings {
    /// Where the agent's HTTP API is.
    pub address: Address,
    /// Whether TLS is spoken where the address does not say it.
    pub ssl: bool,
    /// The ACL token.
    pub token: Option<Secret>,
    /// A file with the token, which counts more.
    pub token_file: Option<PathBuf>,
    /// How the agent's certificate is checked, and what is shown to it.
    pub tls: TlsSettings,
    /// The datacenter, if not the agent's own.
    pub datacenter: Option<String>,
    /// Consul Enterprise's namespace.
    pub namespace: Option<String>,
    /// Consul Enterprise's admin partition.
    pub partition: Option<String>,
    /// Where the records are in KV, without slashes at the ends.
    pub kv_prefix: String,
    /// What the node is called on which a master's entries stand; `{master}` stands for the master's name.
    pub node_template: Option<String>,
    /// What a master's service is called; `{master}` stands for the master's name.
    pub service_template: String,
    /// What the service of a certain master is called.
    pub services: BTreeMap<GroupName, String>,
    /// Tags of every entry.
    pub tags: Vec<String>,
    /// Tags of every entry of a certain master.
    pub group_tags: BTreeMap<GroupName, Vec<String>>,
    /// SRV weights of replicas.
    pub weights: Weighting,
    /// By how many bytes a replica may lag behind before it is published with a warning.
    pub max_lag: Option<u64>,
    /// What becomes of the entries when nobody publishes any more.
    pub on_publishers_lost: PublishersLost,
    /// Whether nothing is written, only logged.
    pub dry_run: bool,
}

/// How TLS is spoken.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TlsSettings {
    /// A file with certificates of authorities; those of the system when nothing is named.
    pub ca_cert: Option<PathBuf>,
    /// A folder with such files.
    pub ca_path: Option<PathBuf>,
    /// Our certificate.
    pub client_cert: Option<PathBuf>,
    /// Its key.
    pub client_key: Option<PathBuf>,
    /// The name that the agent's certificate is made out to, when it is not the address's.
    pub server_name: Option<String>,
    /// Whether the agent's certificate is checked at all.
    pub verify: bool,
}

/// What becomes of the entries when all daemons are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublishersLost {
    /// They stay as they were written last.
    Static,
    /// They become critical.
    Critical,
}

impl Default for ConsulSettings {
    fn default() -> Self {
        ConsulSettings {
            address: Address::default(),
            ssl: false,
            token: None,
            token_file: None,
            tls: TlsSettings {
                ca_cert: None,
                ca_path: None,
                client_cert: None,
                client_key: None,
                server_name: None,
                verify: true,
            },
            datacenter: None,
            namespace: None,
            partition: None,
            kv_prefix: DEFAULT_PREFIX.into(),
            node_template: None,
            service_template: "redis".into(),
            services: BTreeMap::new(),
            tags: Vec::new(),
            group_tags: BTreeMap::new(),
            weights: Weighting { passing: 10, warning: 1 },
            max_lag: None,
            on_publishers_lost: PublishersLost::Static,
            dry_run: false,
        }
    }
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SettingError {
    /// What is wrong.
    pub what: String,
    /// What to do; may be empty.
    pub hint: String,
}

/// Where the records are in KV where nothing else is said.
const DEFAULT_PREFIX: &str = "consentinel";

/// The settings that have one name everywhere: `sentinel consul <key> ...`, `--consul-<key> ...`.
pub(crate) const KEYS: &[(&str, &str)] = &[
    ("address", "<http://host:port, https://host:port or unix:///path>"),
    ("token", "<token>"),
    ("token-file", "<path>"),
    ("ca-cert", "<path>"),
    ("ca-path", "<folder>"),
    ("client-cert", "<path>"),
    ("client-key", "<path>"),
    ("tls-server-name", "<name>"),
    ("ssl-verify", "<yes|no>"),
    ("datacenter", "<name>"),
    ("namespace", "<name>"),
    ("partition", "<name>"),
    ("kv-prefix", "<prefix>"),
    ("node-template", "<consentinel-name with {master}>"),
    ("service-template", "<name with {master}>"),
    ("tags", "<tag> ..."),
    ("weights", "<passing> <warning>"),
    ("max-lag", "<bytes>"),
    ("on-publishers-lost", "<static|critical>"),
    ("dry-run", "<yes|no>"),
];

/// The environment's names, and which setting each of them is.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("CONSUL_HTTP_ADDR", "address"),
    ("CONSUL_HTTP_TOKEN", "token"),
    ("CONSUL_HTTP_TOKEN_FILE", "token-file"),
    ("CONSUL_CACERT", "ca-cert"),
    ("CONSUL_CAPATH", "ca-path"),
    ("CONSUL_CLIENT_CERT", "client-cert"),
    ("CONSUL_CLIENT_KEY", "client-key"),
    ("CONSUL_TLS_SERVER_NAME", "tls-server-name"),
    ("CONSUL_HTTP_SSL_VERIFY", "ssl-verify"),
    ("CONSUL_DATACENTER", "datacenter"),
    ("CONSUL_NAMESPACE", "namespace"),
    ("CONSUL_PARTITION", "partition"),
];

const SSL: &str = "CONSUL_HTTP_SSL";

impl ConsulSettings {
    /// What the environment says. `CONSUL_HTTP_ADDR` alone switches publishing on; see the caller.
    pub(crate) fn from_environment(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<ConsulSettings, SettingError> {
        let mut settings = ConsulSettings::default();
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let named = |name: &str, error: SettingError| SettingError {
            what: format!("{name} in the environment: {}", error.what),
            hint: error.hint,
        };
        for (name, key) in ENVIRONMENT {
            if let Some(value) = variable(name) {
                settings.set(key, &[&value]).map_err(|error| named(name, error))?;
            }
        }
        if let Some(value) = variable(SSL) {
            settings.ssl = truth(&value).map_err(|error| named(SSL, error))?;
        }
        Ok(settings)
    }

    /// What the node of a master is called. Fleets with prefixes of their own have nodes of their own.
    pub(super) fn node(&self, group: &GroupName) -> String {
        self.node_pattern().replace("{master}", group.as_str())
    }

    /// The master whose node is called so.
    pub(super) fn master_of_node(&self, node: &str) -> Option<GroupName> {
        let pattern = self.node_pattern();
        let (before, after) = pattern.split_once("{master}")?;
        node.strip_prefix(before)?.strip_suffix(after).map(GroupName::new)
    }

    fn node_pattern(&self) -> String {
        let by_prefix = || match self.kv_prefix == DEFAULT_PREFIX {
            true => format!("{NODE_PREFIX}{{master}}"),
            false => format!("{NODE_PREFIX}{}-{{master}}", self.kv_prefix.replace('/', "-")),
        };
        self.node_template.clone().unwrap_or_else(by_prefix)
    }

    /// Takes one setting in.
    pub(crate) fn set(&mut self, key: &str, values: &[&str]) -> Result<(), SettingError> {
        let Some((_, usage)) = KEYS.iter().find(|(known, _)| *known == key) else {
            let known: Vec<&str> = KEYS.iter().map(|(key, _)| *key).collect();
            return Err(wrong(
                format!("'consul {key}' is no setting"),
                format!("One of: {}.", known.join(", ")),
            ));
        };
        match (key, values) {
            ("tags", tags) => self.tags = tags.iter().map(checked_tag).collect::<Result<_, _>>()?,
            ("weights", [passing, warning]) => {
                self.weights = Weighting { passing: weight(passing)?, warning: weight(warning)? }
            }
            (_, [value]) => self.set_one(key, value)?,
            _ => {
                return Err(wrong(
                    format!("'consul {key}' does not take {} values", values.len()),
                    format!("Write: sentinel consul {key} {usage}"),
                ));
            }
        }
        Ok(())
    }

    fn set_one(&mut self, key: &str, value: &str) -> Result<(), SettingError> {
        let text = || (!value.is_empty()).then(|| value.to_owned());
        let path = || (!value.is_empty()).then(|| PathBuf::from(value));
        match key {
            "address" => {
                self.address = Address::parse(value).map_err(|error| {
                    wrong(error.to_string(), "For example: http://127.0.0.1:8500, or unix:///run/consul.sock")
                })?
            }
            "token" => {
                self.token = text().map(|token| Secret::new(&token));
                // Said later than a file, it counts more.
                self.token_file = None;
            }
            "token-file" => self.token_file = path(),
            "ca-cert" => self.tls.ca_cert = path(),
            "ca-path" => self.tls.ca_path = path(),
            "client-cert" => self.tls.client_cert = path(),
            "client-key" => self.tls.client_key = path(),
            "tls-server-name" => self.tls.server_name = text(),
            "ssl-verify" => self.tls.verify = truth(value)?,
            "datacenter" => self.datacenter = text(),
            "namespace" => self.namespace = text(),
            "partition" => self.partition = text(),
            "kv-prefix" => self.kv_prefix = prefix(value)?,
            "node-template" => self.node_template = Some(node_template(value)?),
            "service-template" => self.service_template = value.to_owned(),
            "max-lag" => self.max_lag = Some(number(value)?),
            "on-publishers-lost" => {
                self.on_publishers_lost = match value {
                    "static" => PublishersLost::Static,
                    "critical" => PublishersLost::Critical,
                    _ => return Err(wrong(format!("'{value}' must be 'static' or 'critical'"), "")),
                }
            }
            "dry-run" => self.dry_run = truth(value)?,
            _ => {
                return Err(wrong(
                    format!("'consul {key}' takes more than one value"),
                    "See docs/configuration.md.",
                ));
            }
        }
        Ok(())
    }

    /// Names the service of one master.
    pub(crate) fn set_service(&mut self, group: &GroupName, service: &str) {
        self.services.insert(group.clone(), service.to_owned());
    }

    /// Names further tags of one master's entries.
    pub(crate) fn set_group_tags(&mut self, group: &GroupName, tags: &[&str]) -> Result<(), SettingError> {
        let tags = tags.iter().map(checked_tag).collect::<Result<_, _>>()?;
        self.group_tags.insert(group.clone(), tags);
        Ok(())
    }

    /// To be called when everything was taken in.
    pub(crate) fn settle(&mut self) -> Result<(), SettingError> {
        if let Address::Tcp { https, .. } = &mut self.address {
            https.get_or_insert(self.ssl);
        }
        if self.tls.server_name.as_deref().is_some_and(|name| name.parse::<std::net::IpAddr>().is_ok()) {
            return Err(wrong(
                "tls-server-name must be a name, not an address",
                "Certificates for addresses are checked without it: take it out.",
            ));
        }
        if self.tls.client_cert.is_some() != self.tls.client_key.is_some() {
            return Err(wrong(
                "a client certificate and its key belong together, and one of them is missing",
                "Set both: client-cert (CONSUL_CLIENT_CERT) and client-key (CONSUL_CLIENT_KEY).",
            ));
        }
        Ok(())
    }
}

fn wrong(what: impl Into<String>, hint: impl Into<String>) -> SettingError {
    SettingError { what: what.into(), hint: hint.into() }
}

/// Yes or no, in the words of Redis and of Consul's tools.
fn truth(text: &str) -> Result<bool, SettingError> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" | "t" => Ok(true),
        "no" | "false" | "0" | "f" => Ok(false),
        _ => Err(wrong(format!("'{text}' must be 'yes' or 'no'"), "")),
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, SettingError> {
    text.parse().map_err(|_| wrong(format!("'{text}' is no number, or too large"), ""))
}

fn weight(text: &str) -> Result<u16, SettingError> {
    match number(text)? {
        0 => Err(wrong("a weight must be at least 1", "Consul takes 1 to 65535.")),
        weight => Ok(weight),
    }
}

fn checked_tag(tag: &&str) -> Result<String, SettingError> {
    let fits = !tag.is_empty() && tag.len() <= 255 && tag.bytes().all(|c| c.is_ascii_graphic());
    match fits {
        true => Ok((*tag).to_owned()),
        false => Err(wrong(format!("'{tag}' is no tag"), "A tag has no spaces.")),
    }
}

fn node_template(text: &str) -> Result<String, SettingError> {
    let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
    let is_good = text.to_ascii_lowercase().starts_with(NODE_PREFIX)
        && text.contains("{master}")
        && text.replace("{master}", "").bytes().all(fits);
    match is_good {
        true => Ok(text.to_owned()),
        false => Err(wrong(
            format!("'{text}' is no template for the names of nodes"),
            "It begins with consentinel- and has {master} in it, beside letters, digits and . - _: consentinel-eu-{master}",
        )),
    }
}

fn prefix(text: &str) -> Result<String, SettingError> {
    let prefix = text.trim_matches('/');
    let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_' | b'/');
    let parts = prefix.split('/').all(|part| !part.is_empty() && !part.bytes().all(|c| c == b'.'));
    match parts && prefix.bytes().all(fits) {
        true => Ok(prefix.to_owned()),
        false => Err(wrong(
            format!("'{text}' is no prefix of keys"),
            "Letters, digits and . - _ with single slashes between: infra/consentinel",
        )),
    }
}

#[cfg(test)]
mod tests;
