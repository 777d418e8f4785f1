//! Answers a question: the names and their records, as Consul would answer for what our registrar publishes.

use super::answer_types::{
    Code, Data, NO_REACHABLE_AUTHORITY, NOT_AUTHORITATIVE, NOT_READY, OTHER, Owner, Record, Reply,
    STALE_ANSWER,
};
use super::group_records::{Answerability, GroupRecords};
use super::question::{Kind, Question, Subject};
use super::settings::DnsSettings;
use crate::registrar::SENTINEL_SERVICE;
use consentinel_core::{Endpoint, Entry, GroupName, Health, Host, Role};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

/// Something has changed.
#[derive(Clone, Debug)]
pub(super) enum Update {
    /// These are the records of a group from now on.
    Group(Arc<GroupRecords>),
    /// That group is not watched any more.
    Gone(GroupName),
}

/// All names that are answered.
pub(super) struct Zone {
    settings: DnsSettings,
    domain: Vec<String>,
    groups: BTreeMap<GroupName, Arc<GroupRecords>>,
    /// The services, in small letters.
    services: HashMap<String, (GroupName, Role)>,
    /// The external nodes, in small letters.
    nodes: HashMap<String, GroupName>,
    /// All sentinels, once somebody has asked.
    sentinels: Option<Vec<Endpoint>>,
    /// Of several servers another one comes first each time.
    turn: Cell<usize>,
}

/// What is answered for a server.
struct Target<'a> {
    addr: &'a Endpoint,
    weight: u16,
}

impl Zone {
    /// Nothing is known yet.
    pub(super) fn new(settings: DnsSettings) -> Zone {
        let domain = settings.domain.split('.').map(str::to_owned).collect();
        let (groups, services, nodes) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        Zone { settings, domain, groups, services, nodes, sentinels: None, turn: Cell::new(0) }
    }

    /// Takes in what has changed.
    pub(super) fn update(&mut self, update: Update) {
        match update {
            Update::Group(group_records) => {
                let (names, group) = (&group_records.names, group_records.names.group.clone());
                for role in [Role::Master, Role::Replica] {
                    self.services.insert(names.service_of(role).to_ascii_lowercase(), (group.clone(), role));
                }
                self.nodes.insert(names.node.to_ascii_lowercase(), group.clone());
                let before = self.groups.insert(group, group_records);
                self.forget_sentinels(before.as_deref());
            }
            Update::Gone(group) => {
                self.services.retain(|_, (of, _)| *of != group);
                self.nodes.retain(|_, of| *of != group);
                let before = self.groups.remove(&group);
                self.forget_sentinels(before.as_deref());
            }
        }
    }

    /// The list of all sentinels holds as long as no group's has changed.
    fn forget_sentinels(&mut self, before: Option<&GroupRecords>) {
        let now = before.and_then(|group_records| self.groups.get(&group_records.names.group));
        if now.map(|group_records| &group_records.sentinels)
            != before.map(|group_records| &group_records.sentinels)
            || before.is_none()
        {
            self.sentinels = None;
        }
    }

    /// The answer; `here` is the address at which it was asked.
    pub(super) fn answer(&mut self, question: &Question, here: Option<IpAddr>) -> Reply {
        if question.kind == Kind::Transfer {
            return Reply::only(Code::Refused).because(OTHER, "the zone is not given away as a whole");
        }
        match Subject::of(&question.labels, &self.domain, &self.settings.datacenter) {
            Subject::Outside => {
                let text = format!("only names in {} are answered here", self.settings.domain);
                Reply::only(Code::Refused).because(NOT_AUTHORITATIVE, text)
            }
            Subject::Apex => self.apex(question.kind, here),
            Subject::NameServer => self.name_server(question.kind, here),
            Subject::Between => self.nothing_of_that_kind(),
            Subject::Nothing => self.no_such_name(),
            Subject::Address(ip) => {
                let record = self.record(Owner::Asked, Data::address(ip));
                self.of_kind(question.kind, vec![record])
            }
            Subject::Node(node) => self.node(&node, question.kind),
            Subject::Service { service, tag } if service == SENTINEL_SERVICE => {
                self.sentinel_service(tag.as_deref(), question)
            }
            Subject::Service { service, tag } => self.service(&service, tag.as_deref(), question),
        }
    }

    /// The answer of somebody whose sentinel stands still.
    pub(super) fn out_of_touch(&self, question: &Question, why: String) -> Reply {
        match Subject::of(&question.labels, &self.domain, &self.settings.datacenter) {
            Subject::Service { .. } | Subject::Node(_) => Reply::only(Code::Failed).because(NOT_READY, why),
            _ => self.no_such_name(),
        }
    }

    fn apex(&self, kind: Kind, here: Option<IpAddr>) -> Reply {
        let domain = || Owner::Name(self.settings.domain.clone());
        let ns = Record { owner: domain(), ttl: 0, data: Data::Ns(self.name_server_name()) };
        let answers = match kind {
            Kind::Soa => vec![self.soa()],
            Kind::Ns => vec![ns],
            Kind::Any => vec![self.soa(), ns],
            _ => return self.nothing_of_that_kind(),
        };
        let owner = Owner::Name(self.name_server_name());
        let additional = here.map(|ip| Record { owner, ttl: 0, data: Data::address(ip) });
        Reply { answers, additional: additional.into_iter().collect(), ..Reply::default() }
    }

