//! From what the user says to the names that are asked for.

use crate::BuildError;

/// What Consul calls its services, in parts: `tag.redis.service.dc1.consul`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceName {
    tag: Option<String>,
    service: String,
    datacenter: Option<String>,
    domain: String,
    /// `_redis._tcp`: the tag is the second label then.
    rfc: bool,
}

/// A name as it was given, and what it became by the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// One of Consul's services.
    Service(ServiceName),
    /// Any other, asked for as it is.
    Other(String),
}

/// What the builder was told beside the name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub tag: Option<String>,
    pub datacenter: Option<String>,
    pub domain: Option<String>,
}

/// What Consul's HTTP API is asked for.
#[cfg(feature = "consul-http")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServiceParts<'a> {
    pub tag: Option<&'a str>,
    pub service: &'a str,
    pub datacenter: Option<&'a str>,
    pub domain: &'a str,
}

const DOMAIN: &str = "consul";
const SERVICE: &str = "service";
const LABEL: usize = 63;
const WHOLE: usize = 253;

impl Name {
    /// The name, with the settings put in.
    pub(crate) fn parse(given: &str, parts: &Parts) -> Result<Name, BuildError> {
        let text = check(given)?;
        for part in [&parts.tag, &parts.datacenter, &parts.domain].into_iter().flatten() {
            check(part)?;
        }
        let domain = parts.domain.as_deref().map(|domain| domain.trim_end_matches('.').to_ascii_lowercase());
        let name = match split(&text, domain.as_deref()) {
            Some(name) => name,
            None => return other(text, parts),
        };
        let name = Name::Service(name.with(parts, &text)?);
        check(&name.text())?;
        Ok(name)
    }

    /// As it is asked for, without the last dot.
    pub(crate) fn text(&self) -> String {
        match self {
            Name::Other(name) => name.clone(),
            Name::Service(name) => name.text(),
        }
    }

    /// Where the replicas are, if that can be told. A tag stays, but for `master`, which none of them has.
    pub(crate) fn replicas(&self) -> Option<String> {
        let Name::Service(name) = self else { return None };
        let tag = name.tag.clone().filter(|tag| tag != "master");
        Some(ServiceName { tag, service: format!("{}-replica", name.service), ..name.clone() }.text())
    }

    /// Where the sentinels are, if that can be told.
    pub(crate) fn sentinels(&self) -> Option<String> {
        let Name::Service(name) = self else { return None };
        let service = "redis-sentinel".to_owned();
        Some(ServiceName { tag: None, service, rfc: false, ..name.clone() }.text())
    }

