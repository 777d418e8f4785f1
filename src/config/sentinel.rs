//! The directives `sentinel ...`: what is watched, how, and what must not be forgotten.

use super::address;
use super::consul::Said;
use super::dns;
use super::error::Wrong;
use super::settings::{HttpSettings, number, yes_no};
use super::source::Layer;
use consentinel_core::{
    Durable, DurableGroup, Endpoint, EndpointError, Epoch, GroupConfig, GroupName, Host, Quorum, Secret,
    SentinelId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// When a directive is taken in: whatever their order in the file, settings of a master come after the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pass {
    /// What concerns the sentinel as a whole.
    Global,
    /// The masters.
    Monitor,
    /// What concerns one master.
    Group,
}

/// The directives: name, what it takes, when it is taken in.
const DIRECTIVES: &[(&str, &str, Pass)] = &[
    ("myid", "<40 hexadecimal digits>", Pass::Global),
    ("current-epoch", "<epoch>", Pass::Global),
    ("announce-ip", "<ip or host name>", Pass::Global),
    ("announce-port", "<port>", Pass::Global),
    ("deny-scripts-reconfig", "<yes|no>", Pass::Global),
    ("sentinel-user", "<user>", Pass::Global),
    ("sentinel-pass", "<password>", Pass::Global),
    ("resolve-hostnames", "<yes|no>", Pass::Global),
    ("announce-hostnames", "<yes|no>", Pass::Global),
    ("state-file", "<path>", Pass::Global),
    ("consul", "<setting> <value> ...", Pass::Global),
    ("observe", "<yes|no>", Pass::Global),
    ("http-bind", "<ip or ip:port> ...", Pass::Global),
    ("http-host", "<name> ...", Pass::Global),
    ("dns-bind", "<ip or ip:port> ...", Pass::Global),
    ("dns-domain", "<domain>", Pass::Global),
    ("dns-ttl", "<seconds>", Pass::Global),
    ("dns-datacenter", "<name>", Pass::Global),
    ("dns-without-majority", "<silent|last>", Pass::Global),
    ("dns-rate-limit", "<answers per second>", Pass::Global),
    ("monitor", "<master-name> <ip> <port> <quorum>", Pass::Monitor),
    ("removed-master", "<master-name>", Pass::Monitor),
    ("down-after-milliseconds", "<master-name> <milliseconds>", Pass::Group),
    ("failover-timeout", "<master-name> <milliseconds>", Pass::Group),
    ("parallel-syncs", "<master-name> <number>", Pass::Group),
    ("notification-script", "<master-name> <path>", Pass::Group),
    ("client-reconfig-script", "<master-name> <path>", Pass::Group),
    ("auth-pass", "<master-name> <password>", Pass::Group),
    ("auth-user", "<master-name> <user>", Pass::Group),
    ("rename-command", "<master-name> <command> <new name>", Pass::Group),
    ("master-reboot-down-after-period", "<master-name> <milliseconds>", Pass::Group),
    ("primary-reboot-down-after-period", "<master-name> <milliseconds>", Pass::Group),
    ("config-epoch", "<master-name> <epoch>", Pass::Group),
    ("leader-epoch", "<master-name> <epoch>", Pass::Group),
    ("known-master", "<master-name> <ip> <port>", Pass::Group),
    ("known-replica", "<master-name> <ip> <port>", Pass::Group),
    ("known-slave", "<master-name> <ip> <port>", Pass::Group),
    ("known-sentinel", "<master-name> <ip> <port> [<id>]", Pass::Group),
    ("consul-service", "<master-name> <service name>", Pass::Group),
    ("consul-tags", "<master-name> <tag> ...", Pass::Group),
];

/// What a sentinel learns from others, and learns again: a line that cannot be read must not stop a start.
pub(super) const LEARNED: [&str; 3] = ["known-replica", "known-slave", "known-sentinel"];

/// Where HTTP is served when no port is said.
const HTTP_PORT: u16 = 8654;

const UNRECOGNIZED: &str = "Unrecognized sentinel configuration statement.";

