//! Where directives come from, and where they go back to.

use super::*;

#[test]
fn errors_begin_as_the_originals_do() {
    let text = refused("port 1\nsentinel monitor mymaster 127.0.0.1 6379\n");
    let expected = "\n*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***\nReading the configuration file, at line 2\n\
                    >>> 'sentinel monitor mymaster 127.0.0.1 6379'\nUnrecognized sentinel configuration statement.\n";
    assert!(text.starts_with(expected), "{text}");
    for (line, theirs) in [
        ("port 70000", "argument must be between 0 and 65535 inclusive"),
        ("port many", "argument couldn't be parsed into an integer"),
        ("port", "wrong number of arguments"),
        ("protected-mode maybe", "argument must be 'yes' or 'no'"),
        ("supervised openrc", "argument(s) must be one of the following: upstart, systemd, auto, no"),
        ("prot 1", "Bad directive or wrong number of arguments"),
        ("dir /nonexistent/x", "No such file or directory"),
        ("port \"1", "Unbalanced quotes in configuration line"),
        ("unixsocketperm 9", "argument couldn't be parsed as an octal number"),
        (
            "user a on\nuser a on",
            "Error in user declaration 'a': Duplicate user found. A user can only be defined once in config files",
        ),
        ("sentinel down-after-milliseconds a 1", "No such master with specified name."),
        ("sentinel monitor a 1.1.1.1 1 0", "Quorum must be 1 or greater."),
        ("sentinel monitor a redis.example 1 1", "Can't resolve instance hostname."),
        ("sentinel myid 1", "Malformed Sentinel id in myid option."),
        (
            "sentinel deny-scripts-reconfig x",
            "Please specify yes or no for the deny-scripts-reconfig options.",
        ),
    ] {
        let text = refused(line);
        assert!(text.lines().any(|line| line == theirs), "{line}: {text}");
    }
}

#[test]
fn a_mistake_on_the_command_line_is_told_as_a_line_after_the_file() {
    let folder = Folder::new();
    let path = folder.file("s.conf", ONE);
    let words = ["--prot".to_owned(), "1".to_owned()];
    let text = load(&path, &words, NOTHING_SAID).expect_err("no such directive").to_string();
    assert!(text.contains("at line 3\n>>> 'prot 1'\n") && text.contains("command line"), "{text}");
}

#[test]
fn a_pattern_includes_what_it_names_in_order_and_may_name_nothing() {
    let folder = Folder::new();
    fs::create_dir(folder.0.join("conf.d")).expect("the folder is ours");
    folder.file("conf.d/20.conf", "sentinel monitor b 10.0.0.2 1 1\nport 20\n");
    folder.file("conf.d/10.conf", "sentinel monitor a 10.0.0.1 1 1\nport 10\n");
    folder.file("conf.d/.hidden.conf", "port 30\n");
    folder.file("conf.d/other", "port 40\n");
    let text = format!("include {0}/conf.d/*.conf\ninclude {0}/none/*.conf\n", folder.0.display());
    let path = folder.file("s.conf", &text);
    let Loaded { settings, durable, store, .. } = load(&path, &[], NOTHING_SAID).expect("it loads");
    assert_eq!((settings.port, durable.groups.len()), (20, 2));
    store.save(&durable).expect("it saves");
    assert!(fs::read_to_string(&path).expect("the file").starts_with(&text));
    assert_eq!(fs::read_to_string(folder.0.join("conf.d/20.conf")).expect("it stays").lines().count(), 2);
    let missing = refused(&format!("include {}/none.conf\n", folder.0.display()));
    assert!(
        missing.contains("Fatal error, can't open config file") && missing.contains("line 1"),
        "{missing}"
    );
}

#[test]
fn replicas_that_are_known_by_names_are_found_again_where_names_are_not_looked_up() {
    let known = |lookup: &str| {
        let text = format!(
            "{ONE}sentinel resolve-hostnames {lookup}\nsentinel known-replica mymaster redis.example 1\n"
        );
        let durable = load_text(text).expect("it loads").durable;
        durable.groups[&GroupName::new("mymaster")].replicas.len()
    };
    assert_eq!((known("yes"), known("no")), (1, 0));
}

#[test]
fn a_line_about_what_was_learned_stops_no_start() {
    let peer = "6df32341cf9f5a5026a3663d9536d1edc577eca3";
    let bad = [
        "known-sentinel mymaster 127.0.0.1 26380 x",
        "known-sentinel mymaster",
        "known-replica mymaster 127.0.0.1 99999",
        "known-slave mymaster 127.0.0.1 6380 6381",
    ];
    for line in bad {
        let text = format!(
            "{ONE}sentinel {line}\nsentinel known-sentinel mymaster 127.0.0.1 26380 {peer}\n\
             sentinel current-epoch 3\nsentinel leader-epoch mymaster 3\n"
        );
        let Loaded { durable, lost, .. } = load_text(text).expect("it loads");
        assert_eq!(durable.groups[&GroupName::new("mymaster")].sentinels.len(), 1, "{line}");
        let [said] = &lost[..] else { panic!("{line}: {lost:?}") };
        assert!(said.contains(&format!("'sentinel {line}' is passed over: ")), "{said}");
    }
    // A decision is none of it.
    assert!(load_text(format!("{ONE}sentinel config-epoch mymaster x\n")).is_err());
}

