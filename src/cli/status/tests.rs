use super::*;
use crate::status::{Master, Picture, Server};

fn status(line: &str) -> Result<Status, clap::Error> {
    Status::try_parse_from(["status"].into_iter().chain(line.split_whitespace()))
}

fn reach(line: &str) -> Result<Reach, String> {
    status(line).expect("a good command line").way.reach()
}

/// What was found out of one master.
fn gathered(address: &str, problems: &[&str]) -> Gathered {
    let server = Server { address: address.into(), state: "master".into(), ..Server::default() };
    let master = Master {
        name: "shop".into(),
        address: address.into(),
        usable_sentinels: 3,
        all_sentinels: 3,
        server,
        ..Master::default()
    };
    Gathered {
        at: "127.0.0.1:26379".into(),
        kind: gather::Kind::Consentinel,
        picture: Picture { masters: vec![master], ..Picture::default() },
        history: Vec::new(),
        others: Vec::new(),
        problems: problems.iter().map(|problem| problem.to_string()).collect(),
    }
}

#[test]
fn without_a_word_it_is_the_sentinel_of_this_machine() {
    let reach = reach("").expect("nothing can be wrong");
    assert_eq!((reach.at.as_str(), reach.tls.is_none()), ("127.0.0.1:26379", true));
}

#[test]
fn watching_may_be_said_with_or_without_a_period() {
    assert_eq!(status("--watch").expect("good").watch, Some(Duration::from_secs(1)));
    assert_eq!(status("--watch 0.5 shop").expect("good").watch, Some(Duration::from_millis(500)));
    assert_eq!(status("shop").expect("good").watch, None);
    for wrong in ["--watch 0", "--watch soon", "--watch -1", "--watch nan"] {
        assert!(status(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_is_missing_for_a_login_or_for_tls_is_said() {
    let error = reach("--tls").expect_err("nobody to believe");
    assert!(error.contains("--cacert"), "{error}");
    assert!(status("--cert /c.pem").is_err(), "a certificate needs its key");
    let tls = reach("--cacert /ca.pem").expect("good").tls.expect("it means TLS");
    assert_eq!(tls.ca_cert_file.as_deref(), Some(Path::new("/ca.pem")));
    let error = reach("--password-file /nowhere/to/be/found").expect_err("no such file");
    assert!(error.contains("/nowhere/to/be/found"), "{error}");
}

#[test]
fn in_a_pipe_only_what_has_changed_is_said_again() {
    let mut known = BTreeMap::new();
    let first = changes(Ok(&gathered("10.0.0.1:6379", &[])), &mut known);
    assert!(
        first.ends_with(" shop 10.0.0.1:6379 epoch 0, up, 0 of 0 replicas, 3 of 3 sentinels\n"),
        "{first}"
    );
    assert_eq!(changes(Ok(&gathered("10.0.0.1:6379", &[])), &mut known), "");
    let other = changes(Ok(&gathered("10.0.0.2:6379", &["shop: wrong", "shopping: not ours"])), &mut known);
    assert!(other.contains("10.0.0.2:6379") && other.ends_with(", 1 problem\n"), "{other}");
    let lost = "the sentinel does not answer".to_owned();
    assert!(changes(Err(&lost), &mut known).ends_with(" the sentinel does not answer\n"));
    assert_eq!(changes(Err(&lost), &mut known), "");
    assert!(changes(Ok(&gathered("10.0.0.2:6379", &[])), &mut known).contains(" shop "), "it is back");
}
