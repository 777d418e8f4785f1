//! A name server that lies, stammers or is silent: each time there is an error that says so, within a bounded time, and
//! never a master who is none.

use super::name_server::{Act, NAME, NameServer, Question, Reply, TIMEOUT, within};
use consentinel_resolver::{Epoch, LookupError};
use std::time::Duration;

/// For one look at one name server: a question, another way to put it, and a machine that does other things.
const LIMIT: Duration = Duration::from_secs(3);

/// Looks for the master; the answer must be an error, and in time.
async fn fails(script: impl FnMut(&Question) -> Act + Send + 'static) -> LookupError {
    let server = NameServer::start(script);
    let error = within(LIMIT, server.resolver().master()).await.expect_err("there is no master");
    assert!(error.to_string().contains(&server.addr.to_string()), "whom did it ask? {error}");
    assert!(error.to_string().contains(NAME), "for what? {error}");
    error
}

/// The same, where nothing useful came back; gives what is said of that.
async fn is_unanswered(script: impl FnMut(&Question) -> Act + Send + 'static) -> String {
    match fails(script).await {
        LookupError::Unanswered { tried, .. } => tried[0].outcome.clone(),
        other => panic!("another error: {other:?}"),
    }
}

#[tokio::test]
async fn silence() {
    assert_eq!(is_unanswered(|_| Act::Silence).await, format!("no answer within {TIMEOUT:?}"));
}

#[tokio::test]
async fn wrong_ids() {
    let outcome = is_unanswered(|question| Reply::master(question, 7001, 5).id(1).into()).await;
    assert_eq!(outcome, format!("no answer within {TIMEOUT:?}"));
    let server = NameServer::start(|question| {
        let reply = Reply::master(question, 7001, 5);
        let forged = Reply::master(question, 6666, 99);
        Act::Say((1..200).map(|change| forged.clone().id(change).bytes()).chain([reply.bytes()]).collect())
    });
    let master = within(LIMIT, server.resolver().master()).await.expect("the right one comes, too");
    assert_eq!(master.addr.port(), 7001);
}

#[tokio::test]
async fn answers_from_elsewhere() {
    let outcome = is_unanswered(|question| Act::Forge(Reply::master(question, 6666, 99).bytes(), None)).await;
    assert_eq!(outcome, format!("no answer within {TIMEOUT:?}"));
    let server = NameServer::start(|question| {
        let (forged, real) = (Reply::master(question, 6666, 99), Reply::master(question, 7001, 5));
        Act::Forge(forged.bytes(), Some(real.bytes()))
    });
    let master = within(LIMIT, server.resolver().master()).await.expect("the right one comes, too");
    assert_eq!(master.addr.port(), 7001);
}

#[tokio::test]
async fn answers_to_another_question() {
    let outcome = is_unanswered(|question| {
        let other = Reply::master(question, 6666, 99).bytes();
        let at = other.windows(5).position(|it| it == b"redis").expect("it is asked for");
        let mut other = other;
        other[at..at + 5].copy_from_slice(b"rodis");
        Act::Say(vec![other])
    })
    .await;
    assert_eq!(outcome, format!("no answer within {TIMEOUT:?}"));
}