#[test]
fn a_link_stays_a_link() {
    let folder = Folder::new();
    fs::create_dir(folder.0.join("real")).expect("the folder is ours");
    let real = folder.file("real/s.conf", ONE);
    let link = folder.0.join("s.conf");
    std::os::unix::fs::symlink("real/s.conf", &link).expect("a link");
    let Loaded { mut durable, store, .. } = load(&link, &[], NOTHING_SAID).expect("it loads");
    durable.current_epoch = Epoch(3);
    store.save(&durable).expect("it saves");
    assert!(fs::symlink_metadata(&link).expect("it is there").is_symlink());
    assert!(fs::read_to_string(&real).expect("the file").contains("current-epoch 3"));
    assert_eq!(store.path(), link);
}

#[test]
fn the_operators_lines_survive_a_file_that_is_gone_emptied_or_cut_off_while_we_run() {
    let folder = Folder::new();
    let text = format!("# mine\nrequirepass secret\n{ONE}");
    let path = folder.file("s.conf", &text);
    let Loaded { mut durable, store, .. } = load(&path, &[], NOTHING_SAID).expect("it loads");
    for (round, harm) in [None, Some(0), Some(1), Some(20)].into_iter().enumerate() {
        match harm {
            None => fs::remove_file(&path).expect("it is ours"),
            Some(length) => {
                let whole = fs::read(&path).expect("the file");
                fs::write(&path, &whole[..length]).expect("it is ours");
            }
        }
        durable.current_epoch = Epoch(round as u64 + 1);
        store.save(&durable).expect("it saves");
        let written = fs::read_to_string(&path).expect("the file");
        assert!(written.starts_with(&text), "{written}");
        assert!(written.ends_with(&format!("current-epoch {}\n", round + 1)), "{written}");
    }
    fs::write(&path, "# another\n").expect("it is ours");
    store.save(&durable).expect("it saves");
    assert!(fs::read_to_string(&path).expect("the file").starts_with("# another\n\n# Generated"));
}

#[test]
fn the_environment_overrules_the_file_and_begins_one_that_is_missing() {
    let folder = Folder::new();
    let path = folder.0.join("s.conf");
    let said = |name: &str| {
        let text = "# by environment\nport 7\nsentinel monitor mymaster 10.0.0.1 6379 2\n";
        (name == DIRECTIVES_VARIABLE).then(|| text.to_owned())
    };
    let Loaded { settings, mut durable, store, .. } = load(&path, &[], &said).expect("it loads");
    assert_eq!(settings.port, 7);
    durable.current_epoch = Epoch(3);
    store.save(&durable).expect("it saves");
    let written = fs::read_to_string(&path).expect("the file");
    assert!(written.contains("sentinel monitor mymaster 10.0.0.1 6379 2\n"), "{written}");
    let again = load(&path, &["--port".into(), "8".into()], &said).expect("it loads again");
    assert_eq!((again.settings.port, again.durable.current_epoch), (8, Epoch(3)));
    let wrong =
        |name: &str| (name == DIRECTIVES_VARIABLE).then(|| "port 1\nsentinel moonitor a\n".to_owned());
    let text = load(&path, &[], &wrong).expect_err("it is wrong").to_string();
    assert!(text.contains("(CONSENTINEL_DIRECTIVES, line 2: "), "{text}");
}

const USERS: &str =
    "# who\nuser  alice on >secret ~* +@all\nuser bob off\nuser default on nopass ~* &* +@all\n";

fn user_lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with("user ")).collect()
}

#[test]
fn users_are_written_where_they_stood_and_only_when_they_changed() {
    let folder = Folder::new();
    let path = folder.file("s.conf", format!("{USERS}{ONE}"));
    let Loaded { settings, durable, store, .. } = load(&path, &[], NOTHING_SAID).expect("it loads");
    assert_eq!(settings.users.len(), 3);
    store.save(&durable).expect("it saves");
    assert!(fs::read_to_string(&path).expect("the file").starts_with(USERS));
    let now = ["user default on nopass ~* &* +@all", "user bob on >ab ~* +ping", "user carol off"];
    store.set_users(now.map(str::to_owned).to_vec());
    store.save(&durable).expect("it saves");
    let written = fs::read_to_string(&path).expect("the file");
    assert!(written.starts_with("# who\nuser bob on >ab ~* +ping\nuser default"), "{written}");
    assert_eq!(user_lines(&written), [now[1], now[0], now[2]]);
    assert_eq!(load(&path, &[], NOTHING_SAID).expect("it loads again").durable, durable);
}