    fn name_server(&self, kind: Kind, here: Option<IpAddr>) -> Reply {
        let record = here.map(|ip| Record { owner: Owner::Asked, ttl: 0, data: Data::address(ip) });
        self.of_kind(kind, record.into_iter().collect())
    }

    fn name_server_name(&self) -> String {
        format!("ns.{}", self.settings.domain)
    }

    fn node(&self, node: &str, kind: Kind) -> Reply {
        let Some(group_records) = self.nodes.get(node).and_then(|group| self.groups.get(group)) else {
            return self.no_such_name();
        };
        let Some(master) = group_records.master() else { return self.no_such_name() };
        self.if_answerable(group_records, || {
            let record = |data| self.record(Owner::Asked, data);
            let address = record(host_data(&master.addr.host));
            let texts: Vec<Record> = texts(group_records).map(|text| record(Data::Txt(text))).collect();
            let mut reply = match kind {
                Kind::Txt => return Reply { answers: texts, ..Reply::default() },
                Kind::Any => {
                    let answers = [address].into_iter().chain(texts).collect();
                    return Reply { answers, ..Reply::default() };
                }
                // It has texts as well, and is no alias that stands for everything.
                Kind::A | Kind::Aaaa | Kind::Cname => self.of_kind(kind, vec![address]),
                _ => return self.nothing_of_that_kind(),
            };
            if matches!(kind, Kind::A | Kind::Aaaa) {
                reply.additional = texts;
            }
            reply
        })
    }

    fn service(&self, service: &str, tag: Option<&str>, question: &Question) -> Reply {
        let found =
            self.services.get(service).and_then(|(group, role)| Some((self.groups.get(group)?, *role)));
        let Some((group_records, role)) =
            found.filter(|(group_records, role)| tag.is_none_or(|tag| has_tag(group_records, *role, tag)))
        else {
            return self.no_such_name();
        };
        self.if_answerable(group_records, || {
            let targets = group_records
                .usable(role)
                .map(|entry| Target { addr: &entry.addr, weight: weight(group_records, entry) });
            let targets: Vec<_> = targets.collect();
            if targets.is_empty() {
                return self.nobody(group_records, role);
            }
            match question.kind {
                Kind::Txt => {
                    let texts = texts(group_records).map(|text| self.record(Owner::Asked, Data::Txt(text)));
                    Reply { answers: texts.collect(), ..Reply::default() }
                }
                _ => self.servers(targets, Some(group_records), question),
            }
        })
    }

    /// Sentinels are found whatever becomes of the masters.
    fn sentinel_service(&mut self, tag: Option<&str>, question: &Question) -> Reply {
        let sentinels = match tag {
            None => self.all_sentinels().clone(),
            Some(tag) => {
                let groups = self.groups.values().map(Arc::as_ref);
                let of_group = groups
                    .filter(|group_records| group_records.names.group.as_str().eq_ignore_ascii_case(tag));
                addresses(of_group)
            }
        };
        if sentinels.is_empty() {
            return self.no_such_name();
        }
        self.servers(sentinels.iter().map(|addr| Target { addr, weight: 1 }).collect(), None, question)
    }

    fn all_sentinels(&mut self) -> &Vec<Endpoint> {
        let groups = &self.groups;
        self.sentinels.get_or_insert_with(|| addresses(groups.values().map(Arc::as_ref)))
    }

    /// What is answered for servers that may be used.
    fn servers(
        &self,
        mut targets: Vec<Target<'_>>,
        group_records: Option<&GroupRecords>,
        question: &Question,
    ) -> Reply {
        let turn = self.turn.replace(self.turn.get().wrapping_add(1));
        let first = turn % targets.len();
        targets.rotate_left(first);
        if question.kind == Kind::Srv {
            return self.hosts_and_ports(&targets, group_records, &question.tail(self.domain.len()));
        }
        let mut records: Vec<Record> = Vec::new();
        for target in &targets {
            let record = self.record(Owner::Asked, host_data(&target.addr.host));
            if !records.contains(&record) {
                records.push(record);
            }
        }
        self.of_kind(question.kind, records)
    }