/// When to take in a directive, and whether it has the right number of words.
pub(crate) fn check(words: &[String]) -> Result<Pass, Wrong> {
    let Some((name, args)) = words.split_first() else {
        return Err(Wrong::new("'sentinel' is followed by nothing").theirs(UNRECOGNIZED));
    };
    let Some((_, usage, pass)) = DIRECTIVES.iter().find(|(known, ..)| known == name) else {
        return Err(Wrong::new(format!("'sentinel {name}' is no directive"))
            .theirs(UNRECOGNIZED)
            .hint("Check its spelling; docs/configuration.md lists all directives."));
    };
    // Quoted descriptions like `<new name>` count once, and so does an optional one.
    let most = usage.matches('<').count();
    let least = most - usage.matches('[').count();
    let open_end = usage.ends_with("...");
    if (least..=most).contains(&args.len()) || open_end && args.len() >= least {
        return Ok(*pass);
    }
    let least = if open_end { format!("at least {least}") } else { least.to_string() };
    let what = format!("'sentinel {name}' takes {least} values, not {}", args.len());
    Err(Wrong::new(what).theirs(UNRECOGNIZED).hint(format!("Write: sentinel {name} {usage}")))
}

/// Takes directives in, one after the other.
#[derive(Default)]
pub(crate) struct Reader {
    /// What was said of Consul so far.
    pub consul: Said,
    /// What was read so far.
    pub durable: Durable,
    /// Where the state is kept, if apart.
    pub state_file: Option<String>,
    /// What was said of the embedded DNS.
    pub dns: dns::Said,
    /// Where the daemon shows itself.
    pub http: HttpSettings,
    /// Masters that SENTINEL REMOVE took away although the configuration has them.
    removed: BTreeSet<GroupName>,
    monitored: BTreeMap<GroupName, Layer>,
    /// Whether settings of unknown masters are passed over.
    lenient: bool,
    /// Lines about what was learned that cannot be read.
    pub passed_over: Vec<String>,
}

impl Reader {
    /// A reader that begins with what the environment says of Consul.
    pub(crate) fn new(consul: Said) -> Self {
        Reader { consul, ..Reader::default() }
    }

    /// A reader of a part of the configuration: the masters may stand in another.
    pub(crate) fn lenient() -> Self {
        Reader { lenient: true, ..Reader::default() }
    }