#[test]
fn users_of_a_state_file_stand_in_place_of_the_configurations() {
    let folder = Folder::new();
    let state = folder.0.join("state");
    let text = format!("sentinel state-file {}\n{USERS}{ONE}", state.display());
    let path = folder.file("s.conf", &text);
    let Loaded { durable, store, .. } = load(&path, &[], NOTHING_SAID).expect("it loads");
    store.set_users(vec!["user carol on".into()]);
    store.save(&durable).expect("it saves");
    assert_eq!(fs::read_to_string(&path).expect("the file"), text);
    let Loaded { settings, store, .. } = load(&path, &[], NOTHING_SAID).expect("it loads again");
    assert_eq!(settings.users, [["carol", "on"]]);
    store.save(&durable).expect("it saves");
    assert_eq!(user_lines(&fs::read_to_string(&state).expect("the state")), ["user carol on"]);
}

#[test]
fn a_changed_log_level_is_written_where_one_stood_or_where_it_is_not_the_usual_one() {
    let quiet = format!("{ONE}# end\n");
    for (before, level, after) in [
        ("", Level::Warning, "\n# Generated by CONFIG REWRITE\nloglevel warning\n"),
        ("", Level::Notice, ""),
        ("# a\nloglevel notice\n# b\n", Level::Debug, "# a\nloglevel debug\n# b\n"),
        ("  LOGLEVEL 'Verbose'\n# b\nloglevel debug\n", Level::Warning, "loglevel warning\n# b\n"),
        ("loglevel debug\n", Level::Notice, "loglevel notice\n"),
        ("LogLevel  NOTICE\nloglevel debug\n", Level::Notice, "LogLevel  NOTICE\n"),
    ] {
        let folder = Folder::new();
        let path = folder.file("s.conf", format!("{quiet}{before}"));
        let Loaded { durable, store, .. } = load(&path, &[], NOTHING_SAID).expect("it loads");
        store.save(&durable).expect("it saves");
        let written = fs::read_to_string(&path).expect("the file");
        assert!(written.starts_with(&format!("{quiet}{before}")), "unchanged: {written}");
        fs::write(&path, format!("{quiet}{before}")).expect("it is ours");
        store.set_level(level);
        store.save(&durable).expect("it saves");
        let written = fs::read_to_string(&path).expect("the file");
        assert!(written.starts_with(&format!("{quiet}{after}")), "{before:?} {level:?}: {written}");
        assert_eq!(written.matches("loglevel").count(), after.matches("loglevel").count(), "{written}");
        let again = load(&path, &[], NOTHING_SAID).expect("it loads again");
        assert_eq!((again.settings.loglevel, again.durable), (level, durable));
    }
}

#[test]
fn a_state_file_has_the_log_level_that_was_set_last() {
    let folder = Folder::new();
    let state = folder.0.join("state");
    let text = format!("sentinel state-file {}\nloglevel debug\n{ONE}", state.display());
    let path = folder.file("s.conf", &text);
    let Loaded { durable, store, .. } = load(&path, &[], NOTHING_SAID).expect("it loads");
    store.save(&durable).expect("it saves");
    assert!(!fs::read_to_string(&state).expect("the state").contains("loglevel"));
    store.set_level(Level::Notice);
    store.save(&durable).expect("it saves");
    assert_eq!(fs::read_to_string(&path).expect("the file"), text);
    let Loaded { settings, store, .. } = load(&path, &[], NOTHING_SAID).expect("it loads again");
    assert_eq!(settings.loglevel, Level::Notice);
    store.save(&durable).expect("it saves");
    assert!(fs::read_to_string(&state).expect("the state").contains("\nloglevel notice\n"));
    let arguments = ["--loglevel", "warning"].map(str::to_owned);
    let settings = load(&path, &arguments, NOTHING_SAID).expect("it loads again").settings;
    assert_eq!(settings.loglevel, Level::Warning, "whoever starts it has the last word");
}

#[test]
fn over_tls_the_port_for_tls_is_announced() {
    let port = |text: &str| load_text(text).expect("it loads").durable.config.port;
    assert_eq!(port("port 7\ntls-port 8\n"), 7);
    assert_eq!(port("port 7\ntls-port 8\ntls-replication yes\n"), 8);
    assert_eq!(port("port 7\ntls-replication yes\n"), 7);
}

#[test]
fn a_directory_counts_from_its_line_on() {
    let folder = Folder::new();
    fs::create_dir(folder.0.join("in")).expect("the folder is ours");
    folder.file("in/more.conf", "port 77\n");
    let text = format!("dir {}/in\ninclude more.conf\ndir /\n", folder.0.display());
    assert_eq!(load_text(text).expect("it loads").settings.port, 77);
}

#[test]
fn a_log_that_cannot_be_written_stops_the_start() {
    assert!(refused("logfile /nonexistent/log\n").contains("Can't open the log file: No such file"));
}