    /// Names in our domain have its letters as they were asked, as Consul does it since 1.11.
    fn hosts_and_ports(
        &self,
        targets: &[Target<'_>],
        group_records: Option<&GroupRecords>,
        domain: &str,
    ) -> Reply {
        let mut reply = Reply::default();
        for Target { addr, weight } in targets {
            let target = self.target(&addr.host, domain);
            if let Some(ip) = addr.host.ip() {
                let record = self.record(Owner::Name(target.clone()), Data::address(ip));
                if !reply.additional.contains(&record) {
                    reply.additional.push(record);
                }
            }
            let data = Data::Srv { weight: *weight, port: addr.port, target };
            reply.answers.push(self.record(Owner::Asked, data));
        }
        if let Some(group_records) = group_records {
            let node = format!("{}.node.{}.{domain}", group_records.names.node, self.settings.datacenter);
            let text = |text| self.record(Owner::Name(node.clone()), Data::Txt(text));
            reply.additional.extend(texts(group_records).map(text));
        }
        reply
    }

    /// Of these records those of that kind. An alias stands for whatever the name has that it stands for.
    fn of_kind(&self, kind: Kind, records: Vec<Record>) -> Reply {
        let wanted = |record: &&Record| match record.data {
            Data::A(_) => matches!(kind, Kind::A | Kind::Any),
            Data::Aaaa(_) => matches!(kind, Kind::Aaaa | Kind::Any),
            _ => false,
        };
        let mut answers: Vec<Record> = records.iter().filter(wanted).cloned().collect();
        if answers.is_empty() {
            answers.extend(records.into_iter().find(|record| matches!(record.data, Data::Cname(_))));
        }
        match answers.is_empty() {
            true => self.nothing_of_that_kind(),
            false => Reply { answers, ..Reply::default() },
        }
    }

    /// What may be said of a group, with the reason when that is not all.
    fn if_answerable(&self, group_records: &GroupRecords, answer: impl FnOnce() -> Reply) -> Reply {
        match &group_records.answerability {
            Answerability::Good => answer(),
            Answerability::Stale(why) => {
                let mut reply = answer().because(STALE_ANSWER, why);
                reply.answers.iter_mut().chain(&mut reply.additional).for_each(|record| record.ttl = 0);
                reply
            }
            Answerability::Silent(why) => Reply::only(Code::Failed).because(NO_REACHABLE_AUTHORITY, why),
            Answerability::Unready(why) => Reply::only(Code::Failed).because(NOT_READY, why),
        }
    }

    /// A service without a server that may be used: as for Consul there is no such name then.
    fn nobody(&self, group_records: &GroupRecords, role: Role) -> Reply {
        let why = match role {
            Role::Master => group_records
                .silence()
                .map(|why| format!("the master of {} is {why}", group_records.names.group)),
            Role::Replica => Some(format!("{} has no replica that could be used", group_records.names.group)),
        };
        match why {
            Some(why) => self.no_such_name().because(OTHER, why),
            None => self.no_such_name(),
        }
    }

    fn no_such_name(&self) -> Reply {
        Reply { code: Code::NoSuchName, authority: vec![self.soa()], ..Reply::default() }
    }

    fn nothing_of_that_kind(&self) -> Reply {
        Reply { authority: vec![self.soa()], ..Reply::default() }
    }

    /// That something is not there may never be kept: it may be there a millisecond later.
    fn soa(&self) -> Record {
        let domain = self.settings.domain.clone();
        Record { owner: Owner::Name(domain.clone()), ttl: 0, data: Data::Soa(domain) }
    }

    fn record(&self, owner: Owner, data: Data) -> Record {
        Record { owner, ttl: self.settings.ttl, data }
    }

    /// The name of a host in an SRV record.
    fn target(&self, host: &Host, domain: &str) -> String {
        let digits = match host {
            Host::Name(name) => return name.trim_end_matches('.').to_owned(),
            Host::Ip(ip) => match ip.to_canonical() {
                IpAddr::V4(ip) => format!("{:08x}", ip.to_bits()),
                IpAddr::V6(ip) => format!("{:032x}", ip.to_bits()),
            },
        };
        format!("{digits}.addr.{}.{domain}", self.settings.datacenter)
    }
}

fn host_data(host: &Host) -> Data {
    match host {
        Host::Ip(ip) => Data::address(*ip),
        Host::Name(name) => Data::Cname(name.trim_end_matches('.').to_owned()),
    }
}

/// Where these groups' sentinels are, each once.
fn addresses<'a>(groups: impl Iterator<Item = &'a GroupRecords>) -> Vec<Endpoint> {
    let all = groups.flat_map(|group_records| &group_records.sentinels).map(|(_, addr)| addr.clone());
    all.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The meta of a group's external node.
fn texts(group_records: &GroupRecords) -> impl Iterator<Item = String> {
    let (epoch, group) = (group_records.epoch, &group_records.names.group);
    let known = ["external-node=true".to_owned(), "external-probe=false".to_owned()];
    known.into_iter().chain([format!("epoch={epoch}"), format!("master={group}")])
}

fn has_tag(group_records: &GroupRecords, role: Role, tag: &str) -> bool {
    let tags = group_records.names.tags.iter().map(String::as_str);
    let mut tags = tags.chain([group_records.names.group.as_str(), role.name()]);
    tags.any(|known| known.eq_ignore_ascii_case(tag))
}

fn weight(group_records: &GroupRecords, entry: &Entry) -> u16 {
    let weights = group_records.names.weights;
    match (entry.role, entry.health) {
        (Role::Master, _) => 1,
        (Role::Replica, Health::Passing) => weights.passing,
        (Role::Replica, _) => weights.warning,
    }
}

#[cfg(test)]
mod tests;
