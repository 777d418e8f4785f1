//! The names of a group's things in Consul: node, services, keys, IDs.

use super::settings::ConsulSettings;
use consentinel_core::{Endpoint, EntryKey, GroupName, Role};

/// The names that belong to one group, and what every entry of it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// The group.
    pub group: GroupName,
    /// The service with the master.
    pub service: String,
    /// The service with the replicas.
    pub replica_service: String,
    /// The external node on which all entries stand.
    pub node: String,
    /// Whether the operator has said what the node is called.
    node_is_told: bool,
    /// The folder in KV, with a slash behind.
    pub folder: String,
    /// Tags of the user.
    pub tags: Vec<String>,
    /// SRV weights of a replica.
    pub weights: Weighting,
}

/// SRV weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weighting {
    /// While passing.
    pub passing: u16,
    /// While warning.
    pub warning: u16,
}

/// What the service names of replicas end in.
const REPLICA: &str = "-replica";

/// As what this daemon itself is registered.
pub(crate) const SENTINEL_SERVICE: &str = "redis-sentinel";

/// How the names of the external nodes begin.
pub(crate) const NODE_PREFIX: &str = "consentinel-";

/// Why a group cannot be published under its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    /// A group name that Consul's paths cannot carry.
    #[error("the name of the master '{0}' has other signs than letters, digits and . - _")]
    Group(GroupName),
    /// A service name that DNS cannot carry.
    #[error(
        "the service name '{1}' of the master '{0}' is no DNS label: at most 55 letters, digits and hyphens, \
         with a letter or a digit at both ends"
    )]
    Service(GroupName, String),
    /// Two groups under one name.
    #[error("the masters '{0}' and '{1}' would both be published as service '{2}'")]
    Clash(GroupName, GroupName, String),
    /// Two groups on one node: Consul does not tell upper case from lower case there.
    #[error(
        "the masters '{0}' and '{1}' differ in upper and lower case only, which Consul does not tell apart"
    )]
    Case(GroupName, GroupName),
    /// A group name that this release of Consul takes into no key.
    #[error("the name of the master '{0}' has '..' in it, and this release of Consul refuses keys with that")]
    Dots(GroupName),
    /// A group under the name of the sentinels.
    #[error("the master '{0}' would be published as service '{1}', which is where sentinels are found")]
    Sentinels(GroupName, String),
}

impl NameError {
    /// The error, and what to write into the configuration.
    pub(crate) fn with_hint(&self) -> String {
        format!("{self}. {}", self.hint())
    }

    /// What to write into the configuration.
    pub(crate) fn hint(&self) -> String {
        match self {
            NameError::Group(_) => "Give it another name, or take Consul out of the configuration.".into(),
            NameError::Dots(_) => "Give it a name without two dots in a row.".into(),
            NameError::Case(_, second) => format!("Give '{second}' another name."),
            NameError::Clash(_, group, _) => format!(
                "Write: sentinel consul-service {group} <another name>, or for all masters: \
                 sentinel consul service-template redis-{{master}}"
            ),
            NameError::Service(group, _) | NameError::Sentinels(group, _) => {
                format!("Write: sentinel consul-service {group} <another name>")
            }
        }
    }
}

impl Names {
    /// The names of a group by these settings.
    pub(crate) fn new(group: &GroupName, settings: &ConsulSettings) -> Result<Names, NameError> {
        let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
        if !group.as_str().bytes().all(fits) || group.as_str().bytes().all(|c| c == b'.') {
            return Err(NameError::Group(group.clone()));
        }
        let service = match settings.services.get(group) {
            Some(name) => name.clone(),
            None => settings.service_template.replace("{master}", group.as_str()),
        };
        if !is_label(&service) {
            return Err(NameError::Service(group.clone(), service));
        }
        let replica_service = format!("{service}{REPLICA}");
        let mut tags = settings.tags.clone();
        tags.extend(settings.group_tags.get(group).into_iter().flatten().cloned());
        let names = Names {
            group: group.clone(),
            service,
            replica_service,
            node: settings.node(group),
            node_is_told: settings.node_template.is_some(),
            folder: format!("{}/{group}/", settings.kv_prefix),
            tags,
            weights: settings.weights,
        };
        if let Some(name) = names.services().iter().find(|name| name.eq_ignore_ascii_case(SENTINEL_SERVICE)) {
            return Err(NameError::Sentinels(group.clone(), (*name).to_owned()));
        }
        Ok(names)
    }

    /// Whether two groups can be published at the same time.
    pub(crate) fn check_beside(&self, other: &Names) -> Result<(), NameError> {
        let clash = |name: &&str| other.services().iter().any(|theirs| theirs.eq_ignore_ascii_case(name));
        if let Some(name) = self.services().iter().find(|name| clash(name)) {
            return Err(NameError::Clash(other.group.clone(), self.group.clone(), (*name).to_owned()));
        }
        if self.node.eq_ignore_ascii_case(&other.node) {
            return Err(NameError::Case(other.group.clone(), self.group.clone()));
        }
        Ok(())
    }

