use super::*;
use crate::acl::{Denied, check_declaration};
use crate::catalogue::catalogue;
use consentinel_core::{Secret, Time};
use std::time::Duration;

fn acl() -> Acl {
    Acl::new(&Settings::default()).expect("nothing is wrong with the defaults")
}

fn set(acl: &mut Acl, rules: &str) -> Result<UserId, String> {
    let words: Vec<_> = rules.split(' ').map(str::as_bytes).collect();
    acl.set_user(words[0], &words[1..]).map_err(|error| String::from_utf8_lossy(&error).into_owned())
}

fn described(rules: &str) -> String {
    let mut acl = acl();
    let id = set(&mut acl, rules).expect("the rules are right");
    String::from_utf8(acl.user(id).expect("just made").describe()).expect("ASCII")
}

fn may(acl: &Acl, id: UserId, words: &str) -> Result<(), Denied> {
    let words: Vec<_> = words.split(' ').collect();
    let command = catalogue()
        .command(words[0])
        .and_then(|command| catalogue().narrowed(command, words.get(1).copied()))
        .expect("a command");
    acl.user(id).expect("a user").check(command, &words)
}

#[test]
fn the_default_user_may_do_everything_without_a_password() {
    let acl = acl();
    assert!(acl.is_open());
    assert_eq!(acl.log_in(b"default", b"anything"), Some(DEFAULT));
    assert_eq!(acl.user(DEFAULT).map(User::describe).as_deref(), Some(&b"on nopass ~* &* +@all"[..]));
}

#[test]
fn requirepass_is_the_password_of_the_default_user() {
    let settings = Settings { requirepass: Some(Secret::new("sesame")), ..Settings::default() };
    let acl = Acl::new(&settings).expect("nothing is wrong");
    assert!(!acl.is_open());
    assert_eq!(acl.log_in(b"default", b"sesame"), Some(DEFAULT));
    assert_eq!(acl.log_in(b"default", b"open"), None);
    assert_eq!(acl.log_in(b"nobody", b"sesame"), None);
}

#[test]
fn users_are_described_as_the_original_describes_them() {
    for (rules, expected) in [
        ("a", "off resetchannels -@all"),
        ("a on nopass +@all", "on nopass resetchannels +@all"),
        ("a ~a %R~b %W~c %RW~d &x &y", "off ~a %R~b %W~c ~d resetchannels &x &y -@all"),
        ("a reset", "off sanitize-payload resetchannels -@all"),
        ("a +@all -client|kill", "off resetchannels +@all -client|kill"),
        ("a +sentinel|masters +ping", "off resetchannels -@all +ping +sentinel|masters"),
        ("a +ping|x +ping|y", "off resetchannels -@all +ping|x +ping|y"),
        ("a +@pubsub", "off resetchannels -@all +@pubsub"),
        ("a +@all -@slow", "off resetchannels +@all -@slow"),
        (
            "a (+ping &x) (~y allchannels)",
            "off resetchannels -@all (resetchannels &x -@all +ping) (~y &* -@all)",
        ),
        ("a (+ping) clearselectors allkeys", "off ~* resetchannels -@all"),
    ] {
        assert_eq!(described(rules), expected, "{rules}");
    }
    let hash = "d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272";
    assert_eq!(described("a >sesame >sesame"), format!("off #{hash} resetchannels -@all"));
    assert_eq!(described(&format!("a #{hash} <sesame on")), "on resetchannels -@all");
}

#[test]
fn a_description_makes_the_same_user_again() {
    for rules in [
        "+@all -@admin +client|list",
        "-@all +@connection +sentinel",
        "+@all -acl +acl|whoami -ping",
        "+@slow -acl",
    ] {
        let once = described(&format!("a {rules}"));
        assert_eq!(described(&format!("a {once}")), once, "{rules}");
    }
}

#[test]
fn wrong_rules_have_the_words_of_the_original() {
    let mut acl = acl();
    for (rules, error) in [
        ("a +nothing", "Error in ACL SETUSER modifier '+nothing': Unknown command or category name in ACL"),
        ("a +get", "Error in ACL SETUSER modifier '+get': Unknown command or category name in ACL"),
        ("a +@none", "Error in ACL SETUSER modifier '+@none': Unknown command or category name in ACL"),
        ("a x", "Error in ACL SETUSER modifier 'x': Syntax error"),
        (
            "a <x",
            "Error in ACL SETUSER modifier '<x': The password you are trying to remove from the user does not exist",
        ),
        (
            "a +client|list|x",
            "Error in ACL SETUSER modifier '+client|list|x': Allowing first-arg of a subcommand is not supported",
        ),
        ("a +client|", "Error in ACL SETUSER modifier '+client|': Syntax error"),
        ("a (+ping x", "Unmatched parenthesis in acl selector starting at '(+ping'."),
    ] {
        assert_eq!(set(&mut acl, rules), Err(error.to_owned()), "{rules}");
    }
    assert_eq!(acl.find(b"a"), None, "none of it has made a user");
    assert!(set(&mut acl, "a allkeys ~x").is_err_and(|error| error.contains("'allkeys' flag")));
    assert!(set(&mut acl, "a &* &x").is_err_and(|error| error.contains("'allchannels' flag")));
    assert!(set(&mut acl, "a #abc").is_err_and(|error| error.contains("exactly 64 characters")));
}