#[tokio::test]
async fn garbage() {
    let outcome = is_unanswered(|_| Act::Say(vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()])).await;
    assert_eq!(outcome, format!("no answer within {TIMEOUT:?}"), "it has not even the right id");
    // The right id, and then every beginning of an answer.
    let mut length = 12;
    let server = NameServer::start(move |question| {
        let mut bytes = Reply::master(question, 7001, 5).bytes();
        length += 1;
        assert!(length < bytes.len());
        bytes.truncate(length);
        Act::Say(vec![bytes])
    });
    let resolver = server.resolver();
    for _ in 0..100 {
        let error = within(LIMIT, resolver.master()).await.expect_err("half an answer is none");
        assert!(matches!(error, LookupError::Unanswered { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn flipped_bits() {
    let mut bit = 16; // behind the id
    let server = NameServer::start(move |question| {
        let mut bytes = Reply::master(question, 7001, 5).bytes();
        let at = bit % (bytes.len() * 8);
        bytes[at / 8] ^= 1 << (at % 8);
        bit += 1;
        Act::Say(vec![bytes])
    });
    let resolver = server.builder().timeout(Duration::from_millis(20)).build().expect("it fits");
    for _ in 0..400 {
        // Whatever it says: it says it in time, and does not panic.
        let _ = within(LIMIT, resolver.master()).await;
        resolver.forget();
    }
}

#[tokio::test]
async fn an_error_code() {
    for (code, said) in [(2, "ServFail"), (5, "Refused"), (1, "FormErr"), (4, "NotImp")] {
        let outcome = is_unanswered(move |question| Reply::to(question).code(code).into()).await;
        assert!(outcome.contains(said), "{outcome}");
    }
}

#[tokio::test]
async fn nobody() {
    let error = fails(|question| Reply::to(question).code(3).into()).await;
    assert!(error.is_nobody() && error.is_retryable(), "{error:?}");
    assert!(error.to_string().contains("NXDOMAIN"), "{error}");
    for nothing in [Reply::to, |question: &Question| Reply::to(question).srv("", 7001, 1, 1)] {
        let error = fails(move |question| nothing(question).into()).await;
        assert!(error.is_nobody(), "{error:?}");
    }
    let error =
        fails(|question| Reply::to(question).server("7f000001.addr.dc1.consul", 0, "127.0.0.1").into()).await;
    assert!(error.is_nobody(), "nobody listens on port 0: {error:?}");
}

#[tokio::test]
async fn nobody_is_an_answer_and_the_next_name_server_is_not_asked() {
    let first = NameServer::start(|question| Reply::to(question).code(3).into());
    let second = NameServer::start(|question| Reply::master(question, 7001, 5).into());
    let resolver = first.builder().name_server(second.addr).build().expect("it fits");
    assert!(resolver.master().await.expect_err("nobody").is_nobody());
    assert!(second.questions().is_empty());
}

#[tokio::test]
async fn truncated_and_then_silent_over_tcp() {
    let outcome = is_unanswered(|question| match question.tcp {
        true => Act::Silence,
        false => Reply::to(question).truncated().into(),
    })
    .await;
    assert_eq!(outcome, format!("no answer within {TIMEOUT:?}"));
    let outcome = is_unanswered(|question| Reply::to(question).truncated().into()).await;
    assert!(outcome.contains("truncated"), "{outcome}");
}

#[tokio::test]
async fn loops_of_cname() {
    let error = fails(|question| {
        let other = if question.name == NAME { "b.service.consul" } else { NAME };
        Reply::to(question).cname(&question.name.clone(), other).into()
    })
    .await;
    assert!(error.is_retryable(), "{error:?}");
    fails(|question| Reply::to(question).cname(NAME, NAME).into()).await;
    fails(|question| {
        let name = question.name.clone();
        Reply::to(question).cname(&name, &format!("a.{name}")).into()
    })
    .await;
    // The same behind a target that has no address.
    fails(|question| match question.kind {
        super::name_server::SRV => Reply::to(question).srv("loop.service.consul", 7001, 1, 1).into(),
        _ => Reply::to(question).cname(&question.name.clone(), "loop.service.consul").into(),
    })
    .await;
}

#[tokio::test]
async fn huge_answers() {
    // As many masters as fit: none of them is the one.
    let error = fails(|question| match question.tcp {
        false => Reply::to(question).truncated().into(),
        true => (1..900)
            .fold(Reply::to(question), |reply, port| reply.srv("7f000001.addr.dc1.consul", port, 1, 1))
            .into(),
    })
    .await;
    assert!(matches!(error, LookupError::Ambiguous { .. }), "{error:?}");
    // A single one, and all that fits besides.
    let server = NameServer::start(|question| match question.tcp {
        false => Reply::to(question).truncated().into(),
        true => {
            let reply = Reply::master(question, 7001, 5);
            (0..1200).fold(reply, |reply, _| reply.address("other.example", "127.0.0.9")).into()
        }
    });
    assert_eq!(within(LIMIT, server.resolver().master()).await.expect("a master").addr.port(), 7001);
    // Larger than UDP may be, over UDP.
    let server = NameServer::start(|question| {
        (0..1200)
            .fold(Reply::master(question, 7001, 5), |reply, _| reply.address("other.example", "127.0.0.9"))
            .into()
    });
    let _ = within(LIMIT, server.resolver().master()).await;
}

#[tokio::test]
async fn a_target_that_leads_nowhere() {
    let outcome = is_unanswered(|question| match question.kind {
        super::name_server::SRV => Reply::to(question).srv("n1.node.consul", 7001, 1, 1).into(),
        _ => Reply::to(question).code(3).into(),
    })
    .await;
    assert!(outcome.contains("an SRV record leads there"), "{outcome}");
    let silent = is_unanswered(|question| match question.kind {
        super::name_server::SRV => Reply::to(question).srv("n1.node.consul", 7001, 1, 1).into(),
        _ => Act::Silence,
    })
    .await;
    assert_eq!(silent, format!("no answer within {TIMEOUT:?}"));
}

#[tokio::test]
async fn a_foreign_record_beside_ours_names_nobody() {
    let server = NameServer::start(|question| {
        let mut other = question.clone();
        other.name = "evil.example".into();
        // A record of another name, in an answer to our question.
        let reply = Reply::master(question, 7001, 5);
        reply.with_answers_of(&Reply::to(&other).srv("7f000009.addr.dc1.consul", 6666, 0, 9)).into()
    });
    assert_eq!(within(LIMIT, server.resolver().master()).await.expect("a master").addr.port(), 7001);
}

#[tokio::test]
async fn an_older_epoch_and_none_at_all_are_refused_for_good() {
    let server = NameServer::start(|question| Reply::master(question, 7002, 6).into());
    let resolver = server.resolver();
    resolver.master().await.expect("a master");
    server.says(|question| Reply::master(question, 7001, 5).into());
    for _ in 0..10 {
        let master = within(LIMIT, resolver.master()).await.expect("what is newer is known");
        assert_eq!((master.addr.port(), master.epoch), (7002, Some(Epoch(6))));
        assert!(master.freshness.is_stale(), "and it is said that nobody confirms it");
    }
    let strict = server.builder().max_stale(Duration::ZERO).build().expect("it fits");
    server.says(|question| Reply::master(question, 7002, 6).into());
    strict.master().await.expect("a master");
    server.says(|question| Reply::master(question, 7001, 5).into());
    let error = strict.master().await.expect_err("it is older");
    assert!(matches!(error, LookupError::Older { have: Epoch(6), got: Epoch(5), .. }), "{error:?}");
    assert!(error.to_string().contains(&server.addr.to_string()), "{error}");
    server.says(|question| match question.kind {
        super::name_server::SRV => {
            Reply::to(question).server("7f000001.addr.dc1.consul", 7001, "127.0.0.1").into()
        }
        _ => Reply::to(question).code(3).into(),
    });
    let error = strict.master().await.expect_err("how old is it?");
    assert!(matches!(error, LookupError::NoEpoch { have: Epoch(6), .. }), "{error:?}");

    server.says(|question| Reply::master(question, 7001, 1).into());
    assert!(strict.master().await.is_err());
    strict.forget();
    assert_eq!(strict.master().await.expect("it is believed once").epoch, Some(Epoch(1)));
}

#[tokio::test]
async fn a_name_server_that_is_behind_is_passed_over() {
    let first = NameServer::start(|question| Reply::master(question, 7001, 5).into());
    let second = NameServer::start(|question| Reply::master(question, 7002, 6).into());
    let resolver = first.builder().name_server(second.addr).build().expect("it fits");
    assert_eq!(
        resolver.master().await.expect("a master").epoch,
        Some(Epoch(5)),
        "nobody has seen a newer one"
    );
    first.says(|question| Reply::to(question).code(2).into());
    assert_eq!(resolver.master().await.expect("a master").epoch, Some(Epoch(6)));
    first.says(|question| Reply::master(question, 7001, 5).into());
    let master = resolver.master().await.expect("a master");
    assert_eq!(
        (master.epoch, master.freshness.is_stale()),
        (Some(Epoch(6)), false),
        "the second confirms it"
    );
}
