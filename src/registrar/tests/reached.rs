//! How Consul is reached: sockets, certificates, tokens.

use super::*;
use consentinel_lab::{Certificates, ConsulOptions};

#[test]
fn a_unix_socket_will_do() {
    let folder = Folder::new();
    let consul = Consul::start_new(&folder, &ConsulOptions { unix_socket: true, ..Default::default() });
    let mut bench = Bench::at(&consul.unix_address());
    bench.look();
    bench.written(claim(Fence(0), 1, 7001, None));
    assert_eq!(consul.ports_of("redis"), [7001].into());
}

#[test]
fn with_certificates_both_sides_know_each_other() {
    let folder = Folder::new();
    let certificates = Certificates::new(&folder);
    let options = ConsulOptions { certificates: Some(certificates.clone()), ..Default::default() };
    let consul = Consul::start_new(&folder, &options);
    let fault = |change: &dyn Fn(&mut ConsulSettings)| {
        let mut bench = Bench::with(&consul.https_address(), |settings| change(settings));
        bench.ask(RegistryRequest::Look { tries: 0 });
        match bench.next() {
            RegistryEvent::Seen(_) => None,
            RegistryEvent::Failed(error) => Some(error),
            other => panic!("{other:?}"),
        }
    };
    let identity = |settings: &mut ConsulSettings| {
        settings.tls.client_cert = Some(certificates.client_cert());
        settings.tls.client_key = Some(certificates.client_key());
    };
    let everything = |settings: &mut ConsulSettings| {
        identity(settings);
        settings.tls.ca_cert = Some(certificates.ca());
    };
    assert_eq!(fault(&everything), None);
    let stranger = fault(&identity).expect("nobody vouches for the agent");
    assert_eq!(stranger.kind, RegistryFault::Unreachable);
    assert!(stranger.text.contains("ertificate"), "{}", stranger.text);
    assert!(fault(&|settings| settings.tls.ca_cert = Some(certificates.ca())).is_some());
    let unchecked = |settings: &mut ConsulSettings| {
        identity(settings);
        settings.tls.verify = false;
    };
    assert_eq!(fault(&unchecked), None);
    let named = |name: &'static str| {
        move |settings: &mut ConsulSettings| {
            everything(settings);
            settings.tls.server_name = Some(name.into());
        }
    };
    assert_eq!(fault(&named("server.dc1.consul")), None);
    assert!(fault(&named("somebody.else")).is_some());
    let folder_of_authorities = |settings: &mut ConsulSettings| {
        identity(settings);
        let only = folder.sub("authorities");
        std::fs::copy(certificates.ca(), only.join("ca.pem")).expect("the folder is ours");
        settings.tls.ca_path = Some(only);
    };
    assert_eq!(fault(&folder_of_authorities), None);
    let missing = fault(&|settings| settings.tls.ca_cert = Some("/no/such/file".into())).expect("it is told");
    assert!(missing.text.contains("/no/such/file"), "{}", missing.text);
}