#[test]
fn commands_subcommands_and_channels_are_checked() {
    let mut acl = acl();
    let id = set(&mut acl, "a +subscribe +psubscribe +client|list +@connection -client|id &+s* &-*")
        .expect("rules");
    assert_eq!(may(&acl, id, "subscribe +sdown +switch-master"), Ok(()));
    assert_eq!(may(&acl, id, "subscribe +sdown +odown"), Err(Denied::Channel(2)));
    assert_eq!(may(&acl, id, "psubscribe +s*"), Ok(()));
    assert_eq!(may(&acl, id, "psubscribe +sdown"), Err(Denied::Channel(1)));
    assert_eq!(may(&acl, id, "unsubscribe x"), Err(Denied::Command));
    assert_eq!(may(&acl, id, "client list"), Ok(()));
    assert_eq!(may(&acl, id, "client id"), Err(Denied::Command));
    assert_eq!(may(&acl, id, "sentinel masters"), Err(Denied::Command));
    assert_eq!(may(&acl, id, "hello 3"), Ok(()), "everybody may say hello");
    let id = set(&mut acl, "b (+subscribe &x) +ping|hi").expect("rules");
    assert_eq!(may(&acl, id, "subscribe x"), Ok(()));
    assert_eq!(may(&acl, id, "subscribe y"), Err(Denied::Channel(1)));
    assert_eq!(may(&acl, id, "ping HI"), Ok(()));
    assert_eq!(may(&acl, id, "ping"), Err(Denied::Command));
}

#[test]
fn users_come_from_the_configuration_or_from_a_file_but_not_from_both() {
    let line = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let users = vec![line("default off"), line("ops on >x +@all")];
    let settings = Settings { users: users.clone(), ..Settings::default() };
    let acl = Acl::new(&settings).expect("nothing is wrong");
    assert!(!acl.is_open());
    assert!(acl.log_in(b"ops", b"x").is_some());
    assert_eq!(acl.lines().map(|lines| lines.len()), Some(2));
    let both = Settings { users, aclfile: Some("users.acl".into()), ..Settings::default() };
    assert!(matches!(Acl::new(&both), Err(AclError::Twice)));
    let wrong = Settings { users: vec![line("ops +nothing")], ..Settings::default() };
    assert!(matches!(Acl::new(&wrong), Err(AclError::Line(name, _)) if name == "ops"));
    assert_eq!(check_declaration(&line("ops >secret >"), Channels::None), Ok(()));
    let wrong = check_declaration(&line("ops <secret"), Channels::None);
    assert!(wrong.is_err_and(|error| !error.contains("secret")));
}

#[test]
fn new_users_have_the_channels_that_the_configuration_says() {
    let line = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let settings = Settings {
        acl_pubsub_default: Channels::All,
        users: vec![line("default on nopass +@all"), line("ops (+ping)"), line("few resetchannels &x")],
        ..Settings::default()
    };
    let mut acl = Acl::new(&settings).expect("nothing is wrong");
    for (rules, expected) in [
        ("default", "on nopass sanitize-payload &* +@all"),
        ("ops", "off &* -@all (&* -@all +ping)"),
        ("few on", "on resetchannels &x -@all"),
        ("few reset", "off sanitize-payload &* -@all"),
        ("new on", "on &* -@all"),
        (
            "other resetchannels (resetchannels +ping &x)",
            "off resetchannels -@all (resetchannels &x -@all +ping)",
        ),
    ] {
        let id = set(&mut acl, rules).expect("the rules are right");
        let described = acl.user(id).expect("just made").describe();
        assert_eq!(String::from_utf8_lossy(&described), expected, "{rules}");
    }
    for rules in ["a &x", "a (&x)"] {
        assert!(set(&mut acl, rules).is_err_and(|error| error.contains("'allchannels' flag")), "{rules}");
    }
    assert!(check_declaration(&line("a &x"), Channels::All).is_err());
}

#[test]
fn denials_of_one_kind_count_as_one() {
    let mut log = Log::new(2);
    let denied = |object: &str, seconds| Entry {
        count: 1,
        reason: Reason::Command,
        object: object.into(),
        user: b"a".to_vec(),
        at: Time::ZERO + Duration::from_secs(seconds),
        client: Vec::new(),
    };
    for (object, at) in [("ping", 0), ("info", 1), ("ping", 30)] {
        log.add(denied(object, at));
    }
    let shown: Vec<_> = log.entries().map(|entry| (entry.object.clone(), entry.count)).collect();
    assert_eq!(shown, [(b"ping".to_vec(), 2), (b"info".to_vec(), 1)]);
    log.add(denied("ping", 100));
    assert_eq!(log.entries().map(|entry| entry.count).collect::<Vec<_>>(), [1, 2], "the older ones fall out");
}
