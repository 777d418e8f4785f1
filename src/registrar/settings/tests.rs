use super::*;

fn from(variables: &[(&str, &str)]) -> Result<ConsulSettings, SettingError> {
    let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).into());
    let mut settings = ConsulSettings::from_environment(find)?;
    settings.settle()?;
    Ok(settings)
}

#[test]
fn the_environment_is_read_as_every_consul_tool_reads_it() {
    let settings = from(&[
        ("CONSUL_HTTP_ADDR", "consul.example:8501"),
        ("CONSUL_HTTP_SSL", "true"),
        ("CONSUL_HTTP_TOKEN", "hidden"),
        ("CONSUL_HTTP_TOKEN_FILE", "/run/token"),
        ("CONSUL_CACERT", "/etc/ca.pem"),
        ("CONSUL_TLS_SERVER_NAME", "server.dc1.consul"),
        ("CONSUL_HTTP_SSL_VERIFY", "0"),
        ("CONSUL_DATACENTER", "dc2"),
        ("CONSUL_NAMESPACE", ""),
    ])
    .expect("good");
    assert_eq!(settings.address.to_string(), "https://consul.example:8501");
    assert_eq!(settings.token_file, Some("/run/token".into()));
    assert_eq!(settings.tls.ca_cert, Some("/etc/ca.pem".into()));
    assert_eq!(settings.tls.server_name.as_deref(), Some("server.dc1.consul"));
    assert!(!settings.tls.verify);
    assert_eq!((settings.datacenter.as_deref(), settings.namespace), (Some("dc2"), None));
    let shown = format!("{:?}", settings.token);
    assert!(!shown.contains("hidden"), "{shown}");
}

#[test]
fn a_bad_variable_is_named() {
    let error = from(&[("CONSUL_HTTP_ADDR", "ftp://x")]).expect_err("refused");
    assert!(error.what.starts_with("CONSUL_HTTP_ADDR in the environment: 'ftp'"), "{}", error.what);
}

#[test]
fn a_scheme_counts_more_than_the_variable_for_tls() {
    let settings = from(&[("CONSUL_HTTP_ADDR", "http://x:1"), ("CONSUL_HTTP_SSL", "1")]).expect("good");
    assert_eq!(settings.address.to_string(), "http://x:1");
}

#[test]
fn a_token_that_is_said_later_overrules_a_file() {
    let mut settings = from(&[("CONSUL_HTTP_TOKEN_FILE", "/run/token")]).expect("good");
    settings.set("token", &["other"]).expect("good");
    assert_eq!((settings.token, settings.token_file), (Some(Secret::new("other")), None));
}

#[test]
fn settings_with_several_values_count_them() {
    let mut settings = ConsulSettings::default();
    settings.set("tags", &["blue", "eu"]).expect("good");
    settings.set("weights", &["100", "5"]).expect("good");
    assert_eq!(settings.tags, ["blue", "eu"]);
    assert_eq!(settings.weights, Weighting { passing: 100, warning: 5 });
    for (key, values) in [
        ("weights", &["1"][..]),
        ("weights", &["1", "0"]),
        ("tags", &["a b"]),
        ("address", &["a", "b"]),
        ("kv-prefix", &["a//b"]),
        ("kv-prefix", &[".."]),
        ("node-template", &["redis-{master}"]),
        ("node-template", &["consentinel-eu"]),
        ("node-template", &["consentinel-{master}/a"]),
        ("max-lag", &["-1"]),
        ("what", &["x"]),
    ] {
        assert!(settings.set(key, values).is_err(), "{key} {values:?}");
    }
}

#[test]
fn a_certificate_without_its_key_is_refused_and_so_is_an_address_as_a_name() {
    assert!(from(&[("CONSUL_TLS_SERVER_NAME", "10.0.0.1")]).is_err());
    assert!(from(&[("CONSUL_CLIENT_CERT", "/c.pem")]).is_err());
}
