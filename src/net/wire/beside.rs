//! Our RESP beside that of the crate `redis-protocol`: the two must read and write the same.

use super::{Frame, Writer, reply};
use bytes::BytesMut;
use proptest::prelude::*;
use redis_protocol::resp2::decode::decode as decode2;
use redis_protocol::resp2::encode::encode as encode2;
use redis_protocol::resp2::types::{OwnedFrame as Two, Resp2Frame};
use redis_protocol::resp3::decode::complete::decode as decode3;
use redis_protocol::resp3::types::OwnedFrame as Three;

fn frames() -> impl Strategy<Value = Two> {
    let line = "[ -~]{0,40}";
    let leaf = prop_oneof![
        line.prop_map(|text| Two::SimpleString(text.into_bytes())),
        line.prop_map(Two::Error),
        any::<i64>().prop_map(Two::Integer),
        proptest::collection::vec(any::<u8>(), 0..60).prop_map(Two::BulkString),
        Just(Two::Null),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| proptest::collection::vec(inner, 0..6).prop_map(Two::Array))
}

fn same(ours: &Frame<'_>, theirs: &Two) -> bool {
    match (ours, theirs) {
        (Frame::Simple(a), Two::SimpleString(b)) | (Frame::Bulk(a), Two::BulkString(b)) => *a == &b[..],
        (Frame::Error(a), Two::Error(b)) => *a == b.as_bytes(),
        (Frame::Integer(a), Two::Integer(b)) => a == b,
        (Frame::Null, Two::Null) => true,
        (Frame::Array(a), Two::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => false,
    }
}

/// What our writer can say, in either protocol.
#[derive(Clone, Debug)]
enum Said {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(String),
    Verbatim(String),
    Null,
    NullArray,
    Array(Vec<Said>),
    Map(Vec<(String, Said)>),
    Push(Vec<Said>),
}

fn answers() -> impl Strategy<Value = Said> {
    let leaf = prop_oneof![
        "[ -~]{0,40}".prop_map(Said::Simple),
        "[ -~]{0,40}".prop_map(Said::Error),
        any::<i64>().prop_map(Said::Integer),
        "(?s).{0,40}".prop_map(Said::Bulk),
        "(?s).{0,40}".prop_map(Said::Verbatim),
        Just(Said::Null),
        Just(Said::NullArray),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let keyed = proptest::collection::btree_map("[a-z]{1,8}", inner.clone(), 0..6);
        prop_oneof![
            proptest::collection::vec(inner, 0..6).prop_map(Said::Array),
            keyed.prop_map(|map| Said::Map(map.into_iter().collect())),
        ]
    })
}

fn write(out: &mut Writer<'_>, said: &Said) {
    match said {
        Said::Simple(text) => out.simple(text),
        Said::Error(text) => out.error(text),
        Said::Integer(number) => out.integer(*number),
        Said::Bulk(text) => out.bulk(text),
        Said::Verbatim(text) => out.verbatim(text),
        Said::Null => out.null(),
        Said::NullArray => out.null_array(),
        Said::Array(items) => {
            out.array(items.len());
            items.iter().for_each(|item| write(out, item));
        }
        Said::Push(items) => {
            out.push(items.len());
            items.iter().for_each(|item| write(out, item));
        }
        Said::Map(pairs) => {
            out.map(pairs.len());
            for (key, value) in pairs {
                out.bulk(key);
                write(out, value);
            }
        }
    }
}

fn in_two(said: &Said) -> Two {
    match said {
        Said::Simple(text) => Two::SimpleString(text.clone().into_bytes()),
        Said::Error(text) => Two::Error(text.clone()),
        Said::Integer(number) => Two::Integer(*number),
        Said::Bulk(text) | Said::Verbatim(text) => Two::BulkString(text.clone().into_bytes()),
        Said::Null | Said::NullArray => Two::Null,
        Said::Array(items) | Said::Push(items) => Two::Array(items.iter().map(in_two).collect()),
        Said::Map(pairs) => {
            let flat =
                pairs.iter().flat_map(|(key, value)| [in_two(&Said::Bulk(key.clone())), in_two(value)]);
            Two::Array(flat.collect())
        }
    }
}

fn is_three(read: &Three, said: &Said) -> bool {
    let all = |read: &[Three], said: &[Said]| {
        read.len() == said.len() && read.iter().zip(said).all(|(read, said)| is_three(read, said))
    };
    match (read, said) {
        (Three::SimpleString { data, .. }, Said::Simple(text))
        | (Three::BlobString { data, .. }, Said::Bulk(text))
        | (Three::VerbatimString { data, .. }, Said::Verbatim(text)) => data == text.as_bytes(),
        (Three::SimpleError { data, .. }, Said::Error(text)) => data == text,
        (Three::Number { data, .. }, Said::Integer(number)) => data == number,
        (Three::Null, Said::Null | Said::NullArray) => true,
        (Three::Array { data, .. }, Said::Array(items)) | (Three::Push { data, .. }, Said::Push(items)) => {
            all(data, items)
        }
        (Three::Map { data, .. }, Said::Map(pairs)) => {
            data.len() == pairs.len()
                && data.iter().all(|(key, value)| {
                    pairs
                        .iter()
                        .any(|(name, said)| is_three(key, &Said::Bulk(name.clone())) && is_three(value, said))
                })
        }
        _ => false,
    }
}

proptest! {
    #[test]
    fn what_the_crate_writes_is_read_here_and_no_piece_of_it_is_taken_for_the_whole(frame in frames()) {
        let mut bytes = vec![0; frame.encode_len(false)];
        encode2(&mut bytes, &frame, false).expect("it fits, as the crate says");
        for cut in 0..bytes.len() {
            prop_assert_eq!(reply(&bytes[..cut]), Ok(None), "cut off after {} bytes", cut);
        }
        let (read, end) = reply(&bytes).expect("well formed").expect("whole");
        prop_assert_eq!(end, bytes.len());
        prop_assert!(same(&read, &frame), "{:?} is read as {:?}", frame, read);
    }

    #[test]
    fn what_is_written_here_is_read_by_the_crate(said in answers()) {
        let mut bytes = BytesMut::new();
        write(&mut Writer::new(&mut bytes, false), &said);
        let (read, end) = decode2(&bytes).expect("well formed").expect("whole");
        prop_assert_eq!((read, end), (in_two(&said), bytes.len()));
    }

    #[test]
    fn and_so_it_is_in_resp3(said in answers(), pushed: bool) {
        let said = if pushed { Said::Push(vec![Said::Bulk("message".into()), said]) } else { said };
        let mut bytes = BytesMut::new();
        write(&mut Writer::new(&mut bytes, true), &said);
        let (read, end) = decode3(&bytes).expect("well formed").expect("whole");
        prop_assert_eq!(end, bytes.len());
        prop_assert!(is_three(&read, &said), "{:?} is read as {:?}", said, read);
    }

    #[test]
    fn bytes_that_only_look_like_resp_mean_the_same_to_both(text in "[*$+:\\-0-9\r\na]{0,60}") {
        if let Ok(Some((ours, end))) = reply(text.as_bytes())
            && let Ok(Some((theirs, length))) = decode2(&bytes::Bytes::from(text.clone()))
        {
            prop_assert_eq!(end, length);
            prop_assert!(same(&ours, &theirs), "{:?}: {:?} and {:?}", text, ours, theirs);
        }
    }
}