    /// What a Consul service is called, in parts.
    #[cfg(feature = "consul-http")]
    pub(crate) fn parts(&self) -> Option<ServiceParts<'_>> {
        let Name::Service(ServiceName { tag, service, datacenter, domain, .. }) = self else { return None };
        Some(ServiceParts { tag: tag.as_deref(), service, datacenter: datacenter.as_deref(), domain })
    }

    /// Whether a name is of the domain that the name servers are in charge of.
    pub(crate) fn is_in_domain(&self, name: &str) -> bool {
        match self {
            Name::Other(_) => false,
            Name::Service(own) => {
                name.strip_suffix(&own.domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        }
    }
}

impl ServiceName {
    fn with(mut self, parts: &Parts, given: &str) -> Result<ServiceName, BuildError> {
        let conflict = |setting: &str, value: &str, has: &str| BuildError::Conflict {
            setting: format!("the {setting} {value:?}"),
            name: given.to_owned(),
            reason: format!("it names the {setting} {has:?} already"),
        };
        if let Some(tag) = parts.tag.as_deref().map(str::to_ascii_lowercase) {
            match &self.tag {
                Some(has) if *has != tag => return Err(conflict("tag", &tag, has)),
                _ => self.tag = Some(tag),
            }
        }
        if let Some(datacenter) = parts.datacenter.as_deref().map(str::to_ascii_lowercase) {
            match &self.datacenter {
                Some(has) if *has != datacenter => return Err(conflict("datacenter", &datacenter, has)),
                _ => self.datacenter = Some(datacenter),
            }
        }
        Ok(self)
    }

    fn text(&self) -> String {
        let service = match (&self.tag, self.rfc) {
            (tag, true) => format!("_{}._{}", self.service, tag.as_deref().unwrap_or("tcp")),
            (Some(tag), false) => format!("{tag}.{}", self.service),
            (None, false) => self.service.clone(),
        };
        match &self.datacenter {
            Some(datacenter) => format!("{service}.{SERVICE}.{datacenter}.{}", self.domain),
            None => format!("{service}.{SERVICE}.{}", self.domain),
        }
    }
}

/// A service's name, or nothing where it is none.
fn split(text: &str, domain: Option<&str>) -> Option<ServiceName> {
    let Some((front, rest)) = text.split_once(".service.") else {
        let bare = !text.contains('.');
        let domain = domain.unwrap_or(DOMAIN).to_owned();
        return bare.then(|| ServiceName {
            tag: None,
            service: text.to_owned(),
            datacenter: None,
            domain,
            rfc: false,
        });
    };
    let (datacenter, domain) = split_domain(rest, domain)?;
    let (tag, service, rfc) = match front.split_once('.') {
        None => (None, front, false),
        Some((service, protocol)) if service.starts_with('_') => {
            let tag = protocol.strip_prefix('_')?;
            (Some(tag).filter(|tag| *tag != "tcp"), service.strip_prefix('_')?, true)
        }
        Some(_) => {
            let (tag, service) = front.rsplit_once('.')?;
            (Some(tag), service, false)
        }
    };
    let (tag, service) = (tag.map(str::to_owned), service.to_owned());
    Some(ServiceName { tag, service, datacenter, domain, rfc })
}

/// What comes behind `service.`: a domain, or a datacenter and a domain.
fn split_domain(rest: &str, domain: Option<&str>) -> Option<(Option<String>, String)> {
    let known = domain.unwrap_or(DOMAIN);
    if rest == known {
        return Some((None, known.to_owned()));
    }
    match rest.strip_suffix(known).and_then(|front| front.strip_suffix('.')) {
        Some(datacenter) if !datacenter.contains('.') => {
            Some((Some(datacenter.to_owned()), known.to_owned()))
        }
        // Another domain than Consul's own, and nobody has said which part of it is a datacenter.
        _ if domain.is_none() => Some((None, rest.to_owned())),
        _ => None,
    }
}

fn other(text: String, parts: &Parts) -> Result<Name, BuildError> {
    let settings = [("tag", &parts.tag), ("datacenter", &parts.datacenter), ("domain", &parts.domain)];
    for (setting, value) in settings {
        if let Some(value) = value {
            return Err(BuildError::Conflict {
                setting: format!("the {setting} {value:?}"),
                name: text,
                reason: "it is no name of a Consul service, as redis.service.consul is".into(),
            });
        }
    }
    Ok(Name::Other(text))
}

/// Lower case, without the last dot; or why it is no name.
pub(crate) fn check(given: &str) -> Result<String, BuildError> {
    let wrong = |reason: String| BuildError::Name { name: given.to_owned(), reason };
    let text = given.strip_suffix('.').unwrap_or(given).to_ascii_lowercase();
    if text.is_empty() {
        return Err(wrong("it is empty".into()));
    }
    if text.len() > WHOLE {
        return Err(wrong(format!("it has {} characters, and {WHOLE} are the limit", text.len())));
    }
    for label in text.split('.') {
        if label.is_empty() {
            return Err(wrong("nothing stands between two dots".into()));
        }
        if label.len() > LABEL {
            return Err(wrong(format!("{label:?} has more than {LABEL} characters")));
        }
        if let Some(odd) = label.chars().find(|it| !it.is_ascii_alphanumeric() && !"-_".contains(*it)) {
            return Err(wrong(format!("{odd:?} in {label:?}: letters, digits, '-' and '_' may stand there")));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(given: &str, tag: &str, datacenter: &str, domain: &str) -> Result<Name, BuildError> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Name::parse(given, &Parts { tag: some(tag), datacenter: some(datacenter), domain: some(domain) })
    }

    fn text(given: &str, tag: &str, datacenter: &str, domain: &str) -> String {
        name(given, tag, datacenter, domain).expect("it is a name").text()
    }

    #[test]
    fn a_service_takes_tag_datacenter_and_domain() {
        assert_eq!(text("redis", "", "", ""), "redis.service.consul");
        assert_eq!(text("Redis.Service.Consul.", "", "", ""), "redis.service.consul");
        let whole = "mymaster.redis.service.dc1.consul";
        assert_eq!(text("redis.service.consul", "mymaster", "dc1", ""), whole);
        assert_eq!(text("redis", "mymaster", "dc1", "consul"), whole);
        assert_eq!(text(whole, "mymaster", "dc1", ""), whole);
        assert_eq!(text("redis", "", "", "example.org"), "redis.service.example.org");
        assert_eq!(text("redis.service.example.org", "a", "", ""), "a.redis.service.example.org");
        assert_eq!(
            text("redis.service.dc2.example.org", "", "dc2", "example.org"),
            "redis.service.dc2.example.org"
        );
        assert_eq!(text("_redis._tcp.service.consul", "", "dc1", ""), "_redis._tcp.service.dc1.consul");
        assert_eq!(text("_redis._tcp.service.consul", "a", "", ""), "_redis._a.service.consul");
    }

    #[test]
    fn what_contradicts_the_name_is_refused() {
        for (given, tag, datacenter) in [
            ("a.redis.service.consul", "b", ""),
            ("redis.service.dc1.consul", "", "dc2"),
            ("cache.lan", "a", ""),
        ] {
            let error = name(given, tag, datacenter, "").expect_err("they contradict each other");
            assert!(matches!(error, BuildError::Conflict { .. }), "{error}");
        }
        let error = name("redis.service.consul", "", "", "other").expect_err("another domain");
        assert!(error.to_string().contains("other"), "{error}");
    }

    #[test]
    fn what_dns_cannot_ask_is_refused() {
        let long = "a".repeat(64);
        let whole = format!("{}consul", "abcdefghi.".repeat(25));
        for given in ["", ".", "a..b", "red is", "rédis", &long, &whole] {
            let error = name(given, "", "", "").expect_err("it is no name");
            assert!(matches!(error, BuildError::Name { .. }), "{error}");
        }
        assert!(name("redis", "a b", "", "").is_err());
    }

    #[test]
    fn the_others_are_found_beside_the_master() {
        let own = name("master.redis.service.dc1.consul", "", "", "").expect("it is a name");
        assert_eq!(own.replicas().as_deref(), Some("redis-replica.service.dc1.consul"));
        assert_eq!(own.sentinels().as_deref(), Some("redis-sentinel.service.dc1.consul"));
        let own = name("redis", "mymaster", "", "").expect("it is a name");
        assert_eq!(own.replicas().as_deref(), Some("mymaster.redis-replica.service.consul"));
        assert_eq!(name("cache.lan", "", "", "").expect("it is a name").replicas(), None);
    }

    #[test]
    fn the_domain_ends_at_a_dot() {
        let own = name("redis", "", "", "").expect("it is a name");
        assert!(own.is_in_domain("7f000001.addr.dc1.consul"));
        assert!(!own.is_in_domain("notconsul"));
        assert!(!own.is_in_domain("redis-1.example"));
    }
}