#[test]
fn rights_that_are_missing_are_named_and_a_token_that_was_replaced_is_read_again() {
    let folder = Folder::new();
    let consul = Consul::start_new(&folder, &ConsulOptions { acl: true, ..Default::default() });
    let few = consul.token_with("few", r#"key_prefix "consentinel/" { policy = "write" }"#);
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{few}\n")).expect("the folder is ours");
    let mut bench = Bench::with(&consul.address(), |settings| settings.token_file = Some(file.clone()));
    bench.look();
    let RegistryEvent::Failed(error) = bench.write(claim(Fence(0), 1, 7001, None)) else {
        panic!("it was allowed")
    };
    assert_eq!(error.kind, RegistryFault::Denied);
    assert!(!error.text.contains(&few), "{}", error.text);
    let rules =
        r#"node "consentinel-mymaster" { policy = "write" } service_prefix "redis" { policy = "write" }"#;
    assert!(error.text.ends_with(rules), "{}", error.text);

    // What it says is what helps.
    let enough = format!("key_prefix \"consentinel/\" {{ policy = \"write\" }} {rules}");
    let enough = consul.token_with("enough", &enough);
    std::fs::write(&file, &enough).expect("the folder is ours");
    bench.written(claim(Fence(0), 1, 7001, None));
    bench.stays_silent();
    assert_eq!(bench.look().entries, [entry(Role::Master, 1, 7001)]);
    bench.ask(RegistryRequest::Lock);
    let error = bench.failed();
    assert_eq!(error.kind, RegistryFault::Denied);
    assert!(error.text.ends_with(r#"session_prefix "" { policy = "write" }"#), "{}", error.text);
}

#[test]
fn rights_by_the_names_of_our_services_are_enough_to_see_them() {
    let folder = Folder::new();
    let consul = Consul::start_new(&folder, &ConsulOptions { acl: true, ..Default::default() });
    let by_name = r#"key_prefix "consentinel/" { policy = "write" } node_prefix "consentinel-" { policy = "write" }
        service "redis" { policy = "write" } service "redis-replica" { policy = "write" }"#;
    let token = consul.token_with("by-name", by_name);
    let mut bench =
        Bench::with(&consul.address(), |settings| settings.set("token", &[&token]).expect("a token"));
    bench.look();
    bench.written(claim(Fence(0), 1, 7001, None));
    assert_eq!(bench.look().entries, [entry(Role::Master, 1, 7001)]);
}

#[test]
fn an_unknown_token_is_told_as_such() {
    let folder = Folder::new();
    let consul = Consul::start_new(&folder, &ConsulOptions { acl: true, ..Default::default() });
    let mut bench = Bench::with(&consul.address(), |settings| {
        settings.set("token", &["00000000-1111-2222-3333-444444444444"]).expect("a token");
    });
    bench.ask(RegistryRequest::Look { tries: 0 });
    let error = bench.failed();
    assert!(error.kind == RegistryFault::Denied && error.text.ends_with("check the token"), "{}", error.text);
}

#[test]
fn a_token_and_certificates_that_come_late_or_change_are_read_again() {
    let folder = Folder::new();
    let certificates = Certificates::new(&folder);
    let options = ConsulOptions { certificates: Some(certificates.clone()), ..Default::default() };
    let consul = Consul::start_new(&folder, &options);
    let [cert, key, token] = ["cert.pem", "key.pem", "token"].map(|name| folder.path().join(name));
    let mut bench = Bench::with(&consul.https_address(), |settings| {
        settings.tls.ca_cert = Some(certificates.ca());
        (settings.tls.client_cert, settings.tls.client_key) = (Some(cert.clone()), Some(key.clone()));
        settings.token_file = Some(token.clone());
    });
    bench.ask(RegistryRequest::Look { tries: 0 });
    let error = bench.failed();
    assert!(error.text.contains("cert.pem"), "{}", error.text);

    let put_there = || {
        std::fs::copy(certificates.client_cert(), &cert).expect("the folder is ours");
        std::fs::copy(certificates.client_key(), &key).expect("the folder is ours");
    };
    put_there();
    std::fs::write(&token, "").expect("the folder is ours");
    eventually("what came late is read", PATIENCE, || {
        bench.ask(RegistryRequest::Look { tries: 1 });
        matches!(bench.next(), RegistryEvent::Seen(_)).then_some(())
    });
    certificates.renew_client();
    put_there();
    bench.written(claim(Fence(0), 1, 7001, None));
}

#[test]
fn another_datacenter_than_the_agents_can_be_published_into() {
    let folder = Folder::new();
    let start = |datacenter: &str, more| {
        let options = ConsulOptions { datacenter: datacenter.into(), more, ..Default::default() };
        Consul::start_new(&folder, &options)
    };
    let here = start("dc1", serde_json::json!({}));
    let join = serde_json::json!({ "retry_join_wan": [here.wan_address()], "retry_interval_wan": "1s" });
    let there = start("dc2", join);
    let mut bench = Bench::with(&here.address(), |settings| settings.datacenter = Some("dc2".into()));
    eventually("dc1 reaches dc2", Duration::from_secs(30), || {
        bench.ask(RegistryRequest::Look { tries: 1 });
        matches!(bench.next(), RegistryEvent::Seen(_)).then_some(())
    });
    bench.written(claim(Fence(0), 1, 7001, None));
    assert_eq!((there.ports_of("redis"), here.ports_of("redis")), ([7001].into(), [].into()));
    bench.ask(RegistryRequest::Lock);
    bench.sees(Lock::Ours);
    there.deregister("consentinel-mymaster", None);
    bench.sees(Lock::Free);
}