    /// Whether a service of this name is one of the group's.
    pub(crate) fn has_service(&self, name: &str) -> bool {
        self.services().contains(&name)
    }

    /// What the node was called by releases that knew neither a template for it nor a prefix of its own.
    pub(super) fn first_node(&self) -> Option<String> {
        let first = format!("{NODE_PREFIX}{}", self.group);
        (!self.is_node(&first)).then_some(first)
    }

    /// The same names, with that node. A fleet that stands there stays there until it is told otherwise: daemons of before
    /// know no other, and two nodes would name two masters.
    pub(super) fn staying(&self) -> Option<Names> {
        let node = self.first_node().filter(|_| !self.node_is_told)?;
        Some(Names { node, ..self.clone() })
    }

    /// Whether that is the node on which the group's entries stand: Consul tells no big letters from small there.
    pub(super) fn is_node(&self, name: &str) -> bool {
        self.node.eq_ignore_ascii_case(name)
    }

    /// Its services: the master's and the replicas'.
    pub(super) fn services(&self) -> [&str; 2] {
        [&self.service, &self.replica_service]
    }

    /// The service in which servers of a role stand.
    pub(crate) fn service_of(&self, role: Role) -> &str {
        match role {
            Role::Master => &self.service,
            Role::Replica => &self.replica_service,
        }
    }

    /// What an entry is called among all services of its node.
    pub(crate) fn service_id(&self, role: Role, addr: &Endpoint) -> String {
        format!("{}:{}", self.service_of(role), addr.joined())
    }

    /// The same, for a key.
    pub(crate) fn id_of(&self, key: &EntryKey) -> String {
        self.service_id(key.role, &key.addr)
    }

    /// Where the record is: the fence.
    pub(crate) fn state_key(&self) -> String {
        format!("{}state", self.folder)
    }

    /// Where the last failovers are.
    pub(crate) fn history_key(&self) -> String {
        format!("{}history", self.folder)
    }

    /// Where the lock is.
    pub(crate) fn lock_key(&self) -> String {
        format!("{}lock", self.folder)
    }
}

/// What the check of an entry is called.
pub(crate) fn check_id(service_id: &str) -> String {
    format!("role:{service_id}")
}

/// Whether a service of that name can be asked for over DNS, that of its replicas included.
fn is_label(name: &str) -> bool {
    let alphanumeric = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    name.len() + REPLICA.len() <= 63
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
        && alphanumeric(name.bytes().next())
        && alphanumeric(name.bytes().last())
}

/// `host:port`, as [`Endpoint::joined`] writes it.
pub(crate) fn parse_host_port(text: &str) -> Option<Endpoint> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Endpoint::parse(host, port).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(group: &str, settings: &ConsulSettings) -> Result<Names, NameError> {
        Names::new(&GroupName::new(group), settings)
    }

    #[test]
    fn two_masters_under_one_service_name_are_told_by_both_names() {
        let settings = ConsulSettings::default();
        let (a, b) = (names("a", &settings).expect("good"), names("b", &settings).expect("good"));
        let error = b.check_beside(&a).expect_err("a clash");
        assert_eq!(error.to_string(), "the masters 'a' and 'b' would both be published as service 'redis'");
        assert!(error.hint().starts_with("Write: sentinel consul-service b "), "{}", error.hint());
    }

    #[test]
    fn a_service_may_not_be_called_as_the_replicas_of_another() {
        let mut settings = ConsulSettings::default();
        settings.services.insert(GroupName::new("b"), "Redis-Replica".into());
        let (a, b) = (names("a", &settings).expect("good"), names("b", &settings).expect("good"));
        assert!(b.check_beside(&a).is_err() && a.check_beside(&b).is_err());
    }

    #[test]
    fn the_template_names_every_master_apart() {
        let settings = ConsulSettings { service_template: "redis-{master}".into(), ..Default::default() };
        let (a, b) = (names("a", &settings).expect("good"), names("b", &settings).expect("good"));
        assert_eq!((a.service.as_str(), b.replica_service.as_str()), ("redis-a", "redis-b-replica"));
        assert_eq!(a.check_beside(&b), Ok(()));
        assert!(matches!(names("sentinel", &settings), Err(NameError::Sentinels(..))));
        assert!(matches!(names("a.b", &settings), Err(NameError::Service(..))));
        assert!(matches!(names("a/b", &settings), Err(NameError::Group(..))));
        let upper = names("A", &ConsulSettings { service_template: "x".into(), ..Default::default() });
        assert!(matches!(upper.expect("good").check_beside(&a), Err(NameError::Case(..))));
    }

    #[test]
    fn addresses_are_read_back_as_they_were_written() {
        for (host, text) in [("10.0.0.1", "10.0.0.1:6379"), ("::1", "[::1]:6379"), ("db-1", "db-1:6379")] {
            let addr = Endpoint::parse(host, "6379").expect("an address");
            assert_eq!(addr.joined(), text);
            assert_eq!(parse_host_port(text), Some(addr));
        }
        assert_eq!(parse_host_port("nowhere"), None);
    }
}
