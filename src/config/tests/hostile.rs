//! Files that were cut off, mutated, or never were configurations.

use super::*;

/// Votes that this state would give: none for a group in an epoch that the original has voted in, or may have.
fn may_vote(durable: &Durable, group: &str, epoch: Epoch) -> bool {
    durable
        .groups
        .get(&GroupName::new(group))
        .is_some_and(|group| epoch > group.leader_epoch && epoch >= durable.current_epoch)
}

/// Loads from a folder that is used for many files in turn.
fn try_load(folder: &Folder, bytes: &[u8]) -> Result<Loaded, ConfigError> {
    load(&folder.file("s.conf", bytes), &[], NOTHING_SAID)
}

#[test]
fn a_state_cut_off_anywhere_starts_soundly_or_not_at_all() {
    let folder = Folder::new();
    let text = WRITTEN_BY_THE_ORIGINAL.as_bytes();
    let begins = WRITTEN_BY_THE_ORIGINAL.find("protected-mode").expect("it is there");
    for end in 0..=text.len() {
        let result = try_load(&folder, &text[..end]);
        assert_eq!(
            fs::read(folder.0.join("s.conf")).expect("the file"),
            &text[..end],
            "a start writes nothing"
        );
        let Ok(Loaded { durable, store, .. }) = result else { continue };
        // Where nothing shows that a sentinel ever wrote into the file, it cannot be told from a new one.
        if end >= begins {
            assert!(durable.current_epoch >= Epoch(5), "cut at {end}: {:?}", durable.current_epoch);
            assert!(!may_vote(&durable, "mymaster", Epoch(4)), "cut at {end}");
        }
        store.save(&durable).expect("it saves");
        let again = load(&folder.0.join("s.conf"), &[], NOTHING_SAID).expect("what we write, we read");
        assert_eq!(again.durable, durable, "cut at {end}");
        assert_eq!(again.lost, [""; 0], "cut at {end}: once is enough");
    }
}

#[test]
fn our_state_file_cut_off_anywhere_starts_soundly_or_not_at_all() {
    let folder = Folder::new();
    let state = folder.0.join("state");
    let configuration = folder.file(
        "s.conf",
        format!("sentinel state-file {}\nsentinel monitor shop 10.0.0.1 6379 2\n", state.display()),
    );
    let Loaded { mut durable, store, .. } = load(&configuration, &[], NOTHING_SAID).expect("it loads");
    durable.myid = Some(SentinelId::new("5288a4d159a1df8a48c3cdd36489c743882bf9f7"));
    durable.current_epoch = Epoch(12);
    let shop = durable.groups.get_mut(&GroupName::new("shop")).expect("the group");
    (shop.config_epoch, shop.leader_epoch) = (Epoch(11), Epoch(12));
    store.save(&durable).expect("it saves");
    let whole = fs::read(&state).expect("the state");
    // An empty one cannot be told from a new one.
    for end in 1..=whole.len() {
        fs::write(&state, &whole[..end]).expect("the state is ours");
        let Ok(Loaded { durable, .. }) = load(&configuration, &[], NOTHING_SAID) else { continue };
        assert!(durable.current_epoch >= Epoch(12), "cut at {end}: {:?}", durable.current_epoch);
        assert!(!may_vote(&durable, "shop", Epoch(12)), "cut at {end}: {durable:?}");
    }
}

#[test]
fn a_memory_without_its_epoch_is_told_and_made_good() {
    let text = format!("{ONE}sentinel config-epoch mymaster 3\nsentinel leader-epoch mymaster 4\n");
    let Loaded { durable, lost, .. } = load_text(&text).expect("it loads");
    assert_eq!(durable.current_epoch, Epoch(1004));
    assert!(lost[0].contains("sentinel current-epoch") && lost[0].contains("1004"), "{lost:?}");

    let text = format!("{ONE}sentinel config-epoch mymaster 3\nsentinel current-epoch 9\n");
    let Loaded { durable, lost, .. } = load_text(&text).expect("it loads");
    assert_eq!(durable.groups[&GroupName::new("mymaster")].leader_epoch, Epoch(9));
    assert!(lost[0].contains("leader-epoch mymaster"), "{lost:?}");
}

#[test]
fn a_new_master_in_a_used_file_is_no_loss() {
    let text = format!("{WRITTEN_BY_THE_ORIGINAL}sentinel monitor second 127.0.0.1 6390 2\n");
    let Loaded { durable, lost, .. } = load_text(&text).expect("it loads");
    assert_eq!(lost, [""; 0]);
    assert_eq!(durable.current_epoch, Epoch(5));
}

#[test]
fn a_file_with_holes_of_zeros_is_refused_with_its_line() {
    let mut bytes = WRITTEN_BY_THE_ORIGINAL.as_bytes().to_vec();
    bytes[120..160].fill(0);
    let text = load_text(&bytes).expect_err("it is damaged").to_string();
    assert!(text.contains("NUL") && text.contains("line ") && text.contains("backup"), "{text}");
    assert!(!text.contains('\0'), "a terminal is spared: {text:?}");
}

#[test]
fn a_line_without_end_is_told_in_short() {
    let text = refused(&format!("{} 1\n", "x".repeat(5 << 20)));
    assert!(text.len() < 3000 && text.contains("..."), "{} bytes", text.len());
}

#[test]
fn files_that_include_themselves_come_to_an_end() {
    let folder = Folder::new();
    let path = folder.file("s.conf", format!("include {}\n", folder.0.join("s.conf").display()));
    assert!(load(&path, &[], NOTHING_SAID).is_err_and(|error| error.to_string().contains("too deeply")));
}

proptest! {
    #[test]
    fn a_mutated_state_is_refused_or_written_back_as_it_was_read(
        cuts in proptest::collection::vec((0..WRITTEN_BY_THE_ORIGINAL.len(), any::<u8>(), 0u8..4), 1..6)
    ) {
        let mut bytes = WRITTEN_BY_THE_ORIGINAL.as_bytes().to_vec();
        for (at, byte, how) in cuts {
            let at = at % bytes.len();
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => { bytes.remove(at); }
                _ => {
                    let other = (at + usize::from(byte)) % bytes.len();
                    bytes.swap(at, other);
                }
            }
        }
        let folder = Folder::new();
        if let Ok(Loaded { durable, store, .. }) = try_load(&folder, &bytes) {
            store.save(&durable).expect("it saves");
            let again = load(&folder.0.join("s.conf"), &[], NOTHING_SAID).expect("what we write, we read");
            prop_assert_eq!(again.durable, durable);
        }
    }
}