    /// Takes in one directive, without its first word. `check` has seen it already.
    pub(crate) fn apply(&mut self, words: &[String], layer: Layer) -> Result<(), Wrong> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let config = &mut self.durable.config;
        match words.as_slice() {
            ["myid", id] => self.durable.myid = Some(identity(id)?),
            ["current-epoch", text] => raise(&mut self.durable.current_epoch, epoch(text)?),
            ["announce-ip", text] => config.announce_ip = optional(text).map(host).transpose()?,
            ["announce-port", text] => {
                config.announce_port = Some(number(text, 0..=u16::MAX)?).filter(|port| *port != 0)
            }
            ["deny-scripts-reconfig", text] => {
                config.deny_scripts_reconfig = yes_or_no("deny-scripts-reconfig options.", text)?
            }
            ["resolve-hostnames", text] => {
                config.resolve_hostnames = yes_or_no("resolve-hostnames option.", text)?
            }
            ["announce-hostnames", text] => {
                config.announce_hostnames = yes_or_no("announce-hostnames option.", text)?
            }
            ["sentinel-user", text] => config.sentinel_auth.user = optional(text).map(str::to_owned),
            ["sentinel-pass", text] => config.sentinel_auth.pass = optional(text).map(Secret::new),
            ["observe", text] => config.observe = yes_no(text)?,
            ["http-bind", addresses @ ..] => {
                self.http.bind = address::listening("http-bind", addresses, HTTP_PORT)?
            }
            ["http-host", names @ ..] => self.http.hosts = host_names(names)?,
            [directive, values @ ..] if directive.starts_with("dns-") => self.dns.set(directive, values)?,
            ["consul", setting, values @ ..] => self.consul.set(&setting.to_ascii_lowercase(), values)?,
            ["state-file", text] => self.state_file = optional(text).map(str::to_owned),
            ["monitor", name, ip, port, quorum] => {
                let quorum = number(quorum, 1..=i32::MAX as u32);
                let quorum = Quorum(quorum.map_err(|wrong| wrong.theirs("Quorum must be 1 or greater."))?);
                self.monitor(group_name(name)?, endpoint(ip, port)?, quorum, layer)?;
            }
            ["removed-master", name] => {
                self.removed.insert(group_name(name)?);
            }
            [name, group, args @ ..] => {
                let group = group_name(group)?;
                match self.durable.groups.get_mut(&group) {
                    Some(_) if *name == "consul-service" => self.consul.set_service(&group, args[0]),
                    Some(_) if *name == "consul-tags" => self.consul.set_tags(&group, args)?,
                    Some(found) => apply_to_group(found, &mut self.durable.current_epoch, name, args)?,
                    // What the state remembers of a master that the operator took out is of no use any more.
                    None if self.lenient || layer == Layer::State || self.removed.contains(&group) => {}
                    None => {
                        let hint = format!(
                            "Add: sentinel monitor {group} <ip> <port> <quorum>, or correct the name."
                        );
                        return Err(Wrong::new(format!("no master is called '{group}'"))
                            .theirs("No such master with specified name.")
                            .hint(hint));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// To be called when all masters were read.
    pub(crate) fn end_of_masters(&mut self) {
        for name in &self.removed {
            self.durable.groups.remove(name);
        }
    }

    /// To be called when all was read. Replicas and sentinels that are known by names are of no use where names are not
    /// looked up, and are found again by their addresses.
    pub(crate) fn end(&mut self) {
        if self.durable.config.resolve_hostnames || self.lenient {
            return;
        }
        for group in self.durable.groups.values_mut() {
            group.replicas.retain(|replica| replica.host.ip().is_some());
            group.sentinels.retain(|_, sentinel| sentinel.host.ip().is_some());
        }
    }

    fn monitor(
        &mut self,
        name: GroupName,
        master: Endpoint,
        quorum: Quorum,
        layer: Layer,
    ) -> Result<(), Wrong> {
        if master.port == 0 {
            return Err(Wrong::new("port 0 is no port of a master").theirs("Invalid port number."));
        }
        if self.monitored.insert(name.clone(), layer) == Some(layer) {
            return Err(Wrong::new(format!("a master called '{name}' was there before"))
                .theirs("Duplicate master name.")
                .hint("Every master needs a name of its own; take one of the two lines out."));
        }
        match self.durable.groups.get_mut(&name) {
            Some(group) => {
                group.config.quorum = quorum;
                // The file remembers where the master went since; the command line does not.
                if layer != Layer::Arguments {
                    group.master = master;
                }
            }
            None => {
                self.durable.groups.insert(name, DurableGroup::new(master, GroupConfig::new(quorum)));
            }
        }
        Ok(())
    }
}

fn apply_to_group(
    group: &mut DurableGroup,
    current: &mut Epoch,
    name: &str,
    args: &[&str],
) -> Result<(), Wrong> {
    let config = &mut group.config;
    match (name, args) {
        ("down-after-milliseconds", [text]) => config.down_after = millis(text, 1)?,
        ("failover-timeout", [text]) => config.failover_timeout = millis(text, 1)?,
        ("master-reboot-down-after-period" | "primary-reboot-down-after-period", [text]) => {
            config.master_reboot_down_after = millis(text, 0)?
        }
        ("parallel-syncs", [text]) => config.parallel_syncs = number(text, 1..=i32::MAX as u32)?,
        ("notification-script", [path]) => {
            let path = optional(path).map(script).transpose();
            config.notification_script =
                path.map_err(|wrong| wrong.theirs(format!("Notification {NOT_EXECUTABLE}")))?
        }
        ("client-reconfig-script", [path]) => {
            let path = optional(path).map(script).transpose();
            config.client_reconfig_script =
                path.map_err(|wrong| wrong.theirs(format!("Client reconfiguration {NOT_EXECUTABLE}")))?
        }
        ("auth-pass", [text]) => config.auth.pass = optional(text).map(Secret::new),
        ("auth-user", [text]) => config.auth.user = optional(text).map(str::to_owned),
        ("rename-command", [from, to]) => {
            let (from, to) = (from.to_ascii_uppercase(), (*to).to_owned());
            if from.is_empty() || to.is_empty() {
                return Err(Wrong::new("a command cannot be renamed to or from nothing"));
            }
            if from.eq_ignore_ascii_case(&to) {
                config.renamed_commands.remove(&from);
            } else {
                config.renamed_commands.insert(from, to);
            }
        }
        ("config-epoch", [text]) => {
            group.config_epoch = epoch(text)?;
            raise(current, group.config_epoch);
        }
        ("leader-epoch", [text]) => {
            group.leader_epoch = epoch(text)?;
            raise(current, group.leader_epoch);
        }
        ("known-master", [ip, port]) => {
            group.master = endpoint(ip, port)?;
            // The state speaks for this master: what the configuration remembers is older.
            group.replicas.clear();
            group.sentinels.clear();
        }
        ("known-replica" | "known-slave", [ip, port]) => {
            group.replicas.insert(endpoint(ip, port)?);
        }
        ("known-sentinel", [ip, port, id]) => {
            group.sentinels.insert(identity(id)?, endpoint(ip, port)?);
        }
        // Without its identity a sentinel is found again by its hello.
        _ => {}
    }
    Ok(())
}

fn raise(epoch: &mut Epoch, to: Epoch) {
    *epoch = (*epoch).max(to);
}

fn yes_or_no(name: &str, text: &str) -> Result<bool, Wrong> {
    yes_no(text).map_err(|wrong| wrong.theirs(format!("Please specify yes or no for the {name}")))
}

const NOT_EXECUTABLE: &str = "script seems non existing or non executable.";

fn optional(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn host(text: &str) -> Result<Host, Wrong> {
    Host::parse(text).map_err(|error| Wrong::new(error.to_string()))
}

/// Names as a browser sends them: without a port, in small letters. A single empty word stands for none.
fn host_names(words: &[&str]) -> Result<Vec<String>, Wrong> {
    let names = words.iter().flat_map(|word| word.split_whitespace());
    let name = |name: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        match name.len() <= 253 && name.chars().all(fits) {
            true => Ok(name.trim_end_matches('.').to_ascii_lowercase()),
            false => Err(Wrong::new(format!("'http-host': '{name}' is no host name"))
                .hint("Write the name that stands in the browser, without http:// and without a port.")),
        }
    };
    names.map(name).collect()
}

fn endpoint(ip: &str, port: &str) -> Result<Endpoint, Wrong> {
    Endpoint::parse(ip, port).map_err(|error| {
        let theirs = match error {
            EndpointError::Port(_) => "Invalid port number.",
            _ => "Can't resolve instance hostname.",
        };
        Wrong::new(error.to_string()).theirs(theirs)
    })
}

fn epoch(text: &str) -> Result<Epoch, Wrong> {
    number(text, 0..=Epoch::MAX.0).map(Epoch)
}

fn millis(text: &str, least: u64) -> Result<Duration, Wrong> {
    let theirs = if least == 0 { "negative time parameter." } else { "negative or zero time parameter." };
    number(text, least..=i64::MAX as u64).map(Duration::from_millis).map_err(|wrong| wrong.theirs(theirs))
}

fn identity(text: &str) -> Result<SentinelId, Wrong> {
    SentinelId::parse(text).ok_or_else(|| {
        Wrong::new(format!("'{text}' is no identity of a sentinel"))
            .theirs("Malformed Sentinel id in myid option.")
            .hint("An identity has 40 hexadecimal digits. Without the line a new one is made up.")
    })
}

/// A name that fits into a hello and into a line of text.
pub(crate) fn group_name(text: &str) -> Result<GroupName, Wrong> {
    let fits =
        !text.is_empty() && text.len() <= 256 && text.bytes().all(|c| c.is_ascii_graphic() && c != b',');
    if !fits {
        return Err(Wrong::new(format!("'{text}' cannot be the name of a master"))
            .hint("A name has letters, digits and . - _ but no spaces and no commas."));
    }
    Ok(GroupName::new(text))
}

/// A script that can be run.
pub(crate) fn script(path: &str) -> Result<String, Wrong> {
    use rustix::fs::{Access, access};
    let executable = std::path::Path::new(path).is_file() && access(path, Access::EXEC_OK).is_ok();
    if !executable {
        return Err(Wrong::new(format!("'{path}' does not exist or is not executable"))
            .hint(format!("Check the path, and make it executable: chmod +x {path}")));
    }
    Ok(path.to_owned())
}
